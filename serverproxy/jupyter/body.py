"""A request body on its way through: each piece goes on before the next is read."""

from __future__ import annotations

import asyncio

from aiohttp import ClientError
from aiohttp.abc import AbstractStreamWriter
from aiohttp.payload import Payload

Piece = bytes | bytearray | memoryview


class RequestBody(Payload):
    """What aiohttp sends. `put` hands over a piece and returns when it has been sent.

    So memory does not depend on the size, and a piece may lie in a buffer that is used again. The
    sender's task writes by itself: waking another for each piece costs more than sending it. For
    one sender, on one loop.
    """

    _autoclose = True  # nothing to close

    def __init__(self) -> None:
        super().__init__(None)
        self._writer: asyncio.Future[AbstractStreamWriter | None] | None = None
        self._done: asyncio.Future[None] | None = None
        self._transport: asyncio.WriteTransport | None = None
        self._ended = self._dropped = False

    def decode(self, encoding: str = "utf-8", errors: str = "strict") -> str:
        """Never asked for: that is for bodies aiohttp keeps."""
        raise TypeError("The body passes through and is not kept.")

    # -- the sender -------------------------------------------------------------------------------

    async def put(self, piece: Piece) -> None:
        """Send a piece on; at once when nobody takes any more."""
        writer = None if self._dropped else await asyncio.shield(self._taker())
        if writer is None or self._dropped:
            return
        try:
            await writer.write(piece)
            await writer.drain()
        except (ClientError, OSError) as error:
            self._fail(error)  # aiohttp is told, and makes of it what it is

    def end(self) -> None:
        """The body is complete."""
        self._ended = True
        if self._done is not None and not self._done.done():
            self._done.set_result(None)

    def drop(self) -> None:
        """Nobody takes the rest; what still comes is thrown away."""
        if self._ended:
            return
        self._fail(ConnectionAbortedError("The request was given up before its body ended."))
        if self._transport is not None and self._transport.get_write_buffer_size():
            self._transport.abort()  # `put` waits for an application that does not read

    def _fail(self, error: Exception) -> None:
        self._dropped = True
        if self._writer is not None and not self._writer.done():
            self._writer.set_result(None)
        if self._done is not None and not self._done.done():
            self._done.set_exception(error)

    # -- aiohttp ----------------------------------------------------------------------------------

    async def write(self, writer: AbstractStreamWriter) -> None:
        """Until the body has been sent. ConnectionError when it does not become complete."""
        self._consumed = True
        if self._ended:
            return
        if self._dropped:
            raise ConnectionAbortedError("The request was given up before its body ended.")
        transport = self._transport = writer.transport
        if transport is not None:
            # `drain` is to wait until the piece is gone: its memory is used again.
            transport.set_write_buffer_limits(high=0)
        self._done = asyncio.get_running_loop().create_future()
        self._taker().set_result(writer)
        try:
            await self._done
        finally:
            self._dropped = self._dropped or not self._ended
            if transport is not None and not transport.is_closing():
                transport.set_write_buffer_limits()

    def _taker(self) -> asyncio.Future[AbstractStreamWriter | None]:
        if self._writer is None:
            self._writer = asyncio.get_running_loop().create_future()
        return self._writer
