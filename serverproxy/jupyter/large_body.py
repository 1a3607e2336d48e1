"""Large bodies of known length, through one buffer that is used again and again.

The ordinary way hands bodies on as `bytes`, which are allocated and copied for each piece, on both
sides. Received into a buffer that stays in the CPU's cache and sent from there they cost about half
the CPU time. Moving them in the kernel (splice(2) through a pipe) was measured too, and takes no
less: see docs/benchmarks/proxy.md.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Any, cast

import aiohttp
from tornado.httputil import HTTPConnection
from tornado.iostream import BaseIOStream

# Smaller ones are not worth a connection: the application's is closed after a large answer.
LARGE_BYTES = 4 << 20
# Fewer and larger pieces cost less until they leave a core's cache (L2). Measured: 256 KiB take
# half as much CPU time again, 2 MiB gain nothing.
BUFFER_BYTES = 1 << 20


class Reads:
    """Has tornado read a request's body into one buffer; `data_received` gets views of it."""

    def __init__(self, stream: BaseIOStream) -> None:
        self._stream = stream
        self._read_into = stream.read_into
        self._buffer = memoryview(bytearray(BUFFER_BYTES))
        # tornado reads bodies with `read_bytes`, and has no other place to say how.
        self._instead = cast(Any, stream)
        self._instead.read_bytes = self._read_bytes

    async def _read_bytes(self, num_bytes: int, partial: bool = False) -> memoryview:
        view = self._buffer[:num_bytes]
        count = await self._read_into(cast(bytearray, view), partial=partial)
        return view[:count]

    def stop(self) -> None:
        """Read as usual again."""
        with suppress(AttributeError):
            del self._instead.read_bytes


def is_large(length: str | None) -> bool:
    """Whether a body of this `Content-Length` is worth it. Pure."""
    return length is not None and length.isdecimal() and int(length) >= LARGE_BYTES


class Answer(asyncio.BufferedProtocol):
    """The rest of an answer's body, from the application's connection to the browser's.

    Takes the connection from aiohttp, which does not learn what has come since: it is to be closed
    afterwards. Reads only when all that was read before has been sent.
    """

    def __init__(
        self,
        source: asyncio.Transport,
        to: HTTPConnection,
        left: int,
        moved: Callable[[], None],
    ) -> None:
        """left: bytes, above 0. moved: called now and then while it moves."""
        self._source, self._to, self._left, self._moved = source, to, left, moved
        self._before = cast(asyncio.Protocol, source.get_protocol())
        self._buffer = memoryview(bytearray(min(left, BUFFER_BYTES)))
        self._done = asyncio.get_running_loop().create_future()

    async def carry(self) -> None:
        """Until the last byte is sent. ClientPayloadError when the application ends before that;
        StreamClosedError when the browser does."""
        if self._source.is_closing():
            raise self._too_early()
        self._source.set_protocol(self)
        self._source.resume_reading()
        await self._done

    # -- of the application's connection ----------------------------------------------------------

    def get_buffer(self, sizehint: int) -> memoryview:
        """Never longer than the rest of the body."""
        return self._buffer[: min(self._left, len(self._buffer))]

    def buffer_updated(self, nbytes: int) -> None:
        """Send it, mostly at once; otherwise read on when it is sent."""
        self._left -= nbytes
        sent = self._to.write(cast(bytes, self._buffer[:nbytes]))
        self._moved()
        if not sent.done():
            self._source.pause_reading()
            sent.add_done_callback(self._sent)
        elif self._left == 0 or sent.exception() is not None:
            self._source.pause_reading()
            self._sent(sent)

    def _sent(self, sent: asyncio.Future[None]) -> None:
        if self._done.done():
            return
        error = sent.exception()
        if error is not None:
            self._done.set_exception(error)
        elif self._left == 0:
            self._done.set_result(None)
        else:
            self._source.resume_reading()

    def connection_lost(self, exc: Exception | None) -> None:
        """Too early, unless all is there."""
        if self._left and not self._done.done():
            self._done.set_exception(self._too_early())
        self._before.connection_lost(exc)

    def _too_early(self) -> aiohttp.ClientPayloadError:
        why = f"The application ended {self._left} bytes before the answer's end."
        return aiohttp.ClientPayloadError(why)

    # -- what aiohttp, which may still send the request, needs to know ----------------------------

    def pause_writing(self) -> None:
        """The application does not read."""
        self._before.pause_writing()

    def resume_writing(self) -> None:
        """It does again."""
        self._before.resume_writing()
