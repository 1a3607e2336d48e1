"""The step before SIGTERM: helpers of an application that save their data on a signal of their own.

SIGTERM to a whole group ends such a process before it has saved. So it gets its own signal first,
and everything else waits until it has ended. Stdlib only, for the guardian uses it.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from serverproxy.supervisor.processes import PROC, ProcessRow, read_row

# A process that is just starting has nothing to save, and does not listen to its signal yet.
_DEAF_S = 3.0


@dataclass(frozen=True, kw_only=True)
class SaveStep:
    """program: name of the processes as in /proc/<pid>/comm, 15 bytes at most. signal: tells one to
    save and end; sent only to a process that handles it, for its default is to end without saving.
    """

    program: str
    signal: int


@dataclass(frozen=True, kw_only=True)
class Signals:
    """name: of the program. handled: bit mask of the signals it has handlers for (SigCgt)."""

    name: str
    handled: int

    def handles(self, number: int) -> bool:
        """Whether it has a handler for this signal."""
        return bool(self.handled >> (number - 1) & 1)


def read_signals(pid: int, proc: Path = PROC) -> Signals | None:
    """From /proc/<pid>/status, proc(5); None when the process is gone."""
    try:
        lines = (proc / str(pid) / "status").read_text("utf-8", "replace").splitlines()
    except OSError:
        return None
    fields = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    try:
        return Signals(name=fields["Name"], handled=int(fields["SigCgt"], 16))
    except (KeyError, ValueError):
        return None


class Saving:
    """One save of one run, a round at a time."""

    def __init__(
        self,
        step: SaveStep,
        *,
        read: Callable[[int], Signals | None] = read_signals,
        send: Callable[[ProcessRow, int], None] | None = None,
    ) -> None:
        self._step = step
        self._read = read
        self._send = send_signal if send is None else send
        self._asked: set[tuple[int, int]] = set()
        self._forks: set[tuple[int, int]] = set()
        self._seen: dict[tuple[int, int], float] = {}

    def round(self, members: Iterable[ProcessRow], now: float) -> bool:
        """Signal who has not been signalled; whether to wait. Reads /proc; now: steady seconds.

        A process that appears meanwhile (an open page asked for the session again) is asked too:
        it has taken back what the first one saved.
        """
        named = {}
        for row in members:
            signals = self._read(row.pid)
            if signals is not None and signals.name == self._step.program:
                named[row.pid] = (row, signals)
        waiting = False
        for row, signals in named.values():
            # A fork works for its parent: what it has is the parent's, who saves it.
            if row.ppid in named or row.key in self._forks:
                self._forks.add(row.key)
                continue
            since = self._seen.setdefault(row.key, now)
            if row.key in self._asked:
                waiting = True
            elif signals.handles(self._step.signal):
                self._asked.add(row.key)
                self._send(row, self._step.signal)
                waiting = True
            elif now - since < _DEAF_S:
                waiting = True
        return waiting


def send_signal(row: ProcessRow, number: int) -> None:
    """Send it to this very process; one that has ended is left alone."""
    with suppress(ProcessLookupError, PermissionError, OSError):
        descriptor = os.pidfd_open(row.pid) if hasattr(os, "pidfd_open") else None
        try:
            present = read_row(row.pid)
            if present is None or present.starttime != row.starttime:
                return
            numbers = (number, signal.SIGCONT)  # a stopped process would not hear it
            for each in numbers:
                if descriptor is None:
                    os.kill(row.pid, each)
                else:
                    signal.pidfd_send_signal(descriptor, each)
        finally:
            if descriptor is not None:
                os.close(descriptor)
