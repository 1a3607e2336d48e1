"""Matplotlib's list of fonts: made once per cache folder, so that every preload finds it there."""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec
from pathlib import Path


def command() -> list[str] | None:
    """What makes it; None when there is a list, or nothing that wants one."""
    folder = Path(os.environ.get("MPLCONFIGDIR", ""))
    if not folder.is_dir() or find_spec("matplotlib") is None:
        return None
    if any(folder.glob("fontlist-*.json")):
        return None
    return [sys.executable, "-c", "import matplotlib.font_manager"]
