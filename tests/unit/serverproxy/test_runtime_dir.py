from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from serverproxy.errors import AppError
from serverproxy.runtime_dir import RuntimeDir


def test_nothing_is_created_before_it_is_needed(tmp_path: Path) -> None:
    folder = RuntimeDir("x", tmp_path)
    assert list(tmp_path.iterdir()) == []
    made = folder.make()
    assert made == folder.path
    assert made.stat().st_mode & 0o777 == 0o700
    assert folder.make() == made
    folder.remove()
    folder.remove()
    assert list(tmp_path.iterdir()) == []
    assert folder.make().is_dir()
    folder.remove()


def test_left_overs_are_swept_and_living_ones_kept(tmp_path: Path) -> None:
    living = RuntimeDir("x", tmp_path)
    living.make()
    killed = subprocess.run(
        [
            sys.executable,
            "-c",
            "import os, sys; from pathlib import Path\n"
            "from serverproxy.runtime_dir import RuntimeDir\n"
            "print(RuntimeDir('x', Path(sys.argv[1])).make(), flush=True); os.kill(os.getpid(), 9)",
            str(tmp_path),
        ],
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        cwd=Path(__file__).parents[3],
    )
    left = Path(killed.stdout.strip())
    assert left.is_dir()
    other_app = tmp_path / "samepage-y-1"
    other_app.mkdir()
    mine = RuntimeDir("x", tmp_path)
    mine.make()
    assert not left.exists()
    assert living.path.is_dir()
    assert other_app.is_dir()
    mine.remove()
    living.remove()


def test_a_folder_that_is_open_to_others_is_refused(tmp_path: Path) -> None:
    folder = RuntimeDir("x", tmp_path)
    folder.path.mkdir()
    folder.path.chmod(0o777)
    with pytest.raises(AppError, match="open to others"):
        folder.make()


def test_no_place_to_make_it(tmp_path: Path) -> None:
    with pytest.raises(AppError, match="TMPDIR"):
        RuntimeDir("x", tmp_path / "absent").make()


def test_a_fork_leaves_its_parents_folder(tmp_path: Path) -> None:
    folder = RuntimeDir("x", tmp_path)
    folder.make()
    folder.remove(owner=os.getpid() + 1)
    assert folder.path.is_dir()
    folder.remove(owner=os.getpid())
    assert not folder.path.exists()
