"""The processes of this machine, read from /proc. Stdlib only, for the guardian uses it.

Source: proc(5). A walk takes about 20 microseconds for each process: not for the event loop.
"""

# ruff: noqa: PTH116, PTH123, PTH208 - pathlib makes a walk of /proc three times as slow
from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class ProcessRow:
    """One process. starttime: clock ticks since boot, which with the pid names it for good.

    uid: owner of its /proc folder; 0 for a process that hides its memory (not dumpable).
    """

    pid: int
    ppid: int
    pgid: int
    sid: int
    starttime: int
    uid: int
    zombie: bool

    @property
    def key(self) -> tuple[int, int]:
        """What tells it from a later process with the same pid."""
        return self.pid, self.starttime


def parse_stat(text: str, uid: int) -> ProcessRow:
    """Parse /proc/<pid>/stat. ValueError or IndexError when it is not one. Pure."""
    # The name may hold spaces and parentheses, so fields count from the last one.
    head, _, tail = text.rpartition(")")
    fields = tail.split()
    return ProcessRow(
        pid=int(head.split(" ", 1)[0]),
        ppid=int(fields[1]),
        pgid=int(fields[2]),
        sid=int(fields[3]),
        starttime=int(fields[19]),
        uid=uid,
        zombie=fields[0] in {"Z", "X", "x"},
    )


def read_row(pid: int, proc: Path = PROC) -> ProcessRow | None:
    """The process; None when it is gone."""
    folder = f"{proc}/{pid}"
    try:
        with open(f"{folder}/stat", "rb") as file:
            return parse_stat(file.read().decode("utf-8", "replace"), os.stat(folder).st_uid)
    except (OSError, ValueError, IndexError):
        return None


def read_rows(proc: Path = PROC) -> list[ProcessRow]:
    """All processes that can be seen; those that end meanwhile are left out."""
    try:
        names = os.listdir(proc)
    except OSError:
        return []
    rows = (read_row(int(name), proc) for name in names if name.isdigit())
    return [row for row in rows if row is not None]


class MarkReader:
    """Reads a variable from the initial environment of processes, each process once."""

    def __init__(self, variable: str, uid: int, proc: Path = PROC) -> None:
        self._prefix = f"{variable}=".encode()
        self._uid = uid
        self._proc = proc
        self._seen: dict[tuple[int, int], str | None] = {}

    def read(self, rows: list[ProcessRow]) -> dict[int, str]:
        """Value by pid, of our user's processes that have one and let us read it."""
        seen: dict[tuple[int, int], str | None] = {}
        found: dict[int, str] = {}
        for row in rows:
            if row.uid != self._uid or row.zombie:
                continue
            if row.key in self._seen:
                value = self._seen[row.key]
            else:
                environment = self._read(row.pid)
                if not environment:
                    continue  # in the middle of an exec it is empty; look again next time
                value = self._find(environment)
            seen[row.key] = value
            if value is not None:
                found[row.pid] = value
        self._seen = seen
        return found

    def _read(self, pid: int) -> bytes:
        try:
            with open(f"{self._proc}/{pid}/environ", "rb") as file:
                return file.read()
        except OSError:
            return b""

    def _find(self, environment: bytes) -> str | None:
        for variable in environment.split(b"\0"):
            if variable.startswith(self._prefix):
                return variable[len(self._prefix) :].decode("utf-8", "replace")
        return None
