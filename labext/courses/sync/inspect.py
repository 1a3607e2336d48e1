"""What can be said of a course's folder without asking its server."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from pathlib import Path

from labext.courses.merge.text import is_text
from labext.courses.sync.disk import Disk
from labext.courses.sync.entry import Entry, Tree, entry_of, read_file
from labext.courses.sync.journal import Reached, read_journal, read_reached
from labext.courses.sync.repository import BASE, Repository


@dataclass(frozen=True, kw_only=True)
class Standing:
    """reached None: never pulled. yours, missing: files that differ from what was delivered.

    snapshots: what can be undone, oldest first. unfinished: a pull was killed; the next ends it.
    """

    reached: Reached | None
    yours: tuple[str, ...]
    missing: tuple[str, ...]
    snapshots: tuple[str, ...]
    unfinished: bool


def standing(repository: Repository, target: Path) -> Standing:
    """Reads only. Errors: GitError when the private repository is damaged."""
    reached = read_reached(repository.path)
    if reached is None:
        return Standing(reached=None, yours=(), missing=(), snapshots=(), unfinished=False)
    base = _base(repository)
    disk = Disk(target)
    now = {path: _entry(disk, path) for path in base}
    return Standing(
        reached=reached,
        yours=tuple(path for path, entry in now.items() if entry not in (None, base[path])),
        missing=tuple(path for path, entry in now.items() if entry is None),
        snapshots=tuple(repository.snapshots()),
        unfinished=read_journal(repository.path) is not None,
    )


def courses_version(repository: Repository, path: str) -> bytes | None:
    """The file as it was delivered last; None: the course has no such file. Errors: GitError."""
    entry = _base(repository).get(path)
    if entry is None:
        return None
    with repository.blobs() as read:
        return read(entry.blob)


def difference(repository: Repository, target: Path, path: str) -> str:
    """From the course's version to yours, as a unified diff; empty when they are the same."""
    course = courses_version(repository, path) or b""
    place = Disk(target).place(path)
    yours = read_file(place) if place.is_file() else b""
    if course == yours:
        return ""
    if not (is_text(course) and is_text(yours)):
        return f"{path} differs, and is no text.\n"
    old, new = (
        side.decode("utf-8", "replace").splitlines(keepends=True) for side in (course, yours)
    )
    return "".join(difflib.unified_diff(old, new, f"course/{path}", f"yours/{path}"))


def _base(repository: Repository) -> Tree:
    commit = repository.commit(BASE)
    return {} if commit is None else repository.tree(commit)


def _entry(disk: Disk, path: str) -> Entry | None:
    try:
        return entry_of(disk.place(path)) if disk.blocker(path) is None else None
    except OSError:
        return None
