"""Which cell of one notebook is which of another."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

Cell = dict[str, Any]
_SIMILAR = 0.6
# Comparing every cell with every other is quadratic in cells and in their length.
_MOST_PAIRS = 400
_MOST_CHARS = 4000


def source_of(cell: Cell) -> str:
    """The source as one text, whichever of its two forms the file has."""
    source = cell.get("source", "")
    return source if isinstance(source, str) else "".join(source)


def pair(one: Sequence[Cell], other: Sequence[Cell], *, alike: bool = True) -> dict[int, int]:
    """Positions in `one` of cells that are also in `other`, with their positions there. Pure.

    By id first, then by exactly the same source, then, with `alike`, by similar source between two
    neighbours that are already known.
    """
    found = _by_id(one, other)
    _by_source(one, other, found)
    if alike:
        _by_likeness(one, other, found)
    return found


def _by_id(one: Sequence[Cell], other: Sequence[Cell]) -> dict[int, int]:
    places = _unique_ids(other)
    return {place: places[name] for name, place in _unique_ids(one).items() if name in places}


def _unique_ids(cells: Sequence[Cell]) -> dict[str, int]:
    names = [cell.get("id") for cell in cells]
    counts = Counter(name for name in names if isinstance(name, str))
    return {
        name: place
        for place, name in enumerate(names)
        if isinstance(name, str) and counts[name] == 1
    }


def _by_source(one: Sequence[Cell], other: Sequence[Cell], found: dict[int, int]) -> None:
    taken = set(found.values())
    left = [place for place in range(len(one)) if place not in found]
    right = [place for place in range(len(other)) if place not in taken]
    matcher = SequenceMatcher(
        None, [_key(one[p]) for p in left], [_key(other[p]) for p in right], autojunk=False
    )
    for block in matcher.get_matching_blocks():
        for step in range(block.size):
            found[left[block.a + step]] = right[block.b + step]
    taken = set(found.values())
    elsewhere: dict[tuple[str, str], list[int]] = {}
    for place in right:
        if place not in taken and source_of(other[place]).strip():
            elsewhere.setdefault(_key(other[place]), []).append(place)
    for place in left:
        if place not in found and elsewhere.get(_key(one[place])):
            found[place] = elsewhere[_key(one[place])].pop(0)


def _key(cell: Cell) -> tuple[str, str]:
    return str(cell.get("cell_type")), source_of(cell)


def _by_likeness(one: Sequence[Cell], other: Sequence[Cell], found: dict[int, int]) -> None:
    taken = set(found.values())
    pairs = 0
    for place in range(len(one)):
        if place in found:
            continue
        low = max((found[p] for p in range(place) if p in found), default=-1)
        high = next((found[p] for p in range(place + 1, len(one)) if p in found), len(other))
        best: tuple[float, int] | None = None
        for candidate in range(low + 1, high):
            pairs += 1
            if candidate in taken or pairs > _MOST_PAIRS:
                continue
            likeness = _likeness(one[place], other[candidate])
            if likeness >= _SIMILAR and (best is None or likeness > best[0]):
                best = (likeness, candidate)
        if best is not None:
            found[place] = best[1]
            taken.add(best[1])


def _likeness(one: Cell, other: Cell) -> float:
    if one.get("cell_type") != other.get("cell_type"):
        return 0.0
    texts = source_of(one)[:_MOST_CHARS], source_of(other)[:_MOST_CHARS]
    if not all(text.strip() for text in texts):
        return 0.0
    matcher = SequenceMatcher(None, *texts, autojunk=False)
    return matcher.ratio() if matcher.quick_ratio() >= _SIMILAR else 0.0
