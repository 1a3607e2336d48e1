"""One change of a course's folder as a whole: prepared aside, brought to its end after a crash."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from labext.courses.sync.apply import apply, stage
from labext.courses.sync.disk import Disk
from labext.courses.sync.journal import (
    Journal,
    Reached,
    end_journal,
    read_reached,
    write_journal,
    write_reached,
)
from labext.courses.sync.repository import BASE, BASES, SNAPSHOTS, Repository
from labext.courses.workshop import workshop

_MOST_SNAPSHOTS = 100
_PREPARED = ".samepage-prepared"


def snapshot_name(now: float, taken: list[str]) -> str:
    """A name for what is about to be done that sorts by time. Pure."""
    day = time.strftime("%Y%m%dT%H%M%S", time.gmtime(now))
    number = 1
    while f"{day}-{number:03d}" in taken:
        number += 1
    return f"{day}-{number:03d}"


def keep(
    repository: Repository,
    journal: Journal,
    *,
    seen: Mapping[str, bytes],
    fresh: Mapping[str, bytes],
) -> None:
    """Store what the steps replace and what they put there: for undo, and to go on after a crash.

    seen, fresh: contents by blob name that the repository may not have. Errors: GitError.
    """
    before = {op.path: op.before for op in journal.ops if op.before is not None}
    files = [
        (path, entry.mode, seen[entry.blob]) for path, entry in before.items() if entry.blob in seen
    ]
    files += [(f"{_PREPARED}/{blob}", "100644", content) for blob, content in fresh.items()]
    repository.record(
        f"{SNAPSHOTS}{journal.snapshot}",
        known=[(path, entry) for path, entry in before.items() if entry.blob not in seen],
        fresh=files,
        message=journal.text(),
    )
    if journal.base is not None:
        repository.point(f"{BASES}{journal.snapshot}", journal.base)
    for name in repository.snapshots()[:-_MOST_SNAPSHOTS]:
        repository.forget(f"{SNAPSHOTS}{name}")
        repository.forget(f"{BASES}{name}")


def carry_out(repository: Repository, target: Path, journal: Journal) -> frozenset[str]:
    """Do the steps; the paths that could not be brought. The same after a crash as before.

    Errors: CourseError (disk full) and OSError before the first file was touched; GitError.
    """
    disk = Disk(target)
    with workshop(target, "pull") as shop:
        with repository.blobs() as read:
            staged = stage(journal.ops, disk, shop, read)
        write_journal(repository.path, journal)
        held = apply(journal.ops, disk, shop, staged, target) | frozenset(journal.held)
    settle(repository, journal.base, journal.goal, held, journal.reached)
    end_journal(repository.path)
    return held


def settle(
    repository: Repository, base: str | None, goal: str, held: frozenset[str], reached: Reached
) -> None:
    """Remember what was delivered; of `held` paths the version of before. Errors: GitError."""
    if not held:
        if repository.commit(BASE) != goal:
            repository.point(BASE, goal)
    else:
        old = {} if base is None else repository.tree(base)
        now = repository.tree(goal)
        repository.record(
            BASE,
            parent=goal,
            gone=[path for path in sorted(held) if path in now],
            known=[(path, old[path]) for path in sorted(held) if path in old],
            message="Delivered in part",
        )
    reached = replace(reached, held=tuple(sorted(held)))
    known = read_reached(repository.path)
    # Only to have seen the same again is nothing to write down.
    if known is None or replace(known, seen_at=reached.seen_at) != reached:
        write_reached(repository.path, reached)
