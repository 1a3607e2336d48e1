"""Two notebooks side by side, cell by cell, and the course's version of one cell taken over."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Literal

from labext.courses.merge.cells import Cell, pair, source_of
from labext.courses.merge.note import TAG, untouched_note_of
from labext.courses.merge.order import arrange
from labext.courses.merge.wellformed import Notebook, is_valid, parse, repair

Status = Literal["same", "changed", "yours", "teachers", "note"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """Positions of one cell in the three notebooks; None: it is not in that one.

    status `yours`, `teachers`: only there. note: the course's version that a pull put in.
    """

    status: Status
    yours: int | None
    teachers: int | None
    base: int | None


def align(yours: Notebook, teachers: Notebook, base: Notebook | None) -> list[Row]:
    """Every cell of `yours` and `teachers` once, in the order of `yours`. Pure."""
    ours, theirs = yours["cells"], teachers["cells"]
    old: list[Cell] = [] if base is None else base["cells"]
    to_ours, to_theirs = pair(old, ours), pair(old, theirs)
    origins = {mine: place for place, mine in to_ours.items()}
    known = {course: place for place, course in to_theirs.items()}
    partners = {to_ours[place]: to_theirs[place] for place in to_ours if place in to_theirs}
    left = [p for p in range(len(ours)) if p not in partners and not is_note(ours[p])]
    right = [p for p in range(len(theirs)) if p not in partners.values()]
    for one, other in pair([ours[p] for p in left], [theirs[p] for p in right]).items():
        partners[left[one]] = right[other]
    slots = arrange(
        old=[], partners=partners, ours=list(range(len(ours))), theirs=list(range(len(theirs)))
    )
    return [
        _row(ours, theirs, place, partners.get(place), origins.get(place))
        if side == "ours"
        else Row(status="teachers", yours=None, teachers=place, base=known.get(place))
        for side, place in slots
    ]


def _row(
    ours: list[Cell], theirs: list[Cell], mine: int, course: int | None, base: int | None
) -> Row:
    status: Status = "yours"
    if is_note(ours[mine]):
        status = "note"
    elif course is not None:
        one, other = ours[mine], theirs[course]
        same = source_of(one) == source_of(other) and one["cell_type"] == other["cell_type"]
        status = "same" if same else "changed"
    return Row(status=status, yours=mine, teachers=course, base=base)


def is_note(cell: Cell) -> bool:
    """Whether a pull put this cell in, to show the course's version of the one above. Pure."""
    metadata = cell.get("metadata")
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and TAG in tags


def take(yours: bytes, teachers: bytes, base: bytes | None, number: int) -> bytes | None:
    """`yours` with the course's cell of row `number`; None: there is none, or it would not open.

    A note on that cell goes, unless the student wrote in it. Pure.
    """
    mine, course = parse(yours), parse(teachers)
    old = None if base is None else parse(base)
    if mine is None or course is None:
        return None
    rows = align(mine, course, old)
    row = rows[number] if 0 <= number < len(rows) else None
    if row is None or row.teachers is None:
        return None
    cell = copy.deepcopy(course["cells"][row.teachers])
    if row.yours is None:
        before = [r.yours for r in rows[:number] if r.yours is not None]
        mine["cells"].insert(before[-1] + 1 if before else 0, cell)
    else:
        name = mine["cells"][row.yours].get("id")
        mine["cells"][row.yours] = {**cell, "id": name} if name is not None else cell
        mine["cells"] = [
            one for one in mine["cells"] if name is None or untouched_note_of(one) != name
        ]
    repair(mine)
    if not is_valid(mine):
        return None
    return f"{json.dumps(mine, indent=1, ensure_ascii=False, sort_keys=True)}\n".encode()
