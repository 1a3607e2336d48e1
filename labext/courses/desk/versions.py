"""The versions of one file: the student's, the course's, and the one both came from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labext.courses.desk.place import Place
from labext.courses.errors import CourseError
from labext.courses.merge.cells import Cell, source_of
from labext.courses.merge.rows import Status, align
from labext.courses.merge.text import is_text
from labext.courses.merge.wellformed import parse
from labext.courses.sync.disk import Disk, Kind
from labext.courses.sync.entry import LINK, Entry, blob_name, read_file
from labext.courses.sync.history import bases, journals_of, teachers, touches
from labext.courses.sync.repository import Repository, is_safe

# What a browser compares without a pause. A notebook may be bigger: its outputs are not sent.
MOST_TEXT_BYTES = 1 << 20
MOST_NOTEBOOK_BYTES = 16 << 20
_MOST_CELLS = 2000

Form = Literal["text", "notebook", "binary", "too_large", "link", "other"]


@dataclass(frozen=True, kw_only=True)
class Side:
    """One version. blob: its git name, None for one too large to read. text: of form `text`."""

    bytes: int
    blob: str | None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class CellView:
    """type: `code`, `markdown` or `raw`."""

    type: str
    source: str


@dataclass(frozen=True, kw_only=True)
class RowView:
    """One cell in the versions; see `Row`."""

    status: Status
    yours: CellView | None
    teachers: CellView | None
    base: CellView | None


@dataclass(frozen=True, kw_only=True)
class Versions:
    """A side is None where there is no such file. rows: of form `notebook`.

    form: what can be shown. `too_large`, `binary`, `link` and `other` have neither text nor rows.
    """

    path: str
    form: Form
    yours: Side | None
    teachers: Side | None
    base: Side | None
    rows: tuple[RowView, ...] | None = None


@dataclass(frozen=True, kw_only=True)
class Raw:
    """A version as bytes; content None: too large, or nothing that has content."""

    size: int
    blob: str | None
    content: bytes | None
    form: Literal["file", "link", "other"] = "file"


@dataclass(frozen=True, kw_only=True)
class Trio:
    """The three versions of a file as bytes."""

    yours: Raw | None
    teachers: Raw | None
    base: Raw | None


def compare(place: Place, path: str) -> Versions:
    """The versions of `path`. Blocks. Errors: CourseError, GitError, OSError."""
    return view(path, read(place.repository(), place, path))


def read(repository: Repository, place: Place, path: str) -> Trio:
    """The versions of `path`, which must be one that the course has or that a pull touched."""
    course = teachers(repository)
    if not is_safe(path) or "\0" in path or not _is_known(repository, course, path):
        raise CourseError("no_such_file", f"The course has no file {path!r}.")
    theirs = course.get(path)
    older = [tree.get(path) for tree in bases(repository, path)]
    base = next((entry for entry in older if entry != theirs), theirs)
    return Trio(
        yours=_on_disk(Disk(place.folder()), path),
        teachers=_stored(repository, theirs),
        base=_stored(repository, base),
    )


def _is_known(repository: Repository, course: dict[str, Entry], path: str) -> bool:
    return path in course or any(
        touches(journal, path) for journal in journals_of(repository).values()
    )


def _on_disk(disk: Disk, path: str) -> Raw | None:
    blocker = disk.blocker(path)
    if blocker is not None:
        if blocker.kind is Kind.LINKED:
            raise CourseError(
                "behind_link", f"{blocker.at} is a link of yours; it is not followed."
            )
        return None
    place = disk.place(path)
    if place.is_symlink():
        return Raw(size=0, blob=None, content=None, form="link")
    if not place.is_file():
        return Raw(size=0, blob=None, content=None, form="other") if place.exists() else None
    size = place.stat().st_size
    if size > MOST_NOTEBOOK_BYTES:
        return Raw(size=size, blob=None, content=None)
    content = read_file(place)
    return Raw(size=len(content), blob=blob_name(content), content=content)


def _stored(repository: Repository, entry: Entry | None) -> Raw | None:
    if entry is None:
        return None
    if entry.mode == LINK:
        return Raw(size=0, blob=entry.blob, content=None, form="link")
    size = repository.size(entry.blob)
    if size > MOST_NOTEBOOK_BYTES:
        return Raw(size=size, blob=entry.blob, content=None)
    with repository.blobs() as read_blob:
        return Raw(size=size, blob=entry.blob, content=read_blob(entry.blob))


def view(path: str, trio: Trio) -> Versions:
    """What can be shown of three versions. Pure."""
    sides = (trio.yours, trio.teachers, trio.base)
    rows = None
    form = _form(sides)
    if form in ("text", "too_large") and path.lower().endswith(".ipynb"):
        rows = _rows(trio)
        form = "notebook" if rows is not None else form
    shown = [_side(side, with_text=form == "text") for side in sides]
    return Versions(
        path=path, form=form, yours=shown[0], teachers=shown[1], base=shown[2], rows=rows
    )


def _form(sides: tuple[Raw | None, ...]) -> Form:
    there = [side for side in sides if side is not None]
    for side in there:
        if side.form != "file":
            return side.form
    if any(side.content is not None and not is_text(side.content) for side in there):
        return "binary"
    if any(side.content is None or side.size > MOST_TEXT_BYTES for side in there):
        return "too_large"
    return "text"


def _side(side: Raw | None, *, with_text: bool) -> Side | None:
    if side is None:
        return None
    text = None
    if with_text and side.content is not None:
        text = side.content.decode("utf-8", "replace")
    return Side(bytes=side.size, blob=side.blob, text=text)


def _rows(trio: Trio) -> tuple[RowView, ...] | None:
    """None: it cannot be shown by cell."""
    empty = b'{"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}'
    contents = [
        empty if side is None else side.content for side in (trio.yours, trio.teachers, trio.base)
    ]
    notebooks = [None if content is None else parse(content) for content in contents]
    yours, course, base = notebooks
    if yours is None or course is None:
        return None
    if any(len(book["cells"]) > _MOST_CELLS for book in (yours, course)):
        return None
    old = [] if base is None else base["cells"]
    rows = tuple(
        RowView(
            status=row.status,
            yours=_cell(yours["cells"], row.yours),
            teachers=_cell(course["cells"], row.teachers),
            base=_cell(old, row.base),
        )
        for row in align(yours, course, base)
    )
    length = sum(
        len(cell.source) for row in rows for cell in (row.yours, row.teachers, row.base) if cell
    )
    return rows if length <= 3 * MOST_TEXT_BYTES else None


def _cell(cells: list[Cell], place: int | None) -> CellView | None:
    if place is None:
        return None
    return CellView(type=str(cells[place]["cell_type"]), source=source_of(cells[place]))
