"""HTTP on a Unix socket, with Tornado's client."""

from __future__ import annotations

import socket
from typing import Any

from tornado.netutil import Resolver
from tornado.simple_httpclient import SimpleAsyncHTTPClient


class _OneSocket(Resolver):
    """Every host name is the same socket."""

    def initialize(self, path: str) -> None:
        self._path = path

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        return [(socket.AF_UNIX, self._path)]


def unix_client(path: str) -> SimpleAsyncHTTPClient:
    """A client whose every request goes to the socket at `path`. ValueError: no absolute path."""
    if not path.startswith("/") or "\0" in path or len(path.encode()) > 107:
        raise ValueError(f"{path!r} is no path of a socket; give unix:///run/samepage/node.sock")
    # simple_httpclient alone takes a resolver: what AsyncHTTPClient is configured to may not.
    return SimpleAsyncHTTPClient(force_instance=True, resolver=_OneSocket(path=path))
