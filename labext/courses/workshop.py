"""A hidden folder to prepare things in, on the disk where they will be."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labext.courses.folder import TEMPORARY


@contextlib.contextmanager
def workshop(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder of our own in `parent`, gone afterwards; leftovers of others are removed.

    Who works in one holds a lock on it, and the lock ends with the process, however it ends.
    """
    sweep(parent)
    folder = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{name[:100]}-", dir=parent))
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(descriptor)


def sweep(parent: Path) -> None:
    """Remove the folders of those who were killed."""
    for old in parent.glob(f"{TEMPORARY}*"):
        if old.is_dir() and not old.is_symlink() and _abandoned(old):
            shutil.rmtree(old, ignore_errors=True)


def _abandoned(folder: Path) -> bool:
    try:
        descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True
