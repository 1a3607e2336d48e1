"""What a student can have done to files of a course. Every function blocks and takes the lock.

Errors of all: CourseError, GitError, OSError; nothing was done then.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass

from labext.courses.desk.place import Place
from labext.courses.desk.versions import read
from labext.courses.errors import CourseError
from labext.courses.merge import rows
from labext.courses.merge.content import merge
from labext.courses.sync import fresh
from labext.courses.sync.history import steps
from labext.courses.sync.mergefile import merge_file
from labext.courses.sync.repository import Repository
from labext.courses.sync.undo import Undone
from labext.courses.sync.undo import undo as undo_step

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Done:
    """path: what was written. beside: where the student's version is now; None: it needs none."""

    path: str
    beside: str | None


@dataclass(frozen=True, kw_only=True)
class CellChoice:
    """A row of a comparison, and the versions that were compared, as their git names."""

    row: int
    yours: str
    teachers: str


def take(place: Place, path: str, clock: Clock = time.time) -> Done:
    """The course's version in place; the student's beside."""
    with place.changing() as (repository, folder):
        moved = fresh.bring(repository, folder, [path], clock)
    return Done(path=path, beside=moved[0] if moved else None)


def take_cell(place: Place, path: str, choice: CellChoice, clock: Clock = time.time) -> Done:
    """The course's version of one cell, if both files still are as they were compared."""
    with place.changing() as (repository, folder):
        trio = read(repository, place, path)
        yours, course, base = trio.yours, trio.teachers, trio.base
        if yours is None or course is None or yours.content is None or course.content is None:
            raise fresh.changed_meanwhile(path)
        if (yours.blob, course.blob) != (choice.yours, choice.teachers):
            raise fresh.changed_meanwhile(path)
        merged = rows.take(
            yours.content, course.content, None if base is None else base.content, choice.row
        )
        if merged is None:
            raise CourseError("no_such_cell", f"The course has no such cell in {path}.")
        if merged != yours.content:
            fresh.rewrite(repository, folder, path, yours.content, merged, clock)
    return Done(path=path, beside=None)


def merge_unsaved(
    place: Place, path: str, unsaved: bytes, clock: Clock = time.time, *, known: str | None = None
) -> Done:
    """What a student has not saved, merged into a file that pulls changed meanwhile.

    The pulls' own merges saw what was on disk; this one starts from what the editor had read.

    Args:
        known: SHA-256 (hex) of the file as the editor knows it. None: as it was before the last
            pull that wrote it, which is wrong when two pulls did.

    """
    with place.changing() as (repository, folder):
        writes = _writes(repository, path)
        now = read(repository, place, path).yours
        if not writes or now is None or now.content is None or now.blob != writes[0][1]:
            raise fresh.changed_meanwhile(path)
        with repository.blobs() as read_blob:
            base = _known(writes, known, read_blob)
        if base is None:
            raise fresh.changed_meanwhile(path)
        merged = merge(path, base, unsaved, now.content, merge_file)
        if merged.content != now.content:
            fresh.rewrite(
                repository,
                folder,
                path,
                now.content,
                merged.content,
                clock,
                beside=now.content if merged.keep_courses else None,
            )
    return Done(path=path, beside=None)


def _writes(repository: Repository, path: str) -> list[tuple[str, str]]:
    """Blobs of a file before and after each step that wrote it, the last step first."""
    return [
        (op.before.blob, op.after.blob)
        for step in reversed(steps(repository))
        for op in step.journal.ops
        if op.path == path and op.act == "write" and op.before and op.after
    ]


def _known(
    writes: list[tuple[str, str]], known: str | None, read_blob: Callable[[str], bytes]
) -> bytes | None:
    """The newest content that was replaced and has this hash; None: there is none."""
    if known is None:
        return read_blob(writes[0][0])
    for before, _ in writes:
        content = read_blob(before)
        if hashlib.sha256(content).hexdigest() == known:
            return content
    return None


def copy(place: Place, path: str, clock: Clock = time.time) -> Done:
    """The course's version beside the student's."""
    with place.changing() as (repository, folder):
        return Done(path=fresh.copy(repository, folder, path, clock), beside=None)


def undo(place: Place, snapshot: str, clock: Clock = time.time) -> Undone:
    """The files of before a pull."""
    with place.changing() as (repository, folder):
        if undoing_of(repository, snapshot) is not None:
            raise CourseError("already_undone", "This was undone already.", "Reload the list.")
        return undo_step(repository, folder, clock, snapshot)


def redo(place: Place, snapshot: str, clock: Clock = time.time) -> Undone:
    """The files of a pull that was undone, as they were after it."""
    with place.changing() as (repository, folder):
        undoing = undoing_of(repository, snapshot)
        if undoing is None:
            raise CourseError("not_undone", "This was not undone.", "Reload the list.")
        return undo_step(repository, folder, clock, undoing)


def undoing_of(repository: Repository, snapshot: str) -> str | None:
    """The snapshot of the undoing that counts; None: `snapshot` is not undone."""
    found = [
        step.journal.snapshot
        for step in steps(repository)
        if step.journal.act == "undo" and step.journal.of == snapshot and not step.undone
    ]
    return found[-1] if found else None
