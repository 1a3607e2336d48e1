"""Applications that speak no HTTP: a websocket carries their stream (`raw_socket_proxy`)."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

from jupyter_server.base.handlers import JupyterHandler
from tornado import web

from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.jupyter.socket_handler import SocketHandler
from serverproxy.jupyter.upstream import NotOursError
from serverproxy.supervisor.spec import Endpoint, TcpEndpoint

_READ_BYTES = 1 << 16


class RawSocketHandler(SocketHandler):
    """Messages of the browser are written to the stream, what it gives comes as binary messages."""

    _reader: asyncio.StreamReader | None = None
    _writer: asyncio.StreamWriter | None = None

    async def connect(self, endpoint: Endpoint) -> None:
        """Open the stream. HTTP 502 when the application does not take it."""
        try:
            if isinstance(endpoint, TcpEndpoint):
                await self._proxied.upstream.check_owner()
                opened = await asyncio.open_connection(endpoint.host, endpoint.port)
            else:
                opened = await asyncio.open_unix_connection(str(endpoint.path))
        except NotOursError as error:
            raise web.HTTPError(502, str(error)) from error
        except OSError as error:
            raise web.HTTPError(
                502, f"The application did not take the connection ({type(error).__name__})."
            ) from error
        self._reader, self._writer = opened

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """The first, which is "binary" for noVNC; the stream behind knows of none."""
        kept = self._proxied.credentials(self).protocols(subprotocols)
        return kept[0] if kept else None

    async def on_message(self, message: str | bytes) -> None:
        """From the browser; the next one is read when the stream has room."""
        self.record()
        if self._writer is None:
            return
        with suppress(OSError):
            self._writer.write(message.encode() if isinstance(message, str) else message)
            await self._writer.drain()

    async def pump(self) -> None:
        """From the stream to the browser."""
        reader = self._reader
        while reader is not None and (piece := await reader.read(_READ_BYTES)):
            self.record()
            await self.write_message(piece, binary=True)
        self.close(1000)

    async def disconnect(self) -> None:
        """Close the stream."""
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()


class RawHttpHandler(JupyterHandler):
    """Anything but a websocket, for which there is no answer."""

    def initialize(self, proxied: ProxiedApp) -> None:
        """Of one application."""
        self._proxied = proxied

    @web.authenticated
    def _refuse(self, *_: Any) -> None:
        raise web.HTTPError(
            405, "this raw_socket_proxy backend only supports websocket connections"
        )

    get = head = post = put = delete = patch = options = _refuse

    def check_xsrf_cookie(self) -> None:
        """Nothing happens here."""
