"""A library that crashes or hangs in native code while a server preloads: the stock command."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from labext.kernels.aligned import rescue
from labext.kernels.aligned.preload import within

ROOT = Path(__file__).parents[2]
START = ROOT / "labext" / "kernels" / "aligned" / "start_server.py"
SEGFAULT = "import ctypes\nctypes.string_at(0)\n"
ABORT = "import os\nos.abort()\n"
OVERFLOW = """
import ctypes
libc = ctypes.CDLL(None)
compare = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
pair = (ctypes.c_int * 2)(2, 1)
deeper = compare(lambda one, two: libc.qsort(pair, 2, 4, deeper) or 0)
import sys
sys.setrecursionlimit(10**9)
libc.qsort(pair, 2, 4, deeper)
"""
# PyDLL keeps the interpreter's lock: no other thread of Python runs meanwhile.
NATIVE_HANG = "import ctypes\nwhile True:\n    ctypes.PyDLL(None).sleep(1000)\n"
HANG = "while True:\n    pass\n"
THREAD = """
import ctypes, threading, time
threading.Thread(target=ctypes.string_at, args=(0,), daemon=True).start()
time.sleep(100)
"""

pytestmark = pytest.mark.skipif(not rescue.possible(), reason="another machine")


def preloading(
    folder: Path, library: str, *, seconds: float = 30
) -> tuple[subprocess.CompletedProcess[str], float]:
    """Start a server whose only library is this text; the stock command prints its state."""
    (folder / "library.py").write_text(library)
    stock = [
        sys.executable,
        "-c",
        "import os, signal\n"
        "blocked = signal.pthread_sigmask(signal.SIG_BLOCK, [])\n"
        "print('stock', os.getpid(), sorted(blocked), signal.getitimer(signal.ITIMER_REAL)[0],"
        " os.environ['USER'], os.getcwd(), signal.getsignal(signal.SIGSEGV))",
    ]
    fields = {
        "command": stock,
        "arguments": stock,
        "environment": {**os.environ, "USER": "ada"},
        "folder": str(folder),
    }
    plan = {"modules": ["library"], "seconds": seconds, "stack": None, "compiled": 0}
    assignment = os.memfd_create("samepage-assignment", 0)
    os.write(assignment, json.dumps(fields).encode())

    def prepare() -> None:
        os.dup2(assignment, 3)
        for number, kept in enumerate((4, 5, 6)):
            os.dup2(number, kept)

    began = time.monotonic()
    try:
        process = subprocess.Popen(
            [sys.executable, str(START), json.dumps(plan)],
            env={"PYTHONPATH": str(folder), "PATH": os.environ["PATH"]},
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            close_fds=False,
            preexec_fn=prepare,
        )
    finally:
        os.close(assignment)
    try:
        said, complained = process.communicate(timeout=60)
    finally:
        process.kill()
    done = subprocess.CompletedProcess([str(process.pid)], process.returncode, said, complained)
    return done, time.monotonic() - began


@pytest.mark.parametrize(
    ("library", "words"),
    [
        (SEGFAULT, "crashed (SIGSEGV)"),
        (ABORT, "crashed (SIGABRT)"),
        (OVERFLOW, "crashed (SIGSEGV)"),
        (THREAD, "crashed (SIGSEGV)"),
    ],
    ids=["segfault", "abort", "overflow", "thread"],
)
def test_a_crash_becomes_the_stock_command(tmp_path: Path, library: str, words: str) -> None:
    done, _ = preloading(tmp_path, library)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stock {done.args[0]} [] 0.0 ada {tmp_path} 0\n"
    assert f"starting without alignment: importing library {words}" in done.stderr


@pytest.mark.parametrize("library", [NATIVE_HANG, HANG], ids=["native", "python"])
def test_a_hang_becomes_the_stock_command(tmp_path: Path, library: str) -> None:
    done, took = preloading(tmp_path, library, seconds=0.5)
    assert done.returncode == 0, done.stderr
    assert done.stdout == f"stock {done.args[0]} [] 0.0 ada {tmp_path} 0\n"
    assert "importing library took too long" in done.stderr
    assert took < 15


def test_a_library_that_fails_in_python(tmp_path: Path) -> None:
    done, _ = preloading(tmp_path, "import sys\nsys.exit('no')\n")
    assert done.stdout.startswith("stock")
    assert "importing library failed (SystemExit: no)" in done.stderr


NOTED = """
import os, pathlib
with pathlib.Path(__file__).with_name("starts").open("a") as file:
    file.write(f"{os.getpid()} ")
"""


def test_a_start_that_compiled_begins_again(tmp_path: Path) -> None:
    starts = tmp_path / "starts"
    first, _ = preloading(tmp_path, NOTED)
    assert starts.read_text().split() == [first.args[0]] * 2
    assert first.stdout == f"stock {first.args[0]} [] 0.0 ada {tmp_path} 0\n"
    starts.unlink()
    second, _ = preloading(tmp_path, NOTED)
    assert starts.read_text().split() == second.args


SEAL_FAILS = "import sys\nsys.modules['_samepage_aligned.server'].seal = lambda: 1 / 0\n"
FOLDER_GOES = "import pathlib, shutil\nshutil.rmtree(pathlib.Path(__file__).parent)\n"


@pytest.mark.parametrize(
    ("library", "words"),
    [(SEAL_FAILS, "ZeroDivisionError"), (FOLDER_GOES, "working folder cannot be entered")],
    ids=["seal", "folder"],
)
def test_a_fault_after_the_preload(tmp_path: Path, library: str, words: str) -> None:
    done, _ = preloading(tmp_path, library)
    assert done.stdout.startswith("stock"), done.stderr
    assert words in done.stderr


def test_afterwards_signals_are_as_before() -> None:
    def never(what: str) -> None:
        raise AssertionError(what)

    before = signal.getsignal(signal.SIGSEGV), signal.getsignal(signal.SIGALRM)
    with rescue.rescued(1000, never):  # type: ignore[arg-type]  # it is not called
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    assert (signal.getsignal(signal.SIGSEGV), signal.getsignal(signal.SIGALRM)) == before
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    with within(1000):
        pass
