"""A value that is read at most every few seconds, by one reader at a time."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Recent(Generic[T]):
    """Keeps what `read` gave for `keep_seconds`; callers that come meanwhile share one reading.

    An error of `read` reaches everyone who waited for it and is not kept. A caller that goes away
    does not end the reading for the others.
    """

    def __init__(
        self,
        read: Callable[[], Awaitable[T]],
        keep_seconds: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read = read
        self._keep_seconds = keep_seconds
        self._clock = clock
        self._running: asyncio.Future[T] | None = None
        self._kept: tuple[float, T] | None = None

    async def get(self) -> T:
        """The kept value when it is young enough, else a new one."""
        if self._kept is not None and self._clock() - self._kept[0] < self._keep_seconds:
            return self._kept[1]
        if self._running is None:
            self._running = asyncio.ensure_future(self._renew())
            self._running.add_done_callback(self._ended)
        return await asyncio.shield(self._running)

    async def _renew(self) -> T:
        value = await self._read()
        self._kept = (self._clock(), value)
        return value

    def _ended(self, future: asyncio.Future[T]) -> None:
        self._running = None
        if not future.cancelled():
            future.exception()  # marks it as seen, should every caller have gone
