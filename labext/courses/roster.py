"""Which courses there are, read anew while the server runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable

from labext.courses.manifest import Reader, Reading
from labext.courses.model import CourseSpec

# Pulls of several courses begin together; one look at the manifest is enough for them.
_SOON_SECONDS = 1.0


def wait_for(
    spec: CourseSpec,
    interval: float,
    jitter: float,
    now: float,
    uniform: Callable[[float, float], float],
) -> float | None:
    """Seconds until the next pull that nobody asks for; None: there is none.

    interval, jitter: the server's, in seconds; the course's own interval comes first. A path that
    opens or closes is a reason too. Pure.
    """
    own = interval if spec.interval is None else spec.interval
    moment = spec.rules.next_moment(now)
    waits = [own] if own > 0 else []
    if moment is not None:
        waits.append(moment - now)
    return min(waits) + uniform(0.0, jitter) if waits else None


class Roster:
    """Reads the manifest in a thread, one reading at a time. For one event loop."""

    def __init__(self, reader: Reader, clock: Callable[[], float] = time.monotonic) -> None:
        self._reader = reader
        self._clock = clock
        self._lock = asyncio.Lock()
        self._at: float | None = None

    async def read(self) -> Reading:
        """What it says now. Errors: ManifestError."""
        async with self._lock:
            reading = await asyncio.to_thread(self._reader.read)
            self._at = self._clock()
            return reading

    async def renew(self) -> Reading | None:
        """As `read`; None when that was done just now. Errors: ManifestError."""
        if self._at is not None and self._clock() - self._at < _SOON_SECONDS:
            return None
        return await self.read()
