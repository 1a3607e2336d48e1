"""Follows the processes of one run. Stdlib only, for the guardian uses it."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

from serverproxy.supervisor.environment import MARK
from serverproxy.supervisor.members import find_members
from serverproxy.supervisor.processes import PROC, MarkReader, ProcessRow, read_rows
from serverproxy.supervisor.registry import RunRecord, read_boot_id

# A walk is no snapshot: who forks and ends while it goes on is missed with its child. So "nobody"
# counts only when several walks say so.
_WALKS = 3
_PAUSE_S = 0.01


class Tracker:
    """Knows the living processes of a run; may be asked from several threads.

    strict: as of `members.find_members`.
    """

    def __init__(self, record: RunRecord, *, strict: bool = False, proc: Path = PROC) -> None:
        self.record = record
        self._strict = strict
        self._proc = proc
        self._known: set[tuple[int, int]] = set()
        self._marks = MarkReader(MARK, record.uid, proc)
        self._same_boot = record.boot_id == read_boot_id(proc)
        self._lock = threading.Lock()

    def members(self) -> list[ProcessRow]:
        """Living processes; once seen they stay known when their parents are gone. Walks /proc."""
        if not self._same_boot:
            return []
        with self._lock:
            for _ in range(_WALKS):
                members = self._walk()
                if members:
                    break
                time.sleep(_PAUSE_S)
        return members

    def _walk(self) -> list[ProcessRow]:
        rows = read_rows(self._proc)
        marks = self._marks.read(rows)
        members = find_members(rows, self.record, marks, self._known, strict=self._strict)
        members = [row for row in members if row.pid != os.getpid()]
        self._known = {row.key for row in members}
        return members
