import mmap
import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from labext.kernels.unlike import compare, main

_HOLDER = (
    "import mmap, sys\n"
    "held = mmap.mmap(-1, 64 * mmap.PAGESIZE, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)\n"
    "for page in range(64): held[page * mmap.PAGESIZE] = 1 + page % 7\n"
    "held[8 * mmap.PAGESIZE + 5] = int(sys.argv[1])\n"
    "print('ready', flush=True); sys.stdin.read()\n"
)


@pytest.fixture
def holders() -> Iterator[list[int]]:
    """Two processes with pages in common, one of which has a page of its own."""
    with ExitStack() as stack:
        pids = []
        for own in ("0", "77"):
            process = stack.enter_context(
                subprocess.Popen(
                    ["setarch", "-R", sys.executable, "-I", "-S", "-c", _HOLDER, own],
                    env={"PYTHONHASHSEED": "0"},
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                )
            )
            stack.callback(process.kill)
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            pids.append(process.pid)
        yield pids


def test_a_page_that_nobody_else_has_counts(holders: list[int]) -> None:
    one, other = compare(holders), compare(holders[::-1])
    assert other.private > 64 * mmap.PAGESIZE
    assert 0 < other.unlike < other.private
    assert other.unlike == sum(other.places.values())
    assert other.places["anonymous"] >= mmap.PAGESIZE
    assert compare([holders[0], holders[0]]).unlike == 0
    assert one.unlike < one.private


def test_the_command(holders: list[int], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["1"]) == 2
    assert "usage" in capsys.readouterr().err
    assert main([str(2**22 + 1), str(os.getpid())]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert main([str(pid) for pid in holders]) == 0
    assert f"MB of process {holders[0]} are unlike" in capsys.readouterr().out
