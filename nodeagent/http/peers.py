"""Who is at the other end of a connection on a Unix socket, asked when it is accepted.

Not when a request comes: by then the process may have ended, and its pid be a neighbour's.
"""

import socket
import struct
import weakref
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tornado.httpserver import HTTPServer
from tornado.iostream import IOStream

_CREDENTIALS = struct.Struct("3i")
MOST_CONNECTIONS = 256
"""Of one server. Who opens more is hung up on: a process that has no descriptor left cannot accept,
read /proc or write /sys, and asyncio says so without a pause."""


@dataclass(frozen=True, kw_only=True)
class Peer:
    """`pid` 0: a process of a pid namespace that this one does not see. `started`: its start time
    in ticks after boot as its pid had it then; None: not seen."""

    pid: int
    uid: int
    started: int | None


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
        self._known[stream] = Peer(pid=pid, uid=uid, started=_started(pid))

    def of(self, connection: Any) -> Peer | None:
        """Of a request's connection; None: not known."""
        stream = getattr(connection, "stream", None)
        return self._known.get(stream) if isinstance(stream, IOStream) else None


class PeerServer(HTTPServer):
    """An HTTP server that remembers who connects."""

    peers: Peers | None = None
    """Where to remember it; set before the sockets are added."""

    def handle_stream(self, stream: IOStream, address: tuple[Any, ...]) -> None:
        """First who it is, then what it asks."""
        if len(self._connections) >= MOST_CONNECTIONS:
            stream.close()
            return
        if self.peers is not None:
            self.peers.add(stream)
        super().handle_stream(stream, address)


def _started(pid: int) -> int | None:
    """From this process's own procfs, whose numbers SO_PEERCRED uses."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace")
        return int(text.rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return None
