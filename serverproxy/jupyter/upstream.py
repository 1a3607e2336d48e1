"""Connections to one application: pooled, and renewed when it listens somewhere else."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import aiohttp

from serverproxy.supervisor.spec import Endpoint, TcpEndpoint

# Shorter than what servers close at (gunicorn 2 s, node and uvicorn 5 s): a request must not be
# sent into a connection that the application is closing.
KEEPALIVE_S = 1.5
CONNECT_S = 10.0
_READ_BYTES = 1 << 18
_HEAD_BYTES = 1 << 16
# How long a positive answer to "is this port still ours" holds.
_TRUST_S = 1.0


class NotOursError(OSError):
    """Somebody else listens where the application did. Nothing was sent."""


class Upstream:
    """Sessions of one application, one for each place it listened at."""

    def __init__(self, owns_endpoint: Callable[[], Awaitable[bool]]) -> None:
        """owns_endpoint: asked before a new TCP connection, at most once a second."""
        self._owns_endpoint = owns_endpoint
        self._session: aiohttp.ClientSession | None = None
        self._endpoint: Endpoint | None = None
        self._trusted = float("-inf")
        self._look: asyncio.Task[bool] | None = None

    def session(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        """The session for this endpoint; one for an earlier endpoint is closed."""
        if self._session is None or self._endpoint != endpoint or self._session.closed:
            self.close_soon()
            self._endpoint = endpoint
            self._trusted = float("-inf")
            self._look = None
            self._session = self._open(endpoint)
        return self._session

    def _open(self, endpoint: Endpoint) -> aiohttp.ClientSession:
        tracing: list[aiohttp.TraceConfig] = []
        connector: aiohttp.BaseConnector
        if isinstance(endpoint, TcpEndpoint):
            connector = aiohttp.TCPConnector(limit=0, keepalive_timeout=KEEPALIVE_S)
            trace = aiohttp.TraceConfig()
            trace.on_connection_create_start.append(self._before_connecting)
            tracing.append(trace)
        else:
            connector = aiohttp.UnixConnector(
                str(endpoint.path), limit=0, keepalive_timeout=KEEPALIVE_S
            )
        return aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            auto_decompress=False,
            trust_env=False,
            skip_auto_headers=("User-Agent", "Accept", "Accept-Encoding", "Content-Type"),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_S),
            read_bufsize=_READ_BYTES,
            max_line_size=_HEAD_BYTES,
            max_field_size=_HEAD_BYTES,
            trace_configs=tracing,
        )

    async def _before_connecting(
        self, session: aiohttp.ClientSession, context: SimpleNamespace, params: Any
    ) -> None:
        await self.check_owner()

    async def check_owner(self) -> None:
        """NotOursError when the endpoint is no longer served by the application."""
        if time.monotonic() - self._trusted < _TRUST_S:
            return
        # One look for all who connect in this moment: each would walk /proc by itself.
        if self._look is None or self._look.done():
            self._look = asyncio.ensure_future(self._owned())
        if not await asyncio.shield(self._look):
            raise NotOursError("The port of the application is no longer served by it.")

    async def _owned(self) -> bool:
        session = self._session
        owned = await self._owns_endpoint()
        if owned and self._session is session:
            self._trusted = time.monotonic()
        return owned

    def close_soon(self) -> None:
        """Close the session in the background, with what is under way in it."""
        session, self._session = self._session, None
        if session is not None and not session.closed:
            task = asyncio.ensure_future(session.close())
            _closing.add(task)
            task.add_done_callback(_closing.discard)

    async def close(self) -> None:
        """Close the session."""
        session, self._session = self._session, None
        if session is not None:
            await session.close()


_closing: set[asyncio.Future[None]] = set()


def address(endpoint: Endpoint, scheme: str = "http") -> str:
    """Scheme and authority of the endpoint. Pure."""
    if isinstance(endpoint, TcpEndpoint):
        return f"{scheme}://{endpoint.host}:{endpoint.port}"
    return f"{scheme}://localhost"
