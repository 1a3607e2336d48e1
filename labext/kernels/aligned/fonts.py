"""Matplotlib's list of fonts: made once per cache folder, so that every preload finds it there.

Making it takes seconds and leaves a heap unlike one that read the list from its file.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path


def listed() -> bool:
    """Whether there is a list, or nothing that wants one."""
    folder = Path(os.environ.get("MPLCONFIGDIR", ""))
    return not folder.is_dir() or any(folder.glob("fontlist-*.json"))


def make_list(seconds: float) -> None:
    """Have a process of its own make it; when that fails, the preload sees for itself."""
    command = [sys.executable, "-c", "import matplotlib.font_manager"]
    try:
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=seconds,
            check=False,
        )
    except (OSError, subprocess.SubprocessError):
        return
