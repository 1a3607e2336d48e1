"""The cell that shows the course's version of a cell whose student's version was kept."""

from __future__ import annotations

import re
from typing import Any

from labext.courses.merge.cells import Cell, source_of

TAG = "samepage-course-version"


def note(cell: Cell, of: str | None) -> Cell:
    """A markdown cell with `cell`'s source in it, so that it is not run. Pure.

    of: id of the student's cell above it. The metadata holds what "take the course's" needs.
    """
    source, kind = source_of(cell), str(cell.get("cell_type"))
    details: dict[str, Any] = {"cell_type": kind, "source": source}
    if of is not None:
        details["of"] = of
    return {
        "cell_type": "markdown",
        "metadata": {"tags": [TAG], "samepage": details},
        "source": _text(kind, source),
    }


def untouched_note_of(cell: Cell) -> str | None:
    """The id of the cell that this note is about; None: no note, or the student wrote in it."""
    details = _dict(_dict(cell.get("metadata")).get("samepage"))
    kind, source, of = details.get("cell_type"), details.get("source"), details.get("of")
    if not (isinstance(kind, str) and isinstance(source, str) and isinstance(of, str)):
        return None
    return of if source_of(cell) == _text(kind, source) else None


def _text(kind: str, source: str) -> str:
    intro = "**The course changed the cell above; yours was kept.** The course's version:\n\n"
    if kind == "markdown":
        return intro + source
    longest = max((len(run) for run in re.findall(r"`+", source)), default=0)
    fence = "`" * max(3, longest + 1)
    return f"{intro}{fence}\n{source}\n{fence}"


def _dict(value: object) -> dict[str, Any]:
    return value if isinstance(value, dict) else {}
