"""Takes the write permission from files that are the course's alone."""

from __future__ import annotations

import contextlib
import stat
from collections.abc import Sequence

from labext.courses.rules import ReadOnly, below
from labext.courses.sync.disk import Disk
from labext.courses.sync.entry import Tree

_WRITE = stat.S_IWUSR | stat.S_IWGRP | stat.S_IWOTH


def is_sealed(path: str, readonly: Sequence[ReadOnly]) -> bool:
    """Whether `path` is the course's alone. Pure."""
    return any(below(path, item.path) for item in readonly)


def seal(disk: Disk, files: Tree, readonly: Sequence[ReadOnly]) -> None:
    """Make the delivered `files` below `readonly` read-only; what cannot be is left as it is."""
    for path in files:
        if not is_sealed(path, readonly) or disk.blocker(path) is not None:
            continue
        place = disk.place(path)
        with contextlib.suppress(OSError):
            mode = place.lstat().st_mode
            if stat.S_ISREG(mode) and mode & _WRITE:
                place.chmod(stat.S_IMODE(mode) & ~_WRITE)
