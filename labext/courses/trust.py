"""Whether files that others keep for us could have been changed by someone we do not trust."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from pathlib import Path

_MOST_ENTRIES = 20_000


def problem_of(place: Path, owners: Collection[int]) -> str | None:
    """Why what is in `place` cannot be relied on; None: it can. Reads the file system.

    Only `owners` (user ids) may own or be able to write `place`, everything in it, and every folder
    above it: who can write a folder can put another in the place of what is in it. There must be
    no links in it.
    """
    try:
        for folder in _above(place):
            problem = _of_entry(folder, folder.lstat(), owners)
            if problem is not None:
                return problem
        if place.is_symlink():
            return f"{place} is a link"
        for number, (path, status) in enumerate(_walk(place)):
            if number > _MOST_ENTRIES:
                return f"{place} holds more than {_MOST_ENTRIES} files"
            if stat.S_ISLNK(status.st_mode):
                return f"{path} is a link"
            problem = _of_entry(path, status, owners)
            if problem is not None:
                return problem
    except OSError as err:
        return f"{err.filename or place}: {err.strerror or err}"
    return None


def _above(place: Path) -> Iterator[Path]:
    seen: set[Path] = set()
    for start in (Path(os.path.abspath(place)), place.resolve()):  # noqa: PTH100 - links stay
        for folder in start.parents:
            if folder not in seen:
                seen.add(folder)
                yield folder


def _walk(place: Path) -> Iterator[tuple[Path, os.stat_result]]:
    yield place, place.lstat()
    with os.scandir(place) as entries:
        for entry in entries:
            status = entry.stat(follow_symlinks=False)
            if stat.S_ISDIR(status.st_mode):
                yield from _walk(Path(entry.path))
            else:
                yield Path(entry.path), status


def _of_entry(path: Path, status: os.stat_result, owners: Collection[int]) -> str | None:
    if status.st_uid not in owners:
        return f"{path} belongs to user {status.st_uid}"
    if stat.S_ISLNK(status.st_mode):
        return None  # a link has no mode of its own
    sticky = stat.S_ISDIR(status.st_mode) and status.st_mode & stat.S_ISVTX
    if status.st_mode & 0o022 and not sticky:
        return f"{path} can be written by others"
    return None
