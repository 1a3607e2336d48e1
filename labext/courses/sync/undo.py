"""Takes the last change of a course's folder back."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labext.courses.errors import CourseError
from labext.courses.sync.journal import Journal, Reached, read_reached
from labext.courses.sync.ops import inverse
from labext.courses.sync.repository import BASE, SNAPSHOTS, Repository
from labext.courses.sync.transaction import carry_out, keep, snapshot_name

_EMPTY = "refs/samepage/nothing"


@dataclass(frozen=True, kw_only=True)
class Undone:
    """paths: put back as they were. kept: left as they are, for they were changed since."""

    paths: tuple[str, ...]
    kept: tuple[str, ...]


def last(repository: Repository) -> Journal | None:
    """The last pull that changed something, or the undoing of it; None: there is none."""
    names = repository.snapshots()
    if not names:
        return None
    try:
        return Journal.parse(repository.message(f"{SNAPSHOTS}{names[-1]}"))
    except ValueError:
        return None


def undo(repository: Repository, target: Path, clock: Callable[[], float]) -> Undone:
    """Undo the last pull; done twice, it is as before. Hold the lock. Errors: CourseError.

    What was changed since then stays. The course's version that was sent back does not come
    again, the next one does.
    """
    journal = last(repository)
    reached = read_reached(repository.path)
    base = repository.commit(BASE)
    if journal is None or reached is None or base is None:
        raise CourseError(
            "nothing_to_undo",
            f"There is no pull into {target.name} that could be undone.",
            "Only a pull that changed files can be undone.",
        )
    goal = journal.base
    if goal is None:
        repository.record(_EMPTY, message="Nothing delivered")
        goal = repository.commit(_EMPTY)
        assert goal is not None
    before = journal.before or replace(journal.reached, commit="", skip=None, held=())
    back = Journal(
        ops=tuple(inverse(journal.ops)),
        base=base,
        goal=goal,
        reached=_skipping(before, journal),
        before=reached,
        snapshot=snapshot_name(clock(), repository.snapshots()),
        changes=(),
    )
    keep(repository, back, seen={}, fresh={})
    held = carry_out(repository, target, back)
    touched = {op.path for op in back.ops}
    return Undone(paths=tuple(sorted(touched - held)), kept=tuple(sorted(held)))


def _skipping(before: Reached, journal: Journal) -> Reached:
    undoes_an_undo = journal.reached.skip is not None
    return replace(before, skip=None if undoes_an_undo else journal.reached.commit, held=())
