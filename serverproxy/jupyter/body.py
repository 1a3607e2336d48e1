"""A request body on its way through: one piece at a time, and the sender waits for the taker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator


class BodyPipe:
    """`put` returns when the piece before has been taken; so memory does not depend on the size.

    For one sender and one taker on one loop.
    """

    def __init__(self) -> None:
        self._piece: bytes | None = None
        self._full = self._ended = self._dropped = False
        self._waiter: asyncio.Future[None] | None = None

    async def put(self, piece: bytes) -> None:
        """Hand over a piece; at once when nobody takes any more."""
        while self._full and not self._dropped:
            await self._wait()
        if not self._dropped:
            self._piece, self._full = piece, True
            self._wake()

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        self._wake()

    def drop(self) -> None:
        """Nobody takes the rest; what still comes is thrown away."""
        self._dropped = True
        self._piece, self._full = None, False
        self._wake()

    async def pieces(self) -> AsyncIterator[bytes]:
        """The body, until its end."""
        while True:
            while not (self._full or self._ended or self._dropped):
                await self._wait()
            piece = self._piece
            if not self._full or piece is None:
                return
            self._piece, self._full = None, False
            self._wake()
            yield piece

    async def _wait(self) -> None:
        # Never both at once: the sender waits while it is full, the taker while it is empty.
        waiter = asyncio.get_running_loop().create_future()
        self._waiter = waiter
        try:
            await waiter
        finally:
            if self._waiter is waiter:  # the other side may wait by now
                self._waiter = None

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
