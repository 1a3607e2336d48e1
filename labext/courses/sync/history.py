"""What was done to a course's folder so far, as the snapshots tell it."""

from __future__ import annotations

import calendar
import time
from collections.abc import Iterator
from dataclasses import dataclass

from labext.courses.sync.entry import Tree
from labext.courses.sync.journal import Journal
from labext.courses.sync.repository import BASE, Repository


@dataclass(frozen=True, kw_only=True)
class Step:
    """One change of the folder. undone: a later step took it back, and was not itself undone."""

    journal: Journal
    time: float
    undone: bool


def steps(repository: Repository) -> list[Step]:
    """All that can be undone, oldest first. Errors: GitError."""
    journals = journals_of(repository)
    undone: set[str] = set()
    for journal in reversed(list(journals.values())):
        if journal.act == "undo" and journal.of is not None and journal.snapshot not in undone:
            undone.add(journal.of)
    return [
        Step(journal=journal, time=time_of(name), undone=name in undone)
        for name, journal in journals.items()
    ]


def journals_of(repository: Repository) -> dict[str, Journal]:
    """By the name of their snapshot, oldest first; what cannot be read is left out."""
    found = {}
    for name, text in repository.messages().items():
        try:
            found[name] = Journal.parse(text)
        except ValueError:
            continue
    return found


def time_of(snapshot: str) -> float:
    """When a snapshot was made, as its name says; 0 when it does not. Pure. Epoch seconds."""
    try:
        return float(calendar.timegm(time.strptime(snapshot.partition("-")[0], "%Y%m%dT%H%M%S")))
    except ValueError:
        return 0.0


def teachers(repository: Repository) -> Tree:
    """The course as it was delivered last, be it that the student sent it back. Errors: GitError.

    Not what was merely fetched: what the course keeps back until a date is not to be seen early.
    """
    commit = repository.commit(BASE)
    journals = journals_of(repository)
    for journal in reversed(list(journals.values())):
        origin, turns = journal, 0
        while origin.of in journals:
            origin, turns = journals[str(origin.of)], turns + 1
        if origin.act != "take":
            commit = journal.base if turns % 2 else commit
            break
    return {} if commit is None else repository.tree(commit)


def touches(journal: Journal, path: str) -> bool:
    """Whether `path` is one of a step's files, also one that it left as it was. Pure."""
    return any(change.path == path for change in journal.changes) or any(
        path in (op.path, op.to, *op.owners) for op in journal.ops
    )


def bases(repository: Repository, path: str) -> Iterator[Tree]:
    """The course's files before each pull that touched `path`, newest first. Errors: GitError."""
    for journal in reversed(list(journals_of(repository).values())):
        if journal.act == "pull" and touches(journal, path):
            yield {} if journal.base is None else repository.tree(journal.base)
