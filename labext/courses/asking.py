"""Where a course is now: asked of its server, or of the node that asked a moment ago."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from labext.courses.address import Address
from labext.courses.cache import CachedCourse
from labext.courses.errors import CourseError
from labext.courses.git import Git
from labext.courses.preflight import Upstream, choose, look
from labext.courses.sync.journal import read_reached
from labext.courses.throttle import throttled

# A node's clock may be ahead of the one that wrote the notice by a little, not by more.
_CLOCKS_APART_SECONDS = 60.0


@dataclass(frozen=True, kw_only=True)
class Standpoint:
    """The newest that a folder was brought to: `commit`, as it was at `seen_at` (epoch seconds)."""

    commit: str
    seen_at: float


@dataclass(frozen=True, kw_only=True)
class Answer:
    """upstream: what to bring. seen_at: when it was so, epoch seconds.

    cache: a mirror that has it; None: get it from the server. note: one more sentence.
    """

    upstream: Upstream
    seen_at: float
    cache: Path | None = None
    note: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For a Job."""
        return {**asdict(self), "cache": None if self.cache is None else str(self.cache)}

    @classmethod
    def from_json(cls, value: dict[str, Any]) -> Answer:
        """From a Job. Errors: TypeError, KeyError."""
        cache = value["cache"]
        return cls(
            upstream=Upstream(**value["upstream"]),
            seen_at=float(value["seen_at"]),
            cache=None if cache is None else Path(cache),
            note=value["note"],
        )


@dataclass(frozen=True, kw_only=True)
class Question:
    """by_hand: somebody waits for news; the node's answer of a moment ago will not do.

    before: what the folder is at; None: nothing is known. leave_seconds: for so long the server
    asked to be left alone, 0: it did not.
    """

    address: Address
    branch: str | None
    timeout_seconds: float
    by_hand: bool
    before: Standpoint | None
    leave_seconds: float = 0.0


def standpoint(repository: Path) -> Standpoint | None:
    """What the folder of this private repository is at; None: nothing is known."""
    reached = read_reached(repository)
    if reached is None:
        return None
    return Standpoint(commit=reached.commit, seen_at=reached.seen_at)


def ask(git: Git, question: Question, cached: CachedCourse | None, now: float) -> Answer:
    """Where the course is. Blocks while the server is asked. Errors: CourseError.

    Without an answer of the server, what the node has is better than nothing.
    """
    if cached is not None and not question.by_hand and _is_fresh(cached, now):
        answer = _from_cache(question, cached)
        if answer is not None:
            return answer
    try:
        if question.leave_seconds > 0:
            raise throttled(question.address, question.leave_seconds)
        upstream = look(git, question.address, question.branch, question.timeout_seconds)
    except CourseError as err:
        answer = None if cached is None or err.state != "offline" else _from_cache(question, cached)
        if answer is None or cached is None:
            raise
        day = time.strftime("%Y-%m-%d %H:%M", time.localtime(cached.fetched_at))
        return Answer(
            upstream=answer.upstream,
            seen_at=answer.seen_at,
            cache=answer.cache,
            note=f"Its git server cannot be reached; this is the course as of {day}.",
        )
    has_it = cached is not None and upstream.commit in cached.tips
    return Answer(
        upstream=upstream,
        seen_at=now,
        cache=cached.repository if cached is not None and has_it else None,
    )


def _is_fresh(cached: CachedCourse, now: float) -> bool:
    return cached.fetched_at - _CLOCKS_APART_SECONDS <= now < cached.fresh_until


def _from_cache(question: Question, cached: CachedCourse) -> Answer | None:
    """What the node knows; None: not this branch, or less than the folder is at already."""
    try:
        upstream = choose(cached.listing, question.address, question.branch)
    except CourseError:
        return None
    before = question.before
    if (
        before is not None
        and upstream.commit != before.commit
        and cached.fetched_at < before.seen_at
    ):
        return None
    return Answer(upstream=upstream, seen_at=cached.fetched_at, cache=cached.repository)
