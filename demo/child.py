"""A program that the demo started: its log, its death with the demo, its end in order."""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import psutil

from demo.state import read_json, write_json

TETHER = Path(__file__).with_name("tether.py")
POLL_SECONDS = 0.05
PR_SET_CHILD_SUBREAPER = 36


class Child:
    """A running program, in a session of its own: a Ctrl-C in the terminal is not for it.

    Start it from the main thread: the kernel sees a parent's death when the *thread* ends.
    """

    def __init__(
        self,
        name: str,
        command: list[str],
        *,
        log: Path,
        cwd: Path,
        env: Mapping[str, str],
    ) -> None:
        self.name = name
        self.log = log
        with log.open("wb") as output:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command],
                cwd=cwd,
                env=dict(env),
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    @property
    def exit_status(self) -> int | None:
        """None while it runs; negative: the signal that ended it."""
        return self._process.poll()

    def last_lines(self, number: int = 12) -> list[str]:
        """The end of its log."""
        with self.log.open(encoding="utf-8", errors="replace") as lines:
            return [line.rstrip() for line in deque(lines, maxlen=number)]

    def stop(self, patience_seconds: float, hurry: Callable[[], bool]) -> bool:
        """SIGTERM, wait, then SIGKILL it and all it started; whether it went by itself.

        `hurry` is asked while waiting: when it says so, the waiting ends at once.
        """
        family = _family(self._process.pid)
        if self._process.poll() is None:
            self._process.terminate()
        deadline = time.monotonic() + patience_seconds
        while self._process.poll() is None and time.monotonic() < deadline and not hurry():
            time.sleep(POLL_SECONDS)
        by_itself = self._process.poll() is not None
        _end(family, patience_seconds=1.0 if by_itself else 0.0)
        self._process.wait()
        return by_itself


def remember(path: Path, children: Iterable[Child]) -> None:
    """Note the children, so that `sweep` finds them after a kill -9."""
    known: dict[str, Any] = {}
    for child in children:
        with contextlib.suppress(psutil.NoSuchProcess):
            known[str(child.pid)] = psutil.Process(child.pid).create_time()
    write_json(path, known)


def sweep(path: Path, patience_seconds: float = 10.0) -> int:
    """End what a killed demo left running, and its notes; how many programs there were."""
    left: list[psutil.Process] = []
    for pid, born in read_json(path).items():
        with contextlib.suppress(psutil.NoSuchProcess, ValueError, TypeError):
            process = psutil.Process(int(pid))
            # A pid is used again some day; pid and birth together are not.
            if abs(process.create_time() - float(born)) < 0.5:
                left.append(process)
    family = [member for process in left for member in _family(process.pid)]
    for process in left:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    psutil.wait_procs(left, timeout=patience_seconds)
    _end(family, patience_seconds=1.0)
    path.unlink(missing_ok=True)
    return len(left)


def adopt_orphans() -> None:
    """From now on, what a dead child had started becomes ours, so that we can end it too."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        number = ctypes.get_errno()
        raise OSError(number, f"prctl: {os.strerror(number)}")


def end_descendants(patience_seconds: float) -> None:
    """End every process below this one."""
    family = psutil.Process().children(recursive=True)
    for process in family:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.terminate()
    _end(family, patience_seconds)


def _family(pid: int) -> list[psutil.Process]:
    """A process and what it started, each known by pid and birth."""
    try:
        process = psutil.Process(pid)
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return []


def _end(family: list[psutil.Process], patience_seconds: float) -> None:
    """Give what is left of a family a moment, then kill it."""
    _, alive = psutil.wait_procs(family, timeout=patience_seconds)
    for process in alive:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(signal.SIGKILL)
    psutil.wait_procs(alive, timeout=5)
