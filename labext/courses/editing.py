"""Which files of a course somebody edits at this moment, as browsers tell it."""

from __future__ import annotations

from collections.abc import Iterable

# A tab says it again every minute, also a hidden one; one that crashed says nothing any more.
FORGOTTEN_AFTER_SECONDS = 150.0
_MOST_CLIENTS = 100


class Editing:
    """Unsaved files by course and browser tab. Times in seconds, of one clock."""

    def __init__(self) -> None:
        self._told: dict[tuple[str, str], tuple[float, frozenset[str]]] = {}

    def tell(self, course: str, client: str, paths: Iterable[str], now: float) -> None:
        """A tab has exactly these files unsaved, relative to the course's folder."""
        self._forget(now)
        found = frozenset(paths)
        self._told.pop((course, client), None)
        if found:
            self._told[course, client] = now, found
        while len(self._told) > _MOST_CLIENTS:
            self._told.pop(next(iter(self._told)))

    def paths(self, course: str, now: float) -> frozenset[str]:
        """Unsaved files of a course, in any tab."""
        self._forget(now)
        return frozenset(
            path for (told, _), (_, paths) in self._told.items() if told == course for path in paths
        )

    def _forget(self, now: float) -> None:
        for key, (then, _) in list(self._told.items()):
            if now - then > FORGOTTEN_AFTER_SECONDS:
                del self._told[key]
