"""What is remembered of a course between two server starts, and the lock around a pull."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from labext.courses.model import Change, ChangeKind, History
from labext.courses.sync.journal import write_whole

_KINDS = frozenset(get_args(ChangeKind))


@dataclass(frozen=True, kw_only=True)
class Store:
    """Two small files of one course in `folder`, outside the course's own folder.

    `target` is the course's folder with links followed: it is what two servers would fight over.
    """

    folder: Path
    target: Path

    def path(self, suffix: str) -> Path:
        """Where something of this course is kept."""
        digest = hashlib.sha256(os.fsencode(self.target)).hexdigest()[:16]
        return self.folder / f"{digest}{suffix}"

    def load(self) -> History:
        """What was kept last; an empty History when there is nothing, or nothing readable."""
        try:
            return history_from(json.loads(self.path(".json").read_bytes()))
        except (OSError, ValueError):
            return History()

    def save(self, history: History) -> None:
        """Replace what is kept, whole or not at all. Hold the lock. Errors: OSError."""
        write_whole(self.path(".json"), json.dumps(asdict(history)))

    @contextlib.contextmanager
    def locked(self, *, wait: bool = True) -> Iterator[None]:
        """One pull at a time, over all servers of this home. Blocks until the other has ended.

        The kernel frees the lock when its process ends, however that happens. Errors: OSError;
        BlockingIOError when another has it and we shall not `wait`.
        """
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(self.path(".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
            yield
        finally:
            os.close(descriptor)


def history_from(value: Any) -> History:
    """A History from JSON that may be old, cut or edited. Errors: ValueError. Pure."""
    if not isinstance(value, dict):
        raise ValueError("not an object")
    changes = value.get("changes")
    return History(
        last_pull=_time(value.get("last_pull")),
        last_change=_time(value.get("last_change")),
        changes=tuple(
            Change(path=item["path"], kind=item["kind"])
            for item in (changes if isinstance(changes, list) else [])
            if isinstance(item, dict)
            and isinstance(item.get("path"), str)
            and item.get("kind") in _KINDS
        ),
        changes_truncated=value.get("changes_truncated") is True,
    )


def _time(value: object) -> float | None:
    return float(value) if isinstance(value, int | float) and value >= 0 else None
