"""What a pull changed, in words."""

from __future__ import annotations

from collections.abc import Iterable

from labext.courses.model import Change


def summary(changes: Iterable[Change]) -> str:
    """One sentence on `changes`. Pure."""
    counts: dict[str, int] = {}
    for change in changes:
        counts[change.kind] = counts.get(change.kind, 0) + 1
    words = {
        "new": "new",
        "updated": "updated",
        "merged": "merged with yours",
        "restored": "brought back",
        "deleted": "deleted",
        "renamed": "renamed",
        "kept_yours": "kept as you wrote them",
    }
    told = [f"{counts[kind]} {word}" for kind, word in words.items() if kind in counts]
    if not told:
        return "Everything is up to date."
    return f"Files from the course: {', '.join(told)}."
