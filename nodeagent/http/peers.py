"""Who is at the other end of a connection on a Unix socket, asked when it is accepted.

Not when a request comes: by then the process may have ended, and its pid be a neighbour's.
"""

import asyncio
import contextlib
import errno
import json
import os
import select
import socket
import struct
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream, StreamClosedError, UnsatisfiableReadError

from nodeagent.workloads.cgroup import parse_cgroup
from nodeagent.workloads.owner import owner_of

_PEER_PIDFD = 77
"""SO_PEERPIDFD, which Python does not name. Source: asm-generic/socket.h."""
_CREDENTIALS = struct.Struct("3i")
MOST_CONNECTIONS = 256
"""Of one server: a process that has no descriptor left cannot accept, read /proc or write /sys, and
asyncio says so without a pause."""
MOST_OF_ONE = 16
"""Of one student (pod, container, service or user) on a socket where the kernel says who connects.
A server asks two things at a time, so this is a few servers of one student."""
_MOST_FAREWELLS = 32
_FAREWELL_SECONDS = 2.0
_MOST_HEADER = 16 * 1024


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`pid` 0: a process of a pid namespace that this one does not see. `started`: its start time
    in ticks after boot as its pid had it then; None: not seen. `owner`: who it counts for; None:
    students cannot be told apart, as all of them may have one user id."""

    pid: int
    uid: int
    started: int | None
    owner: str | None = None


class Peers:
    """Of the connections that are open."""

    def __init__(self) -> None:
        self._known: weakref.WeakKeyDictionary[IOStream, Peer] = weakref.WeakKeyDictionary()

    def add(self, stream: IOStream) -> None:
        """Ask the kernel about a connection just accepted."""
        try:
            told = stream.socket.getsockopt(
                socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size
            )
        except OSError:
            return
        pid, uid, _ = _CREDENTIALS.unpack(told)
        started, owner = _started(pid), _owner(pid, uid)
        if _has_ended(stream.socket):
            # Its number may be another process's by now, and what was read that one's.
            started, owner = None, f"ended {uid}"
        self._known[stream] = Peer(pid=pid, uid=uid, started=started, owner=owner)

    def is_full(self, stream: IOStream) -> bool:
        """Whether who connected just now has as many others open as one may."""
        peer = self._known.get(stream)
        if peer is None or peer.owner is None:
            return False
        held = sum(
            other.owner == peer.owner and not each.closed() for each, other in self._known.items()
        )
        return held > MOST_OF_ONE

    def of(self, connection: Any) -> Peer | None:
        """Of a request's connection; None: not known."""
        stream = getattr(connection, "stream", None)
        return self._known.get(stream) if isinstance(stream, IOStream) else None


class PeerServer(HTTPServer):
    """An HTTP server that remembers who connects."""

    peers: Peers | None = None
    """Where to remember it; set before the sockets are added."""

    def initialize(self, *arguments: Any, **settings: Any) -> None:
        """As the base."""
        super().initialize(*arguments, **settings)
        self._farewells: set[asyncio.Task[None]] = set()
        self._streams: dict[IOStream, None] = {}

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """First who it is, then what it asks."""
        if self.peers is not None:
            self.peers.add(stream)
        if self.peers is None:
            # Over TCP nobody can be told apart. Whoever opens many must not shut the others out, so
            # the oldest goes; a question takes milliseconds.
            self._streams = {each: None for each in self._streams if not each.closed()}
            if len(self._streams) >= MOST_CONNECTIONS:
                next(iter(self._streams)).close()
            self._streams[stream] = None
            super().handle_stream(stream, address)
        elif len(self._connections) >= MOST_CONNECTIONS:
            self._refuse(stream, f"this socket has {MOST_CONNECTIONS} connections open")
        elif self.peers.is_full(stream):
            self._refuse(stream, f"you have {MOST_OF_ONE} connections open")
        else:
            super().handle_stream(stream, address)

    def _refuse(self, stream: IOStream, why: str) -> None:
        """Say so, to as many as there is room for; then hang up."""
        if len(self._farewells) >= _MOST_FAREWELLS:
            stream.close()
            return
        task = asyncio.get_running_loop().create_task(_say_goodbye(stream, why))
        self._farewells.add(task)
        task.add_done_callback(self._farewells.discard)


async def _say_goodbye(stream: IOStream, why: str) -> None:
    body = json.dumps(
        {
            "code": "too-many-connections",
            "message": f"The agent answers nobody more here: {why}.",
            "fix": "Close some, and ask again.",
        }
    ).encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json; charset=utf-8\r\n"
        f"Content-Length: {len(body)}\r\nRetry-After: 5\r\nConnection: close\r\n\r\n"
    )
    try:
        with contextlib.suppress(StreamClosedError, UnsatisfiableReadError, TimeoutError, OSError):
            async with asyncio.timeout(_FAREWELL_SECONDS):
                await stream.write(head.encode() + body)
                # A question that is not read would make the kernel answer with a reset.
                await stream.read_until(b"\r\n\r\n", max_bytes=_MOST_HEADER)
    finally:
        stream.close()


def _owner(pid: int, uid: int) -> str | None:
    """Who the connection counts for. Whoever has ended since (a process that left its connection
    to another) counts with all others of its user who did so: a server that asks is alive."""
    if pid == 0:
        return None
    try:
        text = Path(f"/proc/{pid}/cgroup").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return f"ended {uid}"
    return str(owner_of(parse_cgroup(text), uid))


def _has_ended(connection: socket.socket) -> bool:
    """Whether the process that connected is gone; not told by Linux before 6.5: False."""
    try:
        process = connection.getsockopt(socket.SOL_SOCKET, _PEER_PIDFD)
    except OSError as err:
        return err.errno == errno.ESRCH
    try:
        # Readable from its end on. Source: pidfd_open(2).
        waiting = select.poll()
        waiting.register(process, select.POLLIN)
        return bool(waiting.poll(0))
    finally:
        os.close(process)


def _started(pid: int) -> int | None:
    """From this process's own procfs, whose numbers SO_PEERCRED uses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
