"""Takes changes of a course's folder back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labext.courses.errors import CourseError
from labext.courses.sync.history import journals_of
from labext.courses.sync.journal import Journal, Reached, read_reached, write_reached
from labext.courses.sync.ops import inverse
from labext.courses.sync.repository import BASE, Repository
from labext.courses.sync.transaction import carry_out, keep, snapshot_name

_EMPTY = "refs/samepage/nothing"
_PARTIAL = "refs/samepage/partial"


@dataclass(frozen=True, kw_only=True)
class Undone:
    """paths: put back as they were. kept: left as they are, for they were changed since."""

    paths: tuple[str, ...]
    kept: tuple[str, ...]


def undo(
    repository: Repository,
    target: Path,
    clock: Callable[[], float],
    snapshot: str | None = None,
) -> Undone:
    """Undo the last change, or the one of `snapshot`; an undoing too. Hold the lock.

    What was changed since then stays. The course's version that was sent back does not come
    again, the next one does. Errors: CourseError.
    """
    journals = journals_of(repository)
    newest = next(reversed(journals), None)
    journal = journals.get(snapshot or newest or "")
    reached = read_reached(repository.path)
    base = repository.commit(BASE)
    if journal is None or reached is None or base is None:
        raise CourseError(
            "nothing_to_undo",
            f"There is no pull into {target.name} that could be undone.",
            "Only a pull that changed files can be undone.",
        )
    if journal.before is not None and reached.skip == journal.before.commit:
        reached = journal.before  # of an update that was sent back, and is wanted after all
    last = journal.snapshot == newest and journal.act != "take"
    goal = _goal(repository, journal, base, last=last)
    back = Journal(
        ops=tuple(inverse(journal.ops)),
        base=base,
        goal=goal,
        reached=_skipping(journal) if last else reached,
        before=reached,
        snapshot=snapshot_name(clock(), list(journals)),
        changes=(),
        act="undo",
        of=journal.snapshot,
    )
    keep(repository, back, seen={}, fresh={})
    held = carry_out(repository, target, back)
    if not last:
        # What was left as it is has been delivered all the same: no pull is to try it again.
        write_reached(repository.path, reached)
    touched = {op.path for op in back.ops}
    return Undone(paths=tuple(sorted(touched - held)), kept=tuple(sorted(held)))


def _goal(repository: Repository, journal: Journal, base: str, *, last: bool) -> str:
    """What counts as delivered afterwards."""
    if journal.act != "pull" and journal.base == journal.goal:
        return base
    if last:
        if journal.base is not None:
            return journal.base
        repository.record(_EMPTY, message="Nothing delivered")
        return str(repository.commit(_EMPTY))
    # Later pulls brought other files: those stay delivered.
    now = repository.tree(base)
    old = {} if journal.base is None else repository.tree(journal.base)
    owners = sorted({owner for op in journal.ops for owner in op.owners})
    repository.record(
        _PARTIAL,
        parent=base,
        gone=[path for path in owners if path in now],
        known=[(path, old[path]) for path in owners if path in old],
        message="Delivered, without what was sent back",
    )
    return str(repository.commit(_PARTIAL))


def _skipping(journal: Journal) -> Reached:
    if journal.act == "undo" and journal.before is not None:
        return journal.before
    before = journal.before or replace(journal.reached, commit="")
    return replace(before, skip=journal.reached.commit, held=())
