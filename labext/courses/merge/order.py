"""In which order the cells of two notebooks stand in their merge."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal

Slot = tuple[Literal["ours", "theirs"], int]


def arrange(
    *,
    old: Sequence[tuple[int, int]],
    partners: Mapping[int, int],
    ours: Sequence[int],
    theirs: Sequence[int],
) -> list[Slot]:
    """Every cell of `ours` and `theirs` once; of partners (ours -> theirs) the student's. Pure.

    old: cells that both have kept, in the order they were delivered in. The student's order
    counts; only when the student moved nothing, the course's does.
    """
    kept = [mine for mine, _ in old]
    back = {course: mine for mine, course in partners.items()}
    if kept != sorted(kept):
        return _weave(ours, theirs, back)
    return [_as_ours(side, place, back) for side, place in _swapped(_weave(theirs, ours, partners))]


def _weave(frame: Sequence[int], guests: Sequence[int], partners: Mapping[int, int]) -> list[Slot]:
    """`frame` as "ours", and each cell that only `guests` has after the one before it there.

    partners: guest -> cell of the frame.
    """
    present = set(frame)
    after: dict[int | None, list[int]] = {}
    anchor: int | None = None
    for place in guests:
        if place in partners and partners[place] in present:
            anchor = partners[place]
        else:
            after.setdefault(anchor, []).append(place)
    slots: list[Slot] = [("theirs", place) for place in after.get(None, [])]
    for place in frame:
        slots.append(("ours", place))
        slots.extend(("theirs", guest) for guest in after.get(place, []))
    return slots


def _swapped(slots: Sequence[Slot]) -> list[Slot]:
    return [("theirs" if side == "ours" else "ours", place) for side, place in slots]


def _as_ours(side: Literal["ours", "theirs"], place: int, back: Mapping[int, int]) -> Slot:
    if side == "theirs" and place in back:
        return "ours", back[place]
    return side, place
