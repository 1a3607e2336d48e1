"""Who connects to the node's socket, how many may, and for how long."""

import asyncio
import itertools
import json
import os
import subprocess
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from tornado import web
from tornado.netutil import bind_sockets

from nodeagent.http import app, peers
from nodeagent.http.app import bind_node_socket, bind_private, serve
from nodeagent.http.peers import MOST_CONNECTIONS, MOST_OF_ONE, Peers

Ends = tuple[asyncio.StreamReader, asyncio.StreamWriter]
CONNECTS = """
import socket, sys
connection = socket.socket(socket.AF_UNIX)
connection.connect(sys.argv[1])
sys.stdin.read()
"""
QUESTION = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"


class Socket:
    """A node's socket, and the connections made to it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.opened: list[Ends] = []

    async def open(self) -> Ends:
        self.opened.append(await asyncio.open_unix_connection(str(self._path)))
        return self.opened[-1]


@asynccontextmanager
async def listening(tmp_path: Path) -> AsyncIterator[Socket]:
    path = tmp_path / "node.sock"
    server = serve(web.Application([]), [bind_node_socket(path)], Peers())
    node = Socket(path)
    try:
        async with asyncio.timeout(30):
            yield node
    finally:
        for _, writer in node.opened:
            writer.close()
        server.stop()
        await server.close_all_connections()


async def ask(ends: Ends) -> bytes:
    reader, writer = ends
    writer.write(QUESTION)
    return await reader.readline()


async def refusal(ends: Ends) -> str:
    """The whole answer to who may not connect."""
    reader, writer = ends
    writer.write(QUESTION)
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503")
    answer = json.loads(body)
    assert (answer["code"], bool(answer["fix"])) == ("too-many-connections", True)
    return str(answer["message"])


def test_connections_are_bounded_and_the_first_ones_are_answered(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    number = itertools.count()
    monkeypatch.setattr(peers, "_owner", lambda pid, uid: f"pod {next(number)}")

    async def scenario() -> None:
        async with listening(tmp_path) as node:
            for _ in range(MOST_CONNECTIONS):
                await node.open()
            assert "256" in await refusal(await node.open())
            assert (await ask(node.opened[0])).startswith(b"HTTP/1.1 404")

    asyncio.run(scenario())


def test_one_student_leaves_room_for_the_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    owner = "pod eve"
    monkeypatch.setattr(peers, "_owner", lambda pid, uid: owner)

    async def scenario() -> None:
        nonlocal owner
        async with listening(tmp_path) as node:
            for _ in range(MOST_OF_ONE):
                await node.open()
            for _ in range(3):
                assert str(MOST_OF_ONE) in await refusal(await node.open())
            owner = "pod ada"
            assert (await ask(await node.open())).startswith(b"HTTP/1.1 404")
            # One that was given back can be had again.
            owner = "pod eve"
            node.opened[0][1].close()
            while not (await ask(ends := await node.open())).startswith(b"HTTP/1.1 404"):
                ends[1].close()

    asyncio.run(scenario())


def test_who_says_nothing_is_hung_up_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "SOCKET_IDLE_SECONDS", 0.2)
    monkeypatch.setattr(app, "BODY_SECONDS", 0.2)

    async def scenario() -> None:
        async with listening(tmp_path) as node:
            half = QUESTION[:-2] + b"Content-Length: 9\r\n\r\nhalf"
            for words in (b"", b"GET / HTTP", half):
                reader, writer = await node.open()
                writer.write(words)
                assert await reader.read() == b""

    asyncio.run(scenario())


def test_over_tcp_the_oldest_connection_makes_room() -> None:
    async def scenario() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        server = serve(web.Application([]), sockets)
        port = sockets[0].getsockname()[1]
        opened: list[Ends] = []
        try:
            async with asyncio.timeout(30):
                for _ in range(MOST_CONNECTIONS + 1):
                    opened.append(await asyncio.open_connection("127.0.0.1", port))
                assert (await ask(opened[-1])).startswith(b"HTTP/1.1 404")
                assert await opened[0][0].read() == b""
                assert (await ask(opened[1])).startswith(b"HTTP/1.1 404")
        finally:
            for _, writer in opened:
                writer.close()
            server.stop()
            await server.close_all_connections()

    asyncio.run(scenario())


@pytest.mark.parametrize("ends", [True, False], ids=["ended", "alive"])
def test_a_process_that_left_its_connection_is_nobody(tmp_path: Path, ends: bool) -> None:
    path = tmp_path / "node.sock"
    with bind_node_socket(path) as listener:
        listener.settimeout(30)
        with subprocess.Popen(
            [sys.executable, "-c", CONNECTS, str(path)], stdin=subprocess.PIPE
        ) as process:
            accepted, _ = listener.accept()
            with accepted:
                if ends:
                    process.communicate()
                assert peers._has_ended(accepted) is ends
                process.communicate()


def test_owners_are_told_by_process() -> None:
    assert peers._owner(os.getpid(), 1000) == peers._owner(os.getpid(), 1000)
    assert peers._owner(0, 1000) is None
    ended = subprocess.Popen(["true"])
    ended.wait()
    # Not the owner of nobody: or a process that hands its connections on would have no limit.
    assert peers._owner(ended.pid, 1000) == "ended 1000"


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a folder away")
def test_the_operators_socket_is_not_in_a_strangers_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "state"
    folder.mkdir()
    os.chown(folder, 54321, -1)
    assert bind_private(folder) is None
    assert "belongs to another user" in caplog.text
    os.chown(folder, 0, -1)
    # A pod's emptyDir: root's, and open to all that are in the pod.
    folder.chmod(0o777)
    opened = bind_private(folder)
    assert opened is not None
    opened.close()
