"""What is known about a course: values only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from labext.courses.rules import Rules

State = Literal["waiting", "pulling", "up_to_date", "offline", "failed"]
ChangeKind = Literal["new", "updated", "merged", "restored", "deleted", "renamed", "kept_yours"]
MOST_CHANGES = 200


@dataclass(frozen=True, kw_only=True)
class CourseSpec:
    """One course as the operator wrote it.

    url: with credentials, if it has some; never show it. branch None: the repository's default.
    target: folder relative to the server's root, POSIX. depth: commits to fetch at first, 0: all.
    on_start, interval, timeout (seconds): None: as set for the server. preload: modules that a
    kernel will import. merge, align: what its kernels may do. image, profile: hints for who starts
    servers; not acted on here.
    """

    id: str
    url: str = field(repr=False)
    branch: str | None
    target: str
    title: str
    depth: int = 1
    rules: Rules = field(default_factory=Rules)
    on_start: bool | None = None
    interval: float | None = None
    timeout: float | None = None
    preload: tuple[str, ...] = ()
    merge: bool = True
    align: bool = True
    image: str | None = None
    profile: str | None = None


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
    """A course as the REST interface shows it; no field holds credentials.

    waiting: files whose update is put off, as they are being edited; relative to the folder.
    """

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
    waiting: tuple[str, ...] = ()
