"""What lies where a course should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from enum import Enum
from pathlib import Path

from labext.courses.address import Address
from labext.courses.errors import CourseError
from labext.courses.git import Git

TEMPORARY = ".samepage-"
_NO_CONTENT = frozenset({"lost+found", ".ipynb_checkpoints"})


class Place(Enum):
    """State of the target folder."""

    FREE = "free"
    EMPTY = "empty"
    CLONE = "clone"


def inspect(target: Path, address: Address, git: Git) -> Place:
    """Whether a course can be put at `target`, or is there. `git` must run in `target` itself.

    Errors: CourseError when something of the student's is there. Nothing is touched.
    """
    if not target.exists():
        return Place.FREE
    if not target.is_dir():
        raise _occupied(target, "is a file", "Rename it")
    if not (target / ".git").exists():
        if any(entry.name not in _NO_CONTENT for entry in content(target)):
            raise _occupied(
                target, "already has files, and is not a copy of this course", "Rename the folder"
            )
        return Place.EMPTY
    if not (target / ".git").is_dir():
        raise _occupied(target, "belongs to another git repository", "Rename the folder")
    origin = git.one("config", "--get", "remote.origin.url")
    if origin is None or not address.same_repository(origin):
        shown = "no known repository" if origin is None else address.redact(origin)
        raise _occupied(
            target, f"is a copy of {shown}, not of {address.shown}", "Rename the folder"
        )
    return Place.CLONE


def content(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in `folder`, except leftovers of pulls that were killed."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith(TEMPORARY))


def _occupied(target: Path, what: str, fix: str) -> CourseError:
    return CourseError(
        "folder_occupied",
        f"The folder {target.name} {what}; nothing in it was changed.",
        f"{fix}, then press Pull: the course comes fresh, and your files stay where you put them.",
    )
