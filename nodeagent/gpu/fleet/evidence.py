"""What was gathered, and from whom it was not."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from nodeagent.gpu.snapshot import Snapshot


@dataclass(frozen=True, kw_only=True, slots=True)
class Located:
    """A snapshot and where its agent answers; None: it was not asked itself."""

    snapshot: Snapshot
    address: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Missing:
    """Somebody who did not tell, and why; a sentence without a full stop."""

    place: str
    why: str


@dataclass(frozen=True, kw_only=True)
class Gathered:
    """Everything that came in time."""

    found: tuple[Located, ...] = ()
    missing: tuple[Missing, ...] = ()


class Evidence(Protocol):
    """A source of snapshots."""

    async def gather(self, seconds: float) -> Gathered:
        """What can be had within so many seconds. Never raises for what is missing."""

    def close(self) -> None:
        """Drop connections."""


class SharedEvidence:
    """One round for all who ask within `keep_seconds`: a class that starts together."""

    def __init__(
        self,
        source: Evidence,
        *,
        keep_seconds: float = 2.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._keep = keep_seconds
        self._clock = clock
        self._held: Gathered | None = None
        self._at = 0.0
        self._round: asyncio.Task[Gathered] | None = None

    async def gather(self, seconds: float) -> Gathered:
        """A round of at most `seconds`, or the one just made."""
        if self._held is not None and self._clock() - self._at < self._keep:
            return self._held
        if self._round is None or self._round.done():
            self._round = asyncio.create_task(self._ask(seconds))
        # Shielded: one student's spawn that is given up must not end the others' round.
        return await asyncio.wait_for(asyncio.shield(self._round), seconds + 0.1)

    async def _ask(self, seconds: float) -> Gathered:
        gathered = await self._source.gather(seconds)
        # An empty round is not kept: who asks next may have more luck.
        self._held = gathered if gathered.found else None
        self._at = self._clock()
        return gathered

    def close(self) -> None:
        """Drop connections."""
        if self._round is not None:
            self._round.cancel()
        self._source.close()
