"""Programs that the demo started: they end with it, and in order."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil

from demo.child import Child, remember, sweep
from demo.state import write_json

ROOT = Path(__file__).parents[3]
SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(600)"]
DEAF = [
    sys.executable,
    "-c",
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "grandchild = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(600)'],"
    " start_new_session=True)\n"
    "print(grandchild.pid, flush=True)\n"
    "time.sleep(600)",
]


def until(condition: Callable[[], bool], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "waited too long"
        time.sleep(0.02)


def start(command: list[str], folder: Path) -> Child:
    child = Child("it", command, log=folder / "log", cwd=folder, env=os.environ)
    until(lambda: bool(child.last_lines()))
    return child


def never() -> bool:
    return False


def test_it_ends_when_told(tmp_path: Path) -> None:
    child = start(SLEEP, tmp_path)
    assert os.getsid(child.pid) == child.pid
    assert child.stop(20, never)
    assert child.exit_status == -signal.SIGTERM
    assert child.stop(20, never)


def test_a_deaf_one_is_killed_with_all_it_started(tmp_path: Path) -> None:
    child = start(DEAF, tmp_path)
    grandchild = psutil.Process(int(child.last_lines()[0]))
    assert not child.stop(0.2, never)
    until(lambda: not grandchild.is_running())
    assert not psutil.pid_exists(child.pid)


def test_haste_ends_the_waiting(tmp_path: Path) -> None:
    child = start(DEAF, tmp_path)
    begun = time.monotonic()
    assert not child.stop(60, lambda: True)
    assert time.monotonic() - begun < 10


def test_a_program_that_does_not_exist_says_so_in_its_log(tmp_path: Path) -> None:
    child = Child("it", ["/nowhere"], log=tmp_path / "log", cwd=tmp_path, env=os.environ)
    until(lambda: child.exit_status is not None)
    assert "FileNotFoundError" in child.last_lines()[-1]


def test_it_dies_with_its_parent(tmp_path: Path) -> None:
    program = (
        "import os, time; from pathlib import Path; from demo.child import Child\n"
        f"child = Child('it', {SLEEP!r}, log=Path({str(tmp_path / 'log')!r}),"
        f" cwd=Path({str(tmp_path)!r}), env=os.environ)\n"
        "print(child.pid, flush=True); time.sleep(600)"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], cwd=ROOT, stdout=subprocess.PIPE, text=True
    ) as parent:
        assert parent.stdout is not None
        child = psutil.Process(int(parent.stdout.readline()))
        until(lambda: (tmp_path / "log").stat().st_size > 0)
        parent.kill()
    until(lambda: not child.is_running() or child.status() == psutil.STATUS_ZOMBIE)


def test_sweep_ends_what_was_left_and_nothing_else(tmp_path: Path) -> None:
    left, other = start(SLEEP, tmp_path), start(SLEEP, tmp_path)
    notes = tmp_path / "children.json"
    remember(notes, [left])
    known = notes.read_text()
    assert str(left.pid) in known
    assert sweep(notes) == 1
    assert not notes.exists()
    assert left.exit_status is not None
    assert other.exit_status is None

    # The same pid, but born at another time: somebody else's program.
    write_json(notes, {str(other.pid): 12345.0})
    assert sweep(notes) == 0
    assert other.exit_status is None
    other.stop(20, never)


def test_sweep_without_or_with_damaged_notes(tmp_path: Path) -> None:
    assert sweep(tmp_path / "none.json") == 0
    (tmp_path / "bad.json").write_text('{"x": 1, "1": "y", "2": null}')
    assert sweep(tmp_path / "bad.json") == 0
