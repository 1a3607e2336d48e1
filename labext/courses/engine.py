"""The seam between a pull's frame (lock, address, messages) and how files are brought together."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from labext.courses.address import Address
from labext.courses.model import Change, Progress
from labext.courses.preflight import Upstream
from labext.courses.rules import Rules

Report = Callable[[Progress], None]


@dataclass(frozen=True, kw_only=True)
class Pull:
    """One pull: `upstream` of `address` into `target` (absolute, links followed).

    env: what git runs with. depth: commits of history to get at first; 0: all. deferred: files,
    relative to `target`, that somebody edits at this moment: they wait for the next pull.
    cache: a mirror on this node that has `upstream`. seen_at: when it was so, epoch seconds.
    now: epoch seconds, for what is released at a time.
    """

    address: Address
    upstream: Upstream
    target: Path
    depth: int
    env: dict[str, str]
    deferred: frozenset[str] = frozenset()
    cache: Path | None = None
    seen_at: float = 0.0
    rules: Rules = field(default_factory=Rules)
    now: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """What a pull did; `first` when the folder was not there before. note: one more sentence.

    waiting: files of the course that could not be brought; the next pull tries again.
    """

    first: bool
    changes: tuple[Change, ...]
    note: str | None = None
    waiting: tuple[str, ...] = ()


class Engine(Protocol):
    """Brings a folder to the state of a course and keeps what the student wrote."""

    def recover(self, target: Path, env: dict[str, str]) -> None:
        """Bring a pull that was killed to its end, without asking the server. Errors: OSError."""

    def has_copy(self, target: Path) -> bool:
        """Whether there are files of the course at `target` to work with."""

    def pull(self, pull: Pull, report: Report) -> Delivery:
        """Blocks. Nobody else pulls into the same folder meanwhile. Errors: CourseError, GitError.

        A crash at any moment leaves a folder that the next pull brings to the end.
        """
