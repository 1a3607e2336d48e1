"""Students who open their server in the same minute: each a process that wants one course."""

from __future__ import annotations

import asyncio
import contextlib
import os
import random
import sys
import time
import traceback
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Way = Literal["nbgitpuller", "without cache", "with cache"]
WAYS: tuple[Way, ...] = ("nbgitpuller", "without cache", "with cache")

# After an error a student waits and presses reload, whoever showed the error.
RETRY_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Rush:
    """students come at random within `spread` seconds and give up after `patience`."""

    way: Way
    url: str
    homes: Path
    students: int
    spread: float
    patience: float
    cache: Path
    seed: int = 9


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """seconds until the files were there, None: they never were. cpu: seconds, of all it took."""

    seconds: float | None
    tries: int
    cpu: float


def run(rush: Rush) -> list[Outcome]:
    """All students, each in a process forked when they come. Blocks until the last has ended."""
    chance = random.Random(rush.seed)
    arrivals = sorted(chance.uniform(0.0, rush.spread) for _ in range(rush.students))
    begun = time.monotonic()
    running: dict[int, int] = {}
    outcomes: list[Outcome | None] = [None] * rush.students
    waiting = list(enumerate(arrivals))
    while waiting or running:
        now = time.monotonic() - begun
        while waiting and waiting[0][1] <= now:
            number, _ = waiting.pop(0)
            running[_student(rush, number)] = number
        if not running:
            time.sleep(max(0.0, min(0.05, waiting[0][1] - now)))
            continue
        pid, status, usage = os.wait4(-1, os.WNOHANG)
        if pid == 0:
            time.sleep(0.01)
            continue
        number = running.pop(pid)
        outcomes[number] = _outcome(rush, number, status, usage.ru_utime + usage.ru_stime)
    return [outcome for outcome in outcomes if outcome is not None]


def _student(rush: Rush, number: int) -> int:
    home = rush.homes / f"{number:04d}"
    home.mkdir(parents=True)
    child = os.fork()
    if child:
        return child
    code = 1
    try:
        os.setpgid(0, 0)
        environment = {"PATH": os.environ["PATH"], "HOME": str(home), "LC_ALL": "C.UTF-8"}
        os.environ.clear()
        os.environ.update(environment)
        os.chdir(home)
        with (home / "log").open("w") as log:
            os.dup2(log.fileno(), 1)
            os.dup2(log.fileno(), 2)
            seconds, tries = _want(rush, home)
            (home / "outcome").write_text(f"{seconds} {tries}")
        code = 0
    except BaseException:  # noqa: BLE001 - a child must not go on as its parent
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        os._exit(code)


def _want(rush: Rush, home: Path) -> tuple[float, int]:
    begun = time.monotonic()
    tries = 0
    pull: Callable[[Rush, Path], bool] = _nbgitpuller if rush.way == "nbgitpuller" else _ours
    while True:
        tries += 1
        there = pull(rush, home)
        seconds = time.monotonic() - begun
        if there:
            return seconds, tries
        if seconds > rush.patience:
            return -1.0, tries
        time.sleep(RETRY_SECONDS)


def _nbgitpuller(rush: Rush, home: Path) -> bool:
    """As its page does it, in the student's server."""
    from nbgitpuller.pull import GitPuller

    try:
        for _ in GitPuller(rush.url, str(home / "course")).pull():
            pass
    except Exception as err:  # noqa: BLE001 - shown to the student, whatever it is
        print(f"nbgitpuller: {err!r}")
        return False
    return True


def _ours(rush: Rush, home: Path) -> bool:
    """As our service does it: a worker process when there is something to do."""
    from labext.courses.launch import WorkerError
    from labext.courses.light import pull_lightly
    from labext.courses.protocol import Job

    job = Job(
        url=rush.url,
        branch=None,
        depth=1,
        root=str(home),
        target="course",
        state_dir=str(home / ".state"),
        timeout_seconds=rush.patience,
        connect_timeout_seconds=15.0,
        cache=str(rush.cache) if rush.way == "with cache" else "",
        cache_owner=os.geteuid(),
    )
    try:
        result = asyncio.run(pull_lightly(job, lambda _: None))
    except (WorkerError, OSError) as err:
        print(f"ours: {err!r}")
        return False
    print(result)
    if result.wait_seconds is not None and result.state != "up_to_date":
        time.sleep(max(0.0, result.wait_seconds - RETRY_SECONDS))
    return result.state == "up_to_date"


def _outcome(rush: Rush, number: int, status: int, cpu: float) -> Outcome:
    file = rush.homes / f"{number:04d}" / "outcome"
    seconds, tries = -1.0, 0
    if status == 0:
        with contextlib.suppress(OSError, ValueError):
            words = file.read_text().split()
            seconds, tries = float(words[0]), int(words[1])
    return Outcome(seconds=seconds if seconds >= 0 else None, tries=tries, cpu=cpu)
