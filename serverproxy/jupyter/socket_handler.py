"""Websockets to an application."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import Any

import aiohttp
from jupyter_server.base.handlers import JupyterHandler
from tornado import web, websocket

from serverproxy.jupyter.headers import without_websocket
from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.jupyter.readiness import endpoint_when_ready, write_reply
from serverproxy.supervisor.spec import Endpoint

_GOING_AWAY = 1001
_INTERNAL = 1011


class SocketHandler(websocket.WebSocketHandler, JupyterHandler):
    """What every websocket has to do before its bytes flow."""

    def initialize(self, proxied: ProxiedApp) -> None:
        """Of one application."""
        self._proxied = proxied
        self._counts = False
        self._pump: asyncio.Task[None] | None = None

    async def prepare(self) -> None:  # type: ignore[override]  # as jupyter-server has it
        """Ask who is there. A websocket is no page: no redirect to a login."""
        prepared = JupyterHandler.prepare(self, _redirect_to_login=False)
        if prepared is not None:
            await prepared
        if not self.current_user:
            raise web.HTTPError(403)

    def check_origin(self, origin: str | None = None) -> bool:
        """As the Jupyter server is configured."""
        return bool(JupyterHandler.check_origin(self, origin or ""))

    async def get(self, *args: Any, **kwargs: Any) -> None:
        """Connect to the application first: only then can it choose a subprotocol, or refuse."""
        origin = self.request.headers.get("Origin")
        if origin is not None and not self.check_origin(origin):
            raise web.HTTPError(403, "Cross origin websockets not allowed")
        endpoint = await endpoint_when_ready(self._proxied, self.request)
        self._counts = self._proxied.counts(self)
        await self.connect(endpoint)
        self.record()
        try:
            await super().get(*args, **kwargs)
        finally:
            if self.ws_connection is None:
                await self.disconnect()

    async def connect(self, endpoint: Endpoint) -> None:
        """Open the connection to the application."""
        raise NotImplementedError

    async def disconnect(self) -> None:
        """Close the connection to the application."""
        raise NotImplementedError

    async def pump(self) -> None:
        """Carry what the application sends, until it closes."""
        raise NotImplementedError

    def open(self, *_: str, **__: str) -> None:
        """The browser's side is open too."""
        self.set_nodelay(True)
        self._pump = asyncio.ensure_future(self._carry())

    async def _carry(self) -> None:
        try:
            await self.pump()
        except websocket.WebSocketClosedError:
            pass  # on_close does the rest
        except (OSError, aiohttp.ClientError) as error:
            self.log.info("app=%s websocket: %s", self._proxied.entry.name, error)
            self.close(_INTERNAL, "The application's connection broke.")

    def on_close(self) -> None:
        """The browser's side is closed."""
        if self._pump is not None:
            self._pump.cancel()
        task = asyncio.ensure_future(self.disconnect())
        _closing.add(task)
        task.add_done_callback(_closing.discard)

    def record(self) -> None:
        """A message is use; pings are not, they come from tabs nobody looks at."""
        if self._counts:
            self._proxied.record(self)

    def get_compression_options(self) -> dict[str, Any] | None:
        """None: applications that want to save bytes compress by themselves."""
        return None

    @property
    def max_message_size(self) -> int:
        """Bytes of one message."""
        return self._proxied.limits.message_bytes

    def check_xsrf_cookie(self) -> None:
        """The origin is checked instead."""

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """JSON, as for other requests."""
        write_reply(self, status_code, kwargs.get("exc_info", (None, None))[1])

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Answers are no accidents."""
        if not isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)


class AppSocketHandler(SocketHandler):
    """A websocket carried to a websocket."""

    _upstream: aiohttp.ClientWebSocketResponse | None = None

    async def connect(self, endpoint: Endpoint) -> None:
        """Handshake with the application. HTTP 502 or its own refusal when it does not want to."""
        proxied, request = self._proxied, self.request
        credentials = proxied.credentials(self)
        headers = proxied.request_headers(
            without_websocket(request.headers.get_all()), credentials, endpoint
        )
        headers.pop("Content-Length", None)
        offered = request.headers.get("Sec-WebSocket-Protocol", "")
        protocols = credentials.protocols([p.strip() for p in offered.split(",") if p.strip()])
        try:
            self._upstream = await proxied.upstream.session(endpoint).ws_connect(
                proxied.target(request.path, credentials.query(request.query), endpoint, "ws"),
                headers=headers,
                protocols=protocols,
                autoping=False,
                max_msg_size=proxied.limits.message_bytes,
                compress=0,
            )
        except aiohttp.WSServerHandshakeError as error:
            code = error.status if 400 <= error.status < 600 else 502
            raise web.HTTPError(code, "The application refused the websocket.") from error
        except (aiohttp.ClientError, OSError) as error:
            raise web.HTTPError(
                502, f"The application did not take the websocket ({type(error).__name__})."
            ) from error

    def select_subprotocol(self, subprotocols: list[str]) -> str | None:
        """The one the application chose."""
        return self._upstream.protocol if self._upstream is not None else None

    async def on_message(self, message: str | bytes) -> None:
        """From the browser; the next one is read when this one is on its way."""
        self.record()
        upstream = self._upstream
        if upstream is None or upstream.closed:
            return
        with suppress(ConnectionError, aiohttp.ClientError):
            if isinstance(message, str):
                await upstream.send_str(message)
            else:
                await upstream.send_bytes(message)

    def on_ping(self, data: bytes) -> None:
        """Tornado has answered it; the application hears of it too, as some time out without."""
        if self._upstream is not None and not self._upstream.closed:
            task = asyncio.ensure_future(self._ping(self._upstream, data))
            _closing.add(task)
            task.add_done_callback(_closing.discard)

    @staticmethod
    async def _ping(upstream: aiohttp.ClientWebSocketResponse, data: bytes) -> None:
        with suppress(ConnectionError, aiohttp.ClientError):
            await upstream.ping(data)

    async def pump(self) -> None:
        """From the application to the browser."""
        upstream = self._upstream
        if upstream is None:
            return
        while True:
            message = await upstream.receive()
            if message.type is aiohttp.WSMsgType.TEXT:
                self.record()
                await self.write_message(message.data)
            elif message.type is aiohttp.WSMsgType.BINARY:
                self.record()
                await self.write_message(message.data, binary=True)
            elif message.type is aiohttp.WSMsgType.PING:
                await upstream.pong(message.data)
                self.ping(message.data)
            elif message.type is aiohttp.WSMsgType.PONG:
                continue
            else:
                break
        code = upstream.close_code
        reason = message.extra if message.type is aiohttp.WSMsgType.CLOSE else None
        sendable = code is not None and (1000 <= code <= 1003 or 1007 <= code <= 1014)
        sendable = sendable or (code is not None and 3000 <= code <= 4999)
        self.close(code if sendable else _GOING_AWAY, str(reason)[:120] if reason else None)

    async def disconnect(self) -> None:
        """With the browser's code."""
        upstream, self._upstream = self._upstream, None
        if upstream is not None and not upstream.closed:
            code = self.close_code if self.close_code and self.close_code >= 1000 else _GOING_AWAY
            with suppress(ConnectionError, aiohttp.ClientError, asyncio.CancelledError):
                await upstream.close(code=code, message=(self.close_reason or "").encode()[:120])


_closing: set[asyncio.Future[None]] = set()
