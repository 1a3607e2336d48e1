"""`samepage-course` as a process, without a Jupyter server."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from labext.courses.cli import default_state_dir
from tests.integration.courses_classroom import Classroom
from tests.integration.courses_upstream import unused_url

ROOT = Path(__file__).parents[2]


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish({"a.txt": "a\nb\nc\n", "b.txt": "b\n"})
    return room


def run(room: Classroom, *arguments: str, code: int = 0) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "labext.courses.cli", *arguments],
        env={**room.environ, "PYTHONPATH": str(ROOT)},
        cwd=room.root,
        capture_output=True,
        text=True,
    )
    assert done.returncode == code, done.stderr
    return done.stdout + done.stderr


def test_a_course_from_first_pull_to_undo(room: Classroom) -> None:
    pull = ("pull", "--url", room.url, "--target", "course")
    at = ("--target", "course")
    assert "The course is here, with 2 files." in run(room, *pull)
    assert run(room, *pull, "--quiet").startswith("Everything is up to date.")
    room.write({"a.txt": "mine\nb\nc\n"})
    room.teacher.publish({"a.txt": "a\nb\ncourse\n", "b.txt": "b2\n"})
    said = run(room, *pull, "--branch", "main")
    assert "merged: a.txt" in said
    assert room.files() == {"a.txt": "mine\nb\ncourse\n", "b.txt": "b2\n"}
    said = run(room, "status", *at)
    assert "changed by you: a.txt" in said
    assert "b.txt" not in said
    assert "-a\n+mine\n" in run(room, "diff", *at)
    assert "2 files are as they were" in run(room, "restore", *at)
    assert room.files() == {"a.txt": "mine\nb\nc\n", "b.txt": "b\n"}
    assert "2 files are as they were" in run(room, "restore", *at)
    assert "Yours is now a__yours_" in run(room, "restore", *at, "a.txt")
    assert room.files()["a.txt"] == "a\nb\ncourse\n"
    assert room.beside("a.txt", "yours") == ["mine\nb\ncourse\n"]
    assert "The course has no file nope" in run(room, "restore", *at, "nope", code=1)
    assert "Nothing is wrong here" in run(room, "doctor", *at)


def test_offline_is_fine_when_there_are_files(room: Classroom) -> None:
    run(room, "pull", "--url", room.url, "--target", "course")
    said = run(room, "pull", "--url", unused_url(), "--target", "course")
    assert "You have the files of the last pull" in said
    said = run(room, "pull", "--url", unused_url(), "--target", "other", code=1)
    assert "has not been downloaded yet" in said


def test_mistakes_are_told(room: Classroom) -> None:
    assert "give --url" in run(room, "pull", "--target", "x", code=2)
    assert "address is wrong" in run(room, "pull", "--url", "ext::sh", "--target", "x", code=1)
    assert "No course was pulled" in run(room, "status", "--target", "x", code=1)
    assert "no pull into x" in run(room, "restore", "--target", "x", code=1)


def test_damage_is_found(room: Classroom) -> None:
    run(room, "pull", "--url", room.url, "--target", "course")
    state = default_state_dir({"XDG_DATA_HOME": str(room.root / ".local/share")})
    for pack in state.rglob("*.pack"):
        pack.chmod(0o600)
        pack.write_bytes(b"damaged")
    assert "is damaged" in run(room, "doctor", "--target", "course", code=1)


def test_where_jupyter_keeps_it() -> None:
    assert default_state_dir({"JUPYTER_DATA_DIR": "/d"}) == Path("/d/samepage/courses")
    assert default_state_dir({"XDG_DATA_HOME": "/x"}) == Path("/x/jupyter/samepage/courses")
