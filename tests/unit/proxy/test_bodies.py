"""Bodies on their way through, with real sockets and without a Jupyter server."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import cast

import aiohttp
import pytest
from aiohttp import web
from tornado.httputil import HTTPConnection
from tornado.iostream import IOStream, StreamClosedError

from serverproxy.jupyter.body import RequestBody
from serverproxy.jupyter.large_body import BUFFER_BYTES, LARGE_BYTES, Answer, Reads, is_large
from tests.standins.largeapp import digest, words

MIB = 1 << 20
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def run(scenario: Awaitable[None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(20):
            await scenario

    asyncio.run(limited())


@asynccontextmanager
async def application(handler: Handler) -> AsyncIterator[str]:
    app = web.Application(client_max_size=1 << 40)
    app.router.add_post("/", handler)
    runner = web.AppRunner(app, access_log=None, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    try:
        yield f"http://127.0.0.1:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


class TestRequestBody:
    def test_a_buffer_may_be_used_again_after_each_piece(self) -> None:
        async def take(request: web.Request) -> web.StreamResponse:
            seen = bytearray()
            async for piece in request.content.iter_any():
                seen += piece
                await asyncio.sleep(0.001)  # so that not all is taken at once
            return web.Response(body=bytes(seen))

        async def scenario() -> None:
            async with application(take) as url, aiohttp.ClientSession() as session:
                body, buffer = RequestBody(), bytearray(MIB)
                asking = asyncio.ensure_future(session.post(url, data=body))
                for number in range(8):
                    buffer[:] = bytes([number]) * MIB
                    await body.put(memoryview(buffer))
                buffer[:] = bytes(MIB)
                body.end()
                answer = await asking
                assert await answer.read() == b"".join(bytes([n]) * MIB for n in range(8))

        run(scenario())

    def test_a_dropped_body_is_no_complete_one(self) -> None:
        ended = []

        async def take(request: web.Request) -> web.StreamResponse:
            try:
                await request.read()
                ended.append("complete")
            except BaseException:
                ended.append("broken")
                raise
            return web.Response()

        async def scenario() -> None:
            async with application(take) as url, aiohttp.ClientSession() as session:
                body = RequestBody()
                asking = asyncio.ensure_future(session.post(url, data=body))
                await body.put(b"a part")
                body.drop()
                await body.put(b"thrown away")
                with pytest.raises(aiohttp.ClientError):
                    await asking
                while not ended:
                    await asyncio.sleep(0.01)
                assert ended == ["broken"]

        run(scenario())

    def test_dropping_frees_who_waits_for_an_application_that_does_not_read(self) -> None:
        async def hold(request: web.Request) -> web.StreamResponse:
            await asyncio.sleep(60)
            return web.Response()

        async def scenario() -> None:
            async with application(hold) as url, aiohttp.ClientSession() as session:
                body = RequestBody()
                asking = asyncio.ensure_future(session.post(url, data=body))
                putting = asyncio.ensure_future(body.put(bytes(64 * MIB)))
                done, _ = await asyncio.wait({putting}, timeout=0.3)
                assert not done
                body.drop()
                await putting
                with pytest.raises(aiohttp.ClientError):
                    await asking

        run(scenario())

    def test_dropping_before_there_is_a_connection(self) -> None:
        async def scenario() -> None:
            body = RequestBody()
            putting = asyncio.ensure_future(body.put(b"1"))
            await asyncio.sleep(0)
            body.drop()
            await putting

        run(scenario())


class Browser:
    """The end of a connection that a browser has: what tornado writes to it."""

    def __init__(self, stream: IOStream) -> None:
        self.stream = stream

    def write(self, chunk: bytes) -> asyncio.Future[None]:
        if self.stream.closed():
            failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            failed.set_exception(StreamClosedError())
            return failed
        return self.stream.write(chunk)


class TestAnswer:
    @staticmethod
    @asynccontextmanager
    async def between(left: int) -> AsyncIterator[tuple[Answer, socket.socket, socket.socket]]:
        """The answer of an application's socket to a browser's, and both."""
        application, ours = socket.socketpair()
        there, browser = socket.socketpair()
        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_connection(asyncio.Protocol, sock=ours)
        transport.pause_reading()
        stream = IOStream(there)
        to = cast(HTTPConnection, Browser(stream))
        for line in (application, browser):
            line.setblocking(False)
        try:
            yield Answer(transport, to, left, lambda: None), application, browser
        finally:
            transport.abort()
            stream.close()
            application.close()
            browser.close()

    @staticmethod
    async def send(line: socket.socket, size: int) -> None:
        for piece in words(size):
            await asyncio.get_running_loop().sock_sendall(line, piece)

    def test_all_arrives_and_the_loop_goes_on(self) -> None:
        size, got, longest = 64 * MIB + 8, bytearray(), 0.0

        async def receive(line: socket.socket) -> None:
            while len(got) < size:
                got.extend(await asyncio.get_running_loop().sock_recv(line, MIB))

        async def tick() -> None:
            nonlocal longest
            while True:
                # CPU time of this thread: others on the machine do not count.
                begun = time.thread_time()
                await asyncio.sleep(0)
                longest = max(longest, time.thread_time() - begun)

        async def scenario() -> None:
            async with self.between(size) as (answer, application, browser):
                ticking = asyncio.ensure_future(tick())
                await asyncio.gather(self.send(application, size), receive(browser), answer.carry())
                ticking.cancel()

        run(scenario())
        assert got == b"".join(words(size))
        assert longest < 0.05

    @pytest.mark.parametrize("size", [16, BUFFER_BYTES + 16])
    def test_only_as_much_as_was_announced(self, size: int) -> None:
        sent = b"".join(words(size + 800))

        async def scenario() -> None:
            async with self.between(size) as (answer, application, browser):
                loop, got = asyncio.get_running_loop(), b""
                sending = asyncio.ensure_future(loop.sock_sendall(application, sent))
                carrying = asyncio.ensure_future(answer.carry())
                while len(got) < size:
                    got += await loop.sock_recv(browser, MIB)
                await carrying
                sending.cancel()
                assert got == sent[:size]
                with pytest.raises(BlockingIOError):
                    browser.recv(1)

        run(scenario())

    def test_an_application_that_ends_early(self) -> None:
        async def scenario() -> None:
            async with self.between(MIB) as (answer, application, browser):
                application.sendall(b"part")
                application.close()
                with pytest.raises(aiohttp.ClientPayloadError, match=f"{MIB - 4} bytes before"):
                    await answer.carry()
                assert browser.recv(100) == b"part"

        run(scenario())

    def test_a_browser_that_is_gone(self) -> None:
        async def scenario() -> None:
            async with self.between(8 * MIB) as (answer, application, browser):
                sending = asyncio.ensure_future(self.send(application, 8 * MIB))
                browser.close()
                with pytest.raises(StreamClosedError):
                    await answer.carry()
                sending.cancel()

        run(scenario())

    def test_a_browser_that_does_not_read_holds_the_application_back(self) -> None:
        sent = 0

        async def pump(line: socket.socket) -> None:
            nonlocal sent
            while True:
                await asyncio.get_running_loop().sock_sendall(line, bytes(1 << 16))
                sent += 1 << 16

        async def scenario() -> None:
            async with self.between(1 << 40) as (answer, application, _):
                carrying = asyncio.ensure_future(answer.carry())
                pumping = asyncio.ensure_future(pump(application))
                await asyncio.sleep(0.3)
                pumping.cancel()
                carrying.cancel()

        run(scenario())
        assert sent < 4 * BUFFER_BYTES


class TestReads:
    def test_views_of_one_buffer_and_then_as_before(self) -> None:
        async def scenario() -> None:
            near, far = socket.socketpair()
            stream = IOStream(near)
            far.sendall(b"head\n" + b"x" * 1000)
            assert await stream.read_until(b"\n") == b"head\n"
            reads = Reads(stream)
            first = await stream.read_bytes(600, partial=True)
            assert first == b"x" * 600
            assert type(first).__name__ == "memoryview"
            rest = await stream.read_bytes(4000, partial=True)
            assert rest == b"x" * 400
            far.sendall(b"y" * 10)
            assert await stream.read_bytes(4, partial=True) == b"y" * 4
            reads.stop()
            reads.stop()
            assert await stream.read_bytes(6) == b"y" * 6
            stream.close()
            far.close()

        run(scenario())


@pytest.mark.parametrize(
    ("length", "large"),
    [
        (None, False),
        ("", False),
        ("-5", False),
        ("1e9", False),
        ("9999999\u00b2", False),
        (str(LARGE_BYTES - 1), False),
        (str(LARGE_BYTES), True),
        ("99999999999999999999", True),
        (f"{LARGE_BYTES}, {LARGE_BYTES}", False),
    ],
)
def test_which_bodies_are_large(length: str | None, large: bool) -> None:
    assert is_large(length) is large


def test_the_stand_in_knows_its_own_body() -> None:
    assert b"".join(words(24)) == bytes.fromhex("00" * 8 + "01" + "00" * 7 + "02" + "00" * 7)
    assert digest(8) == digest(8) != digest(16)
