"""What a student's server is told of its own kernels: drifted from most, and why.

The answer must not tell a student about a neighbour. So it compares with what more than half of
the other students of the class have, at least OTHERS of them; the asker's own kernels have no
vote; it says drifted or nothing, never how much; it gives names that the asker's kernel itself
told. And it is slow: a student is answered on MOST_KERNELS kernels once in HOLD_SECONDS, so that
guessing what others have by making kernels up (a secret layout has 2^28 values) takes years.
"""

from collections.abc import Iterable

from nodeagent.kernels.count import Survey, Told, name_of
from nodeagent.kernels.crowd import alike, kind_of
from nodeagent.kernels.differ import Cause, differences
from nodeagent.kernels.table import KernelNote, Mark, Table
from nodeagent.workloads.owner import Owner

OTHERS = 3
MOST_KERNELS = 32
HOLD_SECONDS = 60.0


def verdicts(survey: Survey, owner: Owner) -> tuple[Told, ...]:
    """The drifted kernels of `owner`, for those of its servers that ask. Pure."""
    told: list[Told] = []
    left = MOST_KERNELS
    for table in (table for each, table in survey.tables if each == owner):
        if table.asker is None:
            continue
        for note in table.kernels[:left]:
            left -= 1
            cause = _cause(survey, owner, table, note)
            if cause is not None and note.id is not None:
                name = "" if cause.foreign and cause.code != "module" else cause.name
                told.append(Told(asker=table.asker, kernel=note.id, code=cause.code, name=name))
    return tuple(told)


def _cause(survey: Survey, owner: Owner, table: Table, note: KernelNote) -> Cause | None:
    mark = note.mark
    # Without pages only the layout could be compared: one number, which could be guessed.
    if mark is None or not mark.pages or note.state != "aligned":
        return None
    crowd = survey.crowds[name_of(table, note), kind_of(note, mark)]
    most = crowd.most_others(owner, OTHERS)
    if most is None or not most.pages or alike(mark, most):
        return None
    return _tellable(mark, note, most)


def _tellable(mark: Mark, note: KernelNote, most: Mark) -> Cause:
    """The first difference; of modules that are missing only those that it said were dropped."""
    cause = differences(mark, most)[0]
    if cause.code == "module":
        own = [name for name in cause.name.split(", ") if name in note.dropped]
        return Cause(code="module", name=", ".join(own))
    return cause


class Answers:
    """Keeps what each student was told for a while. Not safe for two threads."""

    def __init__(self) -> None:
        self._kept: dict[Owner, tuple[float, tuple[Told, ...]]] = {}

    def renew(self, survey: Survey, now: float) -> tuple[Told, ...]:
        """All that is to be told now. `now`: monotonic seconds."""
        present = {owner for owner, table in survey.tables if table.asker is not None}
        # Who was away for a moment has not become somebody else.
        self._kept = {
            owner: kept
            for owner, kept in self._kept.items()
            if owner in present or now - kept[0] < HOLD_SECONDS
        }
        for owner in present:
            kept = self._kept.get(owner)
            if kept is None or now - kept[0] >= HOLD_SECONDS:
                self._kept[owner] = now, verdicts(survey, owner)
        return tuple(_still_there(self._kept, present, survey))


def _still_there(
    kept: dict[Owner, tuple[float, tuple[Told, ...]]], present: set[Owner], survey: Survey
) -> Iterable[Told]:
    """Without kernels that have ended since."""
    known = {
        (owner, table.asker, note.id) for owner, table in survey.tables for note in table.kernels
    }
    for owner in present:
        for told in kept[owner][1]:
            if (owner, told.asker, told.kernel) in known:
                yield told
