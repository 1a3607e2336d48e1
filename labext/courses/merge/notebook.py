"""Three-way merge of notebooks, cell by cell. Source of the format: nbformat's v4 schema."""

from __future__ import annotations

import copy
import json
from dataclasses import dataclass
from typing import Any

from labext.courses.merge.cells import Cell, pair, source_of
from labext.courses.merge.lines import merge_lines
from labext.courses.merge.note import note, untouched_note_of
from labext.courses.merge.order import arrange
from labext.courses.merge.values import merge_values
from labext.courses.merge.wellformed import Notebook, is_valid, parse, repair

# What the course says of a cell counts: nbgrader could not grade it otherwise.
_COURSES_KEYS = frozenset({"nbgrader", "deletable", "editable"})


@dataclass(frozen=True, kw_only=True)
class MergedNotebook:
    """content: UTF-8 JSON. conflicts: cells of which both versions are in it."""

    content: bytes
    conflicts: int


def merge_notebooks(base: bytes | None, ours: bytes, theirs: bytes) -> MergedNotebook | None:
    """Both sides' changes in one valid notebook; None: cannot be done cell by cell. Pure.

    A cell that both edited in the same place stays the student's, and the course's version
    follows as a markdown cell. Outputs never conflict: they go with the source that counts.
    base None: the student's file was not delivered by us; only cells that are the same are paired.
    """
    mine, course = parse(ours), parse(theirs)
    old = parse(base) if base is not None else None
    if mine is None or course is None or (base is not None and old is None):
        return None
    if old is not None and _same(course, old):
        return MergedNotebook(content=ours, conflicts=0)
    merged, conflicts = _merge(old, mine, course)
    repair(merged)
    for known, content in ((mine, ours), (course, theirs)):
        if _same(merged, known) and is_valid(known):
            return MergedNotebook(content=content, conflicts=conflicts)
    if not is_valid(merged):
        return None
    try:
        text = json.dumps(merged, indent=1, ensure_ascii=False, sort_keys=True)
        return MergedNotebook(content=f"{text}\n".encode(), conflicts=conflicts)
    except UnicodeEncodeError:  # half of a surrogate pair
        return None


def related(ours: bytes, theirs: bytes) -> bool:
    """Whether one notebook looks like a version of the other. Pure."""
    mine, course = parse(ours), parse(theirs)
    if mine is None or course is None or not course["cells"]:
        return False
    same = pair(mine["cells"], course["cells"], alike=False)
    return 2 * len(same) >= len(course["cells"])


def _merge(old: Notebook | None, mine: Notebook, course: Notebook) -> tuple[Notebook, int]:
    empty: Notebook = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 0}
    base = old if old is not None else empty
    merged = {
        **merge_values(_rest(base), _rest(mine), _rest(course)),
        "metadata": merge_values(base["metadata"], mine["metadata"], course["metadata"]),
        "nbformat": 4,
        "nbformat_minor": max(mine["nbformat_minor"], course["nbformat_minor"]),
    }
    merged["cells"], conflicts = _merge_cells(base["cells"], mine["cells"], course["cells"], old)
    return merged, conflicts


def _rest(notebook: Notebook) -> dict[str, Any]:
    known = ("cells", "metadata", "nbformat", "nbformat_minor")
    return {key: value for key, value in notebook.items() if key not in known}


def _merge_cells(
    base: list[Cell], ours: list[Cell], theirs: list[Cell], old: Notebook | None
) -> tuple[list[Cell], int]:
    to_ours, to_theirs = pair(base, ours), pair(base, theirs)
    partners: dict[int, int] = {}  # in ours -> in theirs
    origins: dict[int, int] = {}  # in ours -> in base
    dropped_ours: set[int] = set()
    dropped_theirs: set[int] = set()
    for place, cell in enumerate(base):
        mine, course = to_ours.get(place), to_theirs.get(place)
        if mine is not None:
            origins[mine] = place
        if mine is not None and course is not None:
            partners[mine] = course
        elif mine is not None and _same_source(ours[mine], cell):
            dropped_ours.add(mine)
        elif course is not None and _same_source(theirs[course], cell):
            dropped_theirs.add(course)
    _pair_new(ours, theirs, to_ours, to_theirs, partners, by_id=old is None)
    contents: dict[int, list[Cell]] = {}
    conflicts = 0
    for mine, course in partners.items():
        origin = base[origins[mine]] if mine in origins else None
        cells = _merge_cell(origin, ours[mine], theirs[course])
        conflicts += len(cells) - 1
        contents[mine] = cells
    order = arrange(
        old=[(to_ours[p], to_theirs[p]) for p in sorted(to_ours) if p in to_theirs],
        partners=partners,
        ours=[place for place in range(len(ours)) if place not in dropped_ours],
        theirs=[place for place in range(len(theirs)) if place not in dropped_theirs],
    )
    renewed = {str(cells[0].get("id")) for cells in contents.values() if len(cells) > 1}
    merged: list[Cell] = []
    for side, place in order:
        if side == "theirs":
            merged.append(copy.deepcopy(theirs[place]))
        elif place in contents:
            merged.extend(contents[place])
        elif untouched_note_of(ours[place]) not in renewed:
            merged.append(copy.deepcopy(ours[place]))
    return merged, conflicts


def _pair_new(
    ours: list[Cell],
    theirs: list[Cell],
    to_ours: dict[int, int],
    to_theirs: dict[int, int],
    partners: dict[int, int],
    *,
    by_id: bool,
) -> None:
    """Cells that both added: the same cell only when nothing tells them apart."""
    known_ours, known_theirs = set(to_ours.values()), set(to_theirs.values())
    left = [place for place in range(len(ours)) if place not in known_ours]
    right = [place for place in range(len(theirs)) if place not in known_theirs]
    found = pair([ours[p] for p in left], [theirs[p] for p in right], alike=False)
    for one, other in found.items():
        mine, course = left[one], right[other]
        if by_id or _same_source(ours[mine], theirs[course]):
            partners[mine] = course


def _merge_cell(base: Cell | None, ours: Cell, theirs: Cell) -> list[Cell]:
    """The merged cell, and the note on the course's version when both wrote in the same place."""
    before = {} if base is None else base
    merged = {
        **merge_values(before, ours, theirs),
        "metadata": merge_values(
            before.get("metadata", {}),
            ours.get("metadata", {}),
            theirs.get("metadata", {}),
            theirs_first=_COURSES_KEYS,
        ),
    }
    mine, course = source_of(ours), source_of(theirs)
    old = None if base is None else source_of(base)
    kinds = ours["cell_type"], theirs["cell_type"]
    if mine == course and kinds[0] == kinds[1]:
        return [_with(merged, ours, mine)]
    if base is not None and (mine, kinds[0]) == (old, base["cell_type"]):
        return [_with(merged, theirs, course)]
    if base is not None and (course, kinds[1]) == (old, base["cell_type"]):
        return [_with(merged, ours, mine)]
    if old is not None and kinds[0] == kinds[1]:
        lines = merge_lines(_lines(old), _lines(mine), _lines(course))
        if lines is not None:
            return [_with(merged, ours, "".join(lines))]
    name = ours.get("id")
    return [_with(merged, ours, mine), note(theirs, name if isinstance(name, str) else None)]


def _with(merged: Cell, side: Cell, source: str) -> Cell:
    """`merged` with `source`, and with what belongs to it taken from `side`."""
    cell = {
        key: value
        for key, value in merged.items()
        if key not in ("cell_type", "outputs", "execution_count", "source")
    }
    for key in ("cell_type", "outputs", "execution_count"):
        if key in side:
            cell[key] = copy.deepcopy(side[key])
    cell["source"] = source
    return cell


def _lines(source: str) -> list[str]:
    lines = source.split("\n")
    return [f"{line}\n" for line in lines[:-1]] + lines[-1:]


def _same_source(one: Cell, other: Cell) -> bool:
    return one.get("cell_type") == other.get("cell_type") and source_of(one) == source_of(other)


def _same(one: Notebook, other: Notebook) -> bool:
    return bool(_plain(one) == _plain(other))


def _plain(notebook: Notebook) -> Any:
    cells = [{**cell, "source": source_of(cell)} for cell in notebook["cells"]]
    return {**notebook, "cells": cells}
