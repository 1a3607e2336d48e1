"""Which processes belong to an application. Pure."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from serverproxy.supervisor.processes import ProcessRow
from serverproxy.supervisor.registry import RunRecord


def find_members(
    rows: Sequence[ProcessRow],
    record: RunRecord,
    marks: Mapping[int, str],
    known: Collection[tuple[int, int]] = (),
    *,
    strict: bool = False,
) -> list[ProcessRow]:
    """Living processes of the run: its session, what carries its mark, and their descendants.

    marks: mark by pid, of our own processes. known: keys of members found earlier in this run.
    strict: nobody watched the run without a break, so the number of a session whose first process
        is gone may be another's by now, and only the mark proves that a process is ours.
    A process that began before the run is never a member.
    """
    leader = next((row for row in rows if row.pid == record.pid), None)
    leader_is_ours = leader is not None and leader.starttime == record.starttime
    session_is_ours = record.pid is not None and (leader_is_ours or (leader is None and not strict))

    def is_seed(row: ProcessRow) -> bool:
        return (
            row.key in known
            or marks.get(row.pid) == record.mark
            or (session_is_ours and row.sid == record.pid)
        )

    children: dict[int, list[ProcessRow]] = {}
    for row in rows:
        children.setdefault(row.ppid, []).append(row)
    found: dict[int, ProcessRow] = {}
    waiting = [row for row in rows if is_seed(row)]
    while waiting:
        row = waiting.pop()
        too_old = record.starttime is not None and row.starttime < record.starttime
        if row.pid in found or too_old or row.pid <= 1:
            continue
        found[row.pid] = row
        waiting.extend(children.get(row.pid, ()))
    return sorted((row for row in found.values() if not row.zombie), key=lambda row: row.pid)


def groups_of(members: Sequence[ProcessRow], own_pgid: int) -> list[int]:
    """Process groups a signal may go to as a whole: never our own, never 0 or 1."""
    return sorted({row.pgid for row in members} - {own_pgid, 0, 1})
