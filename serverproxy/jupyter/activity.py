"""Which requests mean that somebody uses an application."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

_EACH_S = 1.0


@dataclass(frozen=True, kw_only=True)
class ActivityRule:
    """An entry's rule: `update_last_activity` and `exclude_last_activity_patterns` of
    jupyter-server-proxy, which match at the start of the whole path, and for our own applications
    patterns that are searched in the path below the application's address.
    """

    update: bool | Callable[[Any], bool] = True
    excluded: Sequence[re.Pattern[str]] = ()
    quiet: Sequence[re.Pattern[str]] = ()

    def counts(self, handler: Any, path: str, below: str) -> bool:
        """Whether a request is activity. handler: what a callable of the entry is given."""
        if any(pattern.search(below) for pattern in self.quiet):
            return False
        if callable(self.update):
            return bool(self.update(handler))
        return self.update and not any(pattern.match(path) for pattern in self.excluded)


class Throttle:
    """Lets a call through at most once a second: a message of a stream is cheap, a record not."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._last = float("-inf")

    def due(self) -> bool:
        """Whether the last one is a second ago."""
        now = self._clock()
        if now - self._last < _EACH_S:
            return False
        self._last = now
        return True
