"""What is known about a course: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

State = Literal["waiting", "pulling", "up_to_date", "offline", "failed"]
ChangeKind = Literal["new", "updated", "merged", "deleted", "renamed", "kept_yours"]
MOST_CHANGES = 200


@dataclass(frozen=True, kw_only=True)
class CourseSpec:
    """One course as the operator wrote it.

    url: with credentials, if it has some; never show it. branch None: the repository's default.
    target: folder relative to the server's root, POSIX. depth: commits to fetch at first, 0: all.
    """

    id: str
    url: str = field(repr=False)
    branch: str | None
    target: str
    title: str
    depth: int = 1


@dataclass(frozen=True, kw_only=True)
class Change:
    """A file that a pull brought or kept; path relative to the course's folder, POSIX."""

    path: str
    kind: ChangeKind


@dataclass(frozen=True, kw_only=True)
class Progress:
    """percent: 0 to 100 within this phase; None when its length is unknown."""

    phase: str
    percent: int | None


@dataclass(frozen=True, kw_only=True)
class History:
    """What outlives a restart. Times: epoch seconds.

    last_pull: the last pull that reached the end, with news or without. changes: of last_change.
    """

    last_pull: float | None = None
    last_change: float | None = None
    changes: tuple[Change, ...] = ()
    changes_truncated: bool = False


@dataclass(frozen=True, kw_only=True)
class Course:
    """A course as the REST interface shows it; no field holds credentials."""

    id: str
    title: str
    url: str
    branch: str | None
    target: str | None
    state: State
    message: str
    fix: str | None = None
    progress: Progress | None = None
    last_pull: float | None = None
    last_change: float | None = None
    changes: tuple[Change, ...] = ()
    changes_truncated: bool = False
