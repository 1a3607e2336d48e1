"""Whether a folder that may not exist yet could be written."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class FolderFacts:
    """writable: the folder, or the nearest existing one above it, can be written.

    free_bytes: free space of its file system; None when unknown.
    """

    path: Path
    writable: bool
    free_bytes: int | None


def look(path: Path) -> FolderFacts:
    """Look at the folder without making it."""
    nearest = path
    while not nearest.exists() and nearest != nearest.parent:
        nearest = nearest.parent
    try:
        free: int | None = shutil.disk_usage(nearest).free
    except OSError:
        free = None
    writable = nearest.is_dir() and os.access(nearest, os.W_OK | os.X_OK)
    return FolderFacts(path=path, writable=writable, free_bytes=free)
