"""Ends the processes of a run: SIGTERM to its groups, time to save, then SIGKILL. Stdlib only.

Where the application has a step of its own for saving, that comes before SIGTERM, see `saving`.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from enum import StrEnum
from pathlib import Path

from serverproxy.supervisor.members import groups_of
from serverproxy.supervisor.processes import PROC, ProcessRow, read_row
from serverproxy.supervisor.registry import RunRecord
from serverproxy.supervisor.saving import Saving
from serverproxy.supervisor.tracker import Tracker

ROUND_S = 0.1
# What SIGKILL does not end within this time waits for a device; nobody can do more.
GIVE_UP_S = 10.0
# A launch that was under way when its server died may appear a moment later.
LAUNCH_S = 1.0


class Stage(StrEnum):
    """How far it is. STUCK: still there although it was killed."""

    SAVING = "saving"
    KILLING = "killing"
    GONE = "gone"
    STUCK = "stuck"


class Ender:
    """Ends one run, a round at a time; `begun` and `now` are of one steady clock, in seconds."""

    def __init__(
        self, tracker: Tracker, *, begun: float, grace_s: float | None = None, proc: Path = PROC
    ) -> None:
        self.record = tracker.record
        self._tracker = tracker
        self._begun = begun
        self._grace_s = tracker.record.grace_s if grace_s is None else grace_s
        self._proc = proc
        self._asked = False
        step = tracker.record.save_step
        self._saving = None if step is None else Saving(step)

    def shorten(self, grace_s: float) -> None:
        """Somebody is in a hurry: kill after `grace_s` seconds from the beginning."""
        self._grace_s = min(self._grace_s, grace_s)

    def round(self, now: float) -> Stage:
        """Look once and signal what is due. Walks /proc, so not for the event loop."""
        members = self._tracker.members()
        spent = now - self._begun
        if not members:
            maybe_launching = self.record.pid is None and spent < LAUNCH_S and not self._asked
            return Stage.SAVING if maybe_launching else Stage.GONE
        if spent >= self._grace_s:
            _kill(members, self._proc)
            return Stage.STUCK if spent >= self._grace_s + GIVE_UP_S else Stage.KILLING
        if not self._asked and self._saving is not None and self._saving.round(members, now):
            return Stage.SAVING
        if not self._asked:
            # Once, and to whole groups: what an application starts in order to save is spared.
            self._asked = True
            _ask(members)
        return Stage.SAVING


def end_all(
    records: Iterable[RunRecord],
    *,
    strict: bool,
    grace_s: float | None = None,
    on_gone: Callable[[RunRecord], None] = lambda record: None,
    proc: Path = PROC,
    clock: Callable[[], float] = time.monotonic,
    sleep: Callable[[float], None] = time.sleep,
) -> list[RunRecord]:
    """End runs side by side; blocks up to the longest grace and `GIVE_UP_S`. Returns stuck ones.

    on_gone: called for each run of which nothing is left.
    """
    begun = clock()
    enders = [
        Ender(Tracker(record, strict=strict, proc=proc), begun=begun, grace_s=grace_s, proc=proc)
        for record in records
    ]
    stuck: list[RunRecord] = []
    while enders:
        left = []
        for ender in enders:
            stage = ender.round(clock())
            if stage is Stage.GONE:
                on_gone(ender.record)
            elif stage is Stage.STUCK:
                stuck.append(ender.record)
            else:
                left.append(ender)
        enders = left
        if enders:
            sleep(ROUND_S)
    return stuck


def _ask(members: list[ProcessRow]) -> None:
    for group in groups_of(members, os.getpgrp()):
        for number in (signal.SIGTERM, signal.SIGCONT):  # a stopped process would not hear it
            with suppress(ProcessLookupError, PermissionError):
                os.killpg(group, number)


def _kill(members: list[ProcessRow], proc: Path) -> None:
    for row in members:
        # Between the walk and here the process may have ended and its number be another's.
        with suppress(ProcessLookupError, PermissionError, OSError):
            descriptor = os.pidfd_open(row.pid) if hasattr(os, "pidfd_open") else None
            try:
                present = read_row(row.pid, proc)
                if present is None or present.starttime != row.starttime:
                    continue
                if descriptor is None:
                    os.kill(row.pid, signal.SIGKILL)
                else:
                    signal.pidfd_send_signal(descriptor, signal.SIGKILL)
            finally:
                if descriptor is not None:
                    os.close(descriptor)
