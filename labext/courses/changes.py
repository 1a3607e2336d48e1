"""What a pull changed, from git's word for it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from labext.courses.model import Change, ChangeKind


@dataclass(frozen=True, kw_only=True)
class Step:
    """One entry of `git diff --name-status`: status letter and path (of a rename: the new one)."""

    status: str
    path: str


def parse_name_status(fields: Iterable[str]) -> list[Step]:
    """Entries of `git diff -z --name-status`, split at NUL. Pure."""
    steps: list[Step] = []
    rest = iter(fields)
    for status in rest:
        letter = status[:1]
        path = next(rest)
        if letter in ("R", "C"):
            path = next(rest)
        steps.append(Step(status=letter, path=path))
    return steps


def classify(
    taught: Iterable[Step],
    *,
    merged: frozenset[str],
    still_different: frozenset[str],
) -> list[Change]:
    """What the student should hear of, sorted by path. Pure.

    taught: what the teacher changed since the last pull. merged: paths that this pull changed.
    still_different: paths that differ from the teacher's version after it.
    """
    kinds: dict[str, ChangeKind] = {"A": "new", "C": "new", "D": "deleted", "R": "renamed"}
    changes = []
    for step in taught:
        kept = step.path not in merged and step.path in still_different
        kind = "kept_yours" if kept else kinds.get(step.status, "updated")
        changes.append(Change(path=step.path, kind=kind))
    return sorted(changes, key=lambda change: change.path)


def summary(changes: Iterable[Change]) -> str:
    """One sentence on `changes`. Pure."""
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    words = {
        "new": "new",
        "updated": "updated",
        "deleted": "deleted",
        "renamed": "renamed",
        "kept_yours": "kept as you wrote them",
    }
    told = [f"{counts[kind]} {word}" for kind, word in words.items() if kind in counts]
    if not told:
        return "Everything is up to date."
    return f"Files from the course: {', '.join(told)}."
