"""Which news the student has looked at already."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from labext.courses.sync.journal import write_whole


@dataclass(frozen=True, kw_only=True)
class Seen:
    """until: everything of before; paths: and these, up to then. Epoch seconds."""

    until: float = 0.0
    paths: dict[str, float] = field(default_factory=dict)

    def has(self, path: str, time: float) -> bool:
        """Whether what happened to `path` at `time` was looked at."""
        return time <= max(self.until, self.paths.get(path, 0.0))

    def with_paths(self, paths: Iterable[str], now: float) -> Seen:
        """And these, now."""
        fresh = {path: time for path, time in self.paths.items() if time > self.until}
        return Seen(until=self.until, paths={**fresh, **dict.fromkeys(paths, now)})


def load(file: Path) -> Seen:
    """What was kept; nothing when there is nothing readable."""
    try:
        value: Any = json.loads(file.read_bytes())
        return Seen(
            until=float(value["until"]),
            paths={str(path): float(time) for path, time in value["paths"].items()},
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return Seen()


def save(file: Path, seen: Seen) -> None:
    """Keep it. Errors: OSError."""
    write_whole(file, json.dumps(asdict(seen)))
