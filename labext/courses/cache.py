"""The node's cache of course repositories, as a notebook sees it: read-only, and never needed.

The node agent keeps it (see docs/courses/cache.md). A pull copies what it needs out of it: what a
student has never depends on the cache afterwards.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from labext.courses.address import Address
from labext.courses.trust import problem_of

NOTICE, REPOSITORY = "samepage-cache.json", "mirror.git"
KEEP = "refs/keep/"
_KINDS = ("public", "private", "")
_COMMIT = re.compile(r"[0-9a-f]{40}")
_NAME_LENGTH = 32
_MOST_BYTES = 16 << 20


@dataclass(frozen=True, kw_only=True)
class CacheSettings:
    """folder: where the cache is mounted. owner: user id that keeps it, besides root."""

    folder: Path
    owner: int = 0


@dataclass(frozen=True, kw_only=True)
class CachedCourse:
    """A course's mirror. Times in epoch seconds.

    listing: branches and tags as `git ls-remote --symref` would have printed them at `fetched_at`.
    tips: commits (and tags) that can be fetched. fresh_until: nobody need ask the server before.
    """

    repository: Path
    fetched_at: float
    fresh_until: float
    listing: str
    tips: frozenset[str]


class CacheRefusedError(Exception):
    """There is a mirror of the course, and somebody untrusted could have written it."""


def settings_of(folder: str | None, owner: int | None, environ: Mapping[str, str]) -> CacheSettings:
    """From a setting, else from SAMEPAGE_COURSE_CACHE and SAMEPAGE_COURSE_CACHE_OWNER. Pure.

    An empty folder is no cache.
    """
    text = environ.get("SAMEPAGE_COURSE_CACHE_OWNER", "")
    given = int(text) if text.isascii() and text.isdigit() else 0
    return CacheSettings(
        folder=Path(environ.get("SAMEPAGE_COURSE_CACHE", "") if folder is None else folder),
        owner=given if owner is None else owner,
    )


def mirror_name(address: Address) -> str:
    """The folder of a repository's mirror. Pure. The agent has the same rule."""
    parts = urlsplit(address.remote)
    place = parts.netloc.rpartition("@")[2].lower()
    path = parts.path.rstrip("/").removesuffix(".git")
    query = f"?{parts.query}" if parts.query else ""
    text = f"{parts.scheme}://{place}{path}{query}"
    return hashlib.sha256(text.encode()).hexdigest()[:_NAME_LENGTH]


def find(settings: CacheSettings, address: Address) -> CachedCourse | None:
    """The mirror of a course; None: there is none that can be used. Reads the file system.

    Errors: CacheRefusedError.
    """
    if not settings.folder.is_absolute():
        return None
    name = mirror_name(address)
    for kind in _KINDS:
        place = settings.folder / kind / name
        # One of the two below may be absent where another is: no look at the rest then.
        if not os.path.lexists(place / NOTICE):
            continue
        problem = problem_of(place, {0, settings.owner})
        if problem is not None:
            raise CacheRefusedError(problem)
        found = _read(place, name)
        if found is not None:
            return found
    return None


def _read(place: Path, name: str) -> CachedCourse | None:
    try:
        with (place / NOTICE).open("rb") as stream:
            value: Any = json.loads(stream.read(_MOST_BYTES))
        if value["version"] != 1 or value["url_hash"] != name:
            return None
        fetched_at = _time(value["fetched_at"])
        fresh_until = fetched_at + _time(value["fresh_seconds"])
        if value["throttled_until"] is not None:
            fresh_until = max(fresh_until, _time(value["throttled_until"]))
        refs = {str(ref): _commit(tip) for ref, tip in value["refs"].items()}
        lines = [f"{tip}\t{ref}" for ref, tip in refs.items() if "\n" not in ref]
        default = value["default"]
        if isinstance(default, str) and f"refs/heads/{default}" in refs and "\n" not in default:
            lines[:0] = [
                f"ref: refs/heads/{default}\tHEAD",
                f"{refs[f'refs/heads/{default}']}\tHEAD",
            ]
        return CachedCourse(
            repository=place / REPOSITORY,
            fetched_at=fetched_at,
            fresh_until=fresh_until,
            listing="\n".join(lines),
            tips=frozenset({*refs.values(), *map(_commit, value["kept"])}),
        )
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return None


def _time(value: object) -> float:
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise ValueError("no time")
    return float(value)


def _commit(value: object) -> str:
    if not isinstance(value, str) or not _COMMIT.fullmatch(value):
        raise ValueError("no commit")
    return value
