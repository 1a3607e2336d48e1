"""What lies where a course should be."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

TEMPORARY = ".samepage-"
# What volumes and Jupyter put into a folder by themselves.
NO_CONTENT = frozenset({"lost+found", ".ipynb_checkpoints"})


def content(folder: Path) -> Iterator[os.DirEntry[str]]:
    """What is in `folder`, except leftovers of pulls that were killed."""
    with os.scandir(folder) as entries:
        yield from (entry for entry in entries if not entry.name.startswith(TEMPORARY))
