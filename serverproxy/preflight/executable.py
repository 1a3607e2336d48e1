"""Whether a file can be run."""

from __future__ import annotations

import os
from pathlib import Path


def is_executable(file: Path) -> bool:
    """Whether it is a file this user may execute; on a file system mounted noexec none is."""
    try:
        return file.is_file() and os.access(file, os.X_OK)
    except OSError:
        return False
