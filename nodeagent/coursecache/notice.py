"""What is said of a mirror beside it, for the notebooks: one small JSON file."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

FILE = "samepage-cache.json"
VERSION = 1


@dataclass(frozen=True, kw_only=True)
class Notice:
    """url_hash: the folder's name. refs: branches and tags as they were at `fetched_at`.

    default: the branch that HEAD leads to; None: to none. fresh_seconds: so long after
    `fetched_at` nobody need ask the server. throttled_until: the server asked not to be asked
    before that. kept: when each tip was seen last. Times in epoch seconds.
    """

    url_hash: str
    fetched_at: float
    fresh_seconds: float
    default: str | None
    refs: dict[str, str]
    throttled_until: float | None = None
    kept: dict[str, float] = field(default_factory=dict)

    def text(self) -> str:
        """As JSON."""
        return json.dumps({"version": VERSION, **asdict(self)})


def read(folder: Path) -> Notice | None:
    """The notice in a course's folder; None: there is none that can be read."""
    try:
        value: Any = json.loads((folder / FILE).read_text())
        if value.pop("version") != VERSION:
            return None
        return Notice(**value)
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def write(folder: Path, notice: Notice) -> None:
    """Replace it, whole or not at all; all may read it, only we write it. Errors: OSError."""
    fresh = folder / f"{FILE}.new"
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as stream:
        stream.write(notice.text())
        stream.flush()
        os.fsync(stream.fileno())
        os.fchmod(stream.fileno(), 0o644)
    fresh.replace(folder / FILE)
