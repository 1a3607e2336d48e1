"""What is new in a course: its last pulls, each with its files."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from labext.courses.desk import seen as seen_file
from labext.courses.desk.place import Place
from labext.courses.desk.seen import Seen
from labext.courses.errors import CourseError
from labext.courses.model import MOST_CHANGES, ChangeKind
from labext.courses.sync.history import Step, steps
from labext.courses.sync.journal import Journal

MOST_PULLS = 20
_SUFFIX = ".seen.json"


@dataclass(frozen=True, kw_only=True)
class NewsFile:
    """A file that a pull touched. of: the course's file that it stands beside; None: itself."""

    path: str
    kind: ChangeKind
    seen: bool
    of: str | None


@dataclass(frozen=True, kw_only=True)
class NewsItem:
    """One step. id None: the first delivery, which cannot be undone.

    act `take`: the student asked for the course's version of `files`.
    """

    id: str | None
    time: float
    act: Literal["pull", "take"]
    undone: bool
    files: tuple[NewsFile, ...]
    files_truncated: bool


@dataclass(frozen=True, kw_only=True)
class News:
    """Newest first. unseen: files of pulls that were not undone, each counted once."""

    unseen: int
    items: tuple[NewsItem, ...]


def read(place: Place) -> News:
    """What is new. Blocks. Errors: CourseError, GitError, OSError."""
    store = place.store()
    seen = seen_file.load(store.path(_SUFFIX))
    try:
        done = steps(place.repository())
    except CourseError as err:
        if err.code != "never_pulled":
            raise
        return News(unseen=0, items=())
    items = news_items(done, seen)
    if not any(step.journal.act == "pull" for step in done):
        known = store.load()
        if known.last_change is not None and known.changes:
            items = (
                *items,
                NewsItem(
                    id=None,
                    time=known.last_change,
                    act="pull",
                    undone=False,
                    files=tuple(
                        NewsFile(path=c.path, kind=c.kind, seen=True, of=None)
                        for c in known.changes
                    ),
                    files_truncated=known.changes_truncated,
                ),
            )
    unseen = {
        file.path for item in items if not item.undone for file in item.files if not file.seen
    }
    return News(unseen=len(unseen), items=items)


def mark(place: Place, paths: Sequence[str] | None, clock: Callable[[], float] = time.time) -> None:
    """Count `paths`, or everything, as looked at. Blocks. Errors: CourseError, OSError."""
    store = place.store()
    file = store.path(_SUFFIX)
    place.repository()  # there must be something to look at
    known = seen_file.load(file)
    now = clock()
    seen_file.save(file, Seen(until=now) if paths is None else known.with_paths(paths, now))


def news_items(done: Sequence[Step], seen: Seen) -> tuple[NewsItem, ...]:
    """The newest steps that brought something. Pure."""
    shown = [step for step in done if step.journal.act != "undo"]
    return tuple(_item(step, seen) for step in reversed(shown[-MOST_PULLS:]))


def _item(step: Step, seen: Seen) -> NewsItem:
    journal = step.journal
    owners = _owners(journal)
    if journal.act == "take":
        files = _taken(journal)
    else:
        files = [
            NewsFile(
                path=change.path,
                kind=change.kind,
                seen=seen.has(change.path, step.time),
                of=owners.get(change.path),
            )
            for change in journal.changes
        ]
    return NewsItem(
        id=journal.snapshot,
        time=step.time,
        act="take" if journal.act == "take" else "pull",
        undone=step.undone,
        files=tuple(files[:MOST_CHANGES]),
        files_truncated=len(files) > MOST_CHANGES,
    )


def _taken(journal: Journal) -> list[NewsFile]:
    files = []
    kept = {op.owners[-1] for op in journal.ops if op.act == "aside" or op.path not in op.owners}
    for op in journal.ops:
        path = op.to if op.act == "aside" else op.path
        assert path is not None
        kind: ChangeKind = "updated" if op.before is not None or path in kept else "new"
        of = None if path in op.owners else op.owners[-1]
        files.append(
            NewsFile(path=path, kind="renamed" if of is not None else kind, seen=True, of=of)
        )
    return files


def _owners(journal: Journal) -> dict[str, str]:
    """Of files that stand beside one of the course, that one."""
    found = {}
    for op in journal.ops:
        name = op.to if op.act == "aside" else op.path
        if name is not None and name not in op.owners:
            found[name] = op.owners[-1]
    return found
