"""How long applications usually take to start, remembered between servers."""

from __future__ import annotations

import json
import logging
import math
import os
import statistics
from collections.abc import Mapping
from pathlib import Path

from serverproxy.supervisor.registry import write_private

log = logging.getLogger(__name__)

KEPT = 10


def default_file(env: Mapping[str, str]) -> Path | None:
    """`$XDG_STATE_HOME/samepage/app-starts.json`; None without a home folder. Pure."""
    state = env.get("XDG_STATE_HOME", "")
    if state.startswith("/"):
        return Path(state) / "samepage" / "app-starts.json"
    home = env.get("HOME", "")
    if home.startswith("/"):
        return Path(home) / ".local" / "state" / "samepage" / "app-starts.json"
    return None


class StartTimes:
    """Seconds from click to first answer, the last ten of each application."""

    def __init__(self, file: Path | None) -> None:
        """None: remember nothing on disk. A damaged file is as good as none."""
        self._file = file
        self._seconds: dict[str, list[float]] = {}

    def load(self) -> None:
        """Read the file. Blocks."""
        self._seconds = _read(self._file)

    def usual(self, name: str) -> float | None:
        """Median of the remembered starts; None before the first."""
        seconds = self._seconds.get(name)
        return statistics.median(seconds) if seconds else None

    def add(self, name: str, seconds: float) -> None:
        """Remember a start; written by `save`."""
        self._seconds[name] = [*self._seconds.get(name, []), round(seconds, 2)][-KEPT:]

    def save(self) -> None:
        """Write the file; other servers' newer entries for other applications stay. Blocks."""
        if self._file is None:
            return
        try:
            self._file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            write_private(self._file, json.dumps({**_read(self._file), **self._seconds}))
        except OSError as error:  # a full or read-only home costs a number on the start page
            log.info("Cannot remember start times in %s: %s", self._file, error)


def _read(file: Path | None) -> dict[str, list[float]]:
    if file is None:
        return {}
    try:
        if os.path.getsize(file) > 1 << 20:  # noqa: PTH202 - one call, no second stat
            return {}
        content = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(content, dict):
        return {}
    return {
        str(name): [float(one) for one in seconds if _is_duration(one)][-KEPT:]
        for name, seconds in content.items()
        if isinstance(seconds, list)
    }


def _is_duration(value: object) -> bool:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return math.isfinite(value) and value >= 0
