"""A turn at this machine's KSM: who steers it steers alone, whichever worker the test is on.

The agent that is tested takes the product's own lock. A test that only waits until that is free
may find it taken a moment later, by what another worker has just started.

What KSM was found with is put back at the end of the turn; after a run that was killed in one, at
the beginning of the next.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from nodeagent.ksm.lock import KsmLock, default_lock_path
from nodeagent.ksm.state import StateFile, read_originals, restore
from nodeagent.ksm.sysfs import KsmDir

#: The longest turn of another test, and the one before.
PATIENCE = 240.0
_TURN = default_lock_path().with_name("tests-turn.lock")


@contextmanager
def turn() -> Iterator[None]:
    """Nobody else steers KSM within the block; skips the test when it never comes to that."""
    deadline = time.monotonic() + PATIENCE
    # Some take no turn: a benchmark, the agent of somebody's demo.
    with _queue(deadline) as ours:
        if not (ours and _wait(lambda: not KsmLock().held_elsewhere(), deadline)):
            pytest.skip(f"another process steers this machine's KSM (user {os.geteuid()})")
        with _as_found():
            yield


@contextmanager
def _as_found() -> Iterator[None]:
    ksm = KsmDir()
    if not ksm.writable:
        yield
        return
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    kept = StateFile(_TURN.with_name("tests"), boot_id=boot, sys_root=Path("/sys"))
    found = kept.load() or read_originals(ksm)
    restore(ksm, found)
    kept.save(found)
    try:
        yield
    finally:
        restore(ksm, found)
        kept.delete()


@contextmanager
def _queue(deadline: float) -> Iterator[bool]:
    """Holds the turn within the block, if it came before the deadline."""
    _TURN.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
    with _TURN.open("a") as file:

        def ours() -> bool:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
            return True

        yield _wait(ours, deadline)


def _wait(ready: Callable[[], bool], deadline: float) -> bool:
    while not ready():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.1)
    return True


@pytest.fixture(scope="module", autouse=True)
def ksm_turn() -> Iterator[None]:
    """For the whole module, which imports it: also while its own fixtures are made."""
    with turn():
        yield


@pytest.fixture(scope="module", autouse=True)
def ksm_turn_if_any() -> Iterator[None]:
    """For a module that runs beside another agent too; others of the tests wait for its end."""
    with _queue(time.monotonic() + PATIENCE):
        yield
