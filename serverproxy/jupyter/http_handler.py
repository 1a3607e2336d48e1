"""HTTP requests to an application, streamed both ways."""

from __future__ import annotations

import asyncio
import copy
import re
from collections.abc import Awaitable
from contextlib import suppress
from http.client import responses
from typing import Any
from urllib.parse import unquote

import aiohttp
from jupyter_server.base.handlers import JupyterHandler
from tornado import httputil, web
from tornado.http1connection import HTTP1Connection
from tornado.iostream import StreamClosedError

from serverproxy.jupyter.body import RequestBody
from serverproxy.jupyter.headers import Pairs
from serverproxy.jupyter.large_body import BUFFER_BYTES, Answer, Reads, is_large
from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.jupyter.readiness import endpoint_when_ready, is_navigation, write_reply
from serverproxy.jupyter.rewriting import LIMIT_BYTES, Rewriter
from serverproxy.jupyter.start_page import write_start_page
from serverproxy.jupyter.upstream import NotOursError
from serverproxy.supervisor.spec import Endpoint, TcpEndpoint

_UNLIMITED = 1 << 62
_REASON = re.compile(r"[\x20-\x7e]*")


@web.stream_request_body
class AppHandler(JupyterHandler):
    """Every request below an application's address that is not a websocket."""

    _exchange: asyncio.Task[None] | None = None
    _is_use = False
    _sending = False
    _read = False
    _reads: Reads | None = None

    def initialize(self, proxied: ProxiedApp, rewriter: Rewriter) -> None:
        """Of one application."""
        self._proxied = proxied
        self._rewriter = rewriter
        self._body = RequestBody()

    # -- the request ------------------------------------------------------------------------------

    async def prepare(self) -> None:  # type: ignore[override]  # as jupyter-server has it
        """Ask who is there. A request with a body goes on to the application from here."""
        prepared = super().prepare()
        if prepared is not None:
            await prepared
        if has_body(self.request) and not self._finished:
            await self._begin_exchange()

    async def _begin_exchange(self) -> None:
        """See that the application runs, and begin the request to it."""
        web.authenticated(_no_more)(self)
        if self._finished:
            return
        limit = self._proxied.limits.upload_bytes or _UNLIMITED
        length = self.request.headers.get("Content-Length", "0")
        if length.isdecimal() and int(length) > limit:
            raise web.HTTPError(413, f"This server takes uploads of up to {limit} bytes.")
        connection = self.request.connection
        if isinstance(connection, HTTP1Connection):
            connection.set_max_body_size(limit)
            if is_large(length):
                # A copy: the server's connections share one.
                connection.params = copy.copy(connection.params)
                connection.params.chunk_size = BUFFER_BYTES
                self._reads = Reads(connection.stream)
        status = self._proxied.app.status
        if is_navigation(self.request):
            self._proxied.opened = True
            if not status.running:
                await write_start_page(self, self._proxied)
                return
        endpoint = await endpoint_when_ready(self._proxied, self.request)
        self._is_use = self._proxied.counts(self)
        self._tick()
        self._exchange = asyncio.ensure_future(self._relay(endpoint))

    async def data_received(self, chunk: bytes) -> None:
        """A piece of the body; the browser is read on when it has been sent to the application."""
        await self._body.put(chunk)
        self._tick()

    async def _handle(self, *_: str) -> None:
        """The request is read; what is left is the answer."""
        self._read = True
        self._stop_reads()
        self._body.end()
        if self._exchange is None:
            await self._begin_exchange()
        if self._exchange is None:
            return
        try:
            await self._exchange
        except asyncio.CancelledError:
            if not self._exchange.cancelled():
                raise
        finally:
            self._body.drop()

    get = head = post = put = delete = patch = options = _handle

    def on_connection_close(self) -> None:
        """The browser went away: so does the request to the application."""
        super().on_connection_close()
        self._stop_reads()
        self._body.drop()
        if self._exchange is not None:
            self._exchange.cancel()

    # -- the answer -------------------------------------------------------------------------------

    async def _relay(self, endpoint: Endpoint) -> None:
        request, proxied = self.request, self._proxied
        credentials = proxied.credentials(self)
        headers = proxied.request_headers(list(request.headers.get_all()), credentials, endpoint)
        url = proxied.target(request.path, credentials.query(request.query), endpoint)
        session = proxied.upstream.session(endpoint)
        try:
            async with session.request(
                request.method or "GET",
                url,
                headers=headers,
                data=self._body if has_body(request) else None,
                allow_redirects=False,
            ) as answer:
                await self._answer(answer, endpoint)
        except NotOursError as error:
            raise web.HTTPError(502, str(error)) from error
        except (aiohttp.ClientError, OSError) as error:
            await self._broken(error)
        except (StreamClosedError, httputil.HTTPOutputError):
            self._hang_up()  # the browser is gone, or the application sent more than it announced
        finally:
            self._body.drop()
            self._tick()

    async def _answer(self, answer: aiohttp.ClientResponse, endpoint: Endpoint) -> None:
        pairs = [(n.decode("latin-1"), v.decode("latin-1")) for n, v in answer.raw_headers]
        code, reason, body = answer.status, answer.reason, None
        if not self._rewriter.idle:
            code, reason, pairs, body = await self._rewritten(answer, pairs, endpoint)
        self._begin(code, reason, self._proxied.response_headers(pairs, self.request))
        if body is not None:
            self.set_header("Content-Length", str(len(body)))
            if self.request.method != "HEAD":
                self.write(body)
            await self._flush()
            return
        await self._flush()
        if is_large(self._headers.get("Content-Length")) and await self._carry(answer):
            return
        async for piece in answer.content.iter_any():
            self.write(piece)
            await self._flush()
            self._tick()

    async def _carry(self, answer: aiohttp.ClientResponse) -> bool:
        """A large body, without aiohttp; False when some or all of it is to be had from there."""
        connection = answer.connection
        source = None if connection is None else connection.transport
        to = self.request.connection
        length = answer.content_length
        if (
            not isinstance(source, asyncio.Transport)
            or to is None
            or length is None
            or "Transfer-Encoding" in answer.headers
            or self._headers.get("Content-Length") != str(length)
        ):
            return False
        # First what aiohttp has read already. It may read more while that is sent.
        while not answer.content.is_eof():
            source.pause_reading()
            piece = answer.content.read_nowait()
            if not piece:
                break
            length -= len(piece)
            self.write(piece)
            await self._flush()
        else:
            return False
        await Answer(source, to, length, self._tick).carry()
        answer.close()
        return True

    async def _rewritten(
        self, answer: aiohttp.ClientResponse, pairs: Pairs, endpoint: Endpoint
    ) -> tuple[int, str | None, Pairs, bytes | None]:
        asked = {
            "request": self.request,
            "host": "localhost",
            "port": endpoint.port if isinstance(endpoint, TcpEndpoint) else 0,
            "path": unquote(self._proxied.below(self.request.path)),
        }
        given = (answer.status, answer.reason, pairs)
        done = self._rewriter.without_body(*given, asked)
        if done is None:
            # As in stock: a stream of events has no end to wait for.
            if answer.content_type == "text/event-stream":
                return (*given, None)
            body = bytearray()
            async for piece in answer.content.iter_any():
                body += piece
                if len(body) > LIMIT_BYTES:
                    answer.close()
                    raise web.HTTPError(
                        502, f"The entry rewrites answers of up to {LIMIT_BYTES} bytes only."
                    )
            done = self._rewriter.with_body(*given, bytes(body), asked)
        headers = done.headers
        if done.body is not None:
            headers = [(n, v) for n, v in headers if n.lower() != "content-length"]
            if done.code in (204, 304):
                return done.code, done.reason, headers, None
        return done.code, done.reason, headers, done.body

    def _begin(self, code: int, reason: str | None, pairs: Pairs) -> None:
        if reason is not None and not _REASON.fullmatch(reason):
            reason = None
        self.set_status(code, reason or responses.get(code, "Unknown"))
        # Not what tornado and Jupyter put there: it is the application's answer.
        self._headers = httputil.HTTPHeaders()
        for name, value in pairs:
            with suppress(ValueError, httputil.HTTPInputError):  # not to be said in HTTP
                self.add_header(name, value)

    def _tick(self) -> None:
        """Something has moved: long transfers are use, too."""
        if self._is_use:
            self._proxied.record(self)

    def _stop_reads(self) -> None:
        if self._reads is not None:
            self._reads.stop()
            self._reads = None

    async def _flush(self) -> None:
        self._sending = True
        await self.flush()

    async def _broken(self, error: Exception) -> None:
        """The application hung up, or does not take connections."""
        self.log.info("app=%s %s: %s", self._proxied.entry.name, type(error).__name__, error)
        if self._sending:
            self._hang_up()  # a whole answer must not be made of a part
            return
        await asyncio.sleep(0)  # its end may be known in a moment
        if is_navigation(self.request) and not self._proxied.app.status.running:
            await write_start_page(self, self._proxied)
            return
        title = self._proxied.entry.title
        raise web.HTTPError(502, f"{title} did not answer this request ({type(error).__name__}).")

    def _hang_up(self) -> None:
        if isinstance(self.request.connection, HTTP1Connection):
            self.request.connection.close()

    def finish(self, chunk: str | bytes | dict[str, Any] | None = None) -> asyncio.Future[None]:
        """End the answer. Before the request is read, tornado closes the connection; say so."""
        if not self._read and not self._headers_written:
            self.set_header("Connection", "close")
        return super().finish(chunk)

    # -- as the application is to decide ----------------------------------------------------------

    def check_xsrf_cookie(self) -> None:
        """The application's own matter."""

    def compute_etag(self) -> str | None:
        """The application's own matter."""
        return None

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """JSON, as people see the start page instead."""
        write_reply(self, status_code, kwargs.get("exc_info", (None, None))[1])

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """Answers are no accidents."""
        if not isinstance(value, web.HTTPError):
            super().log_exception(typ, value, tb)


def has_body(request: httputil.HTTPServerRequest) -> bool:
    """Whether a request brings a body that is not empty. Pure."""
    headers = request.headers
    return "Transfer-Encoding" in headers or headers.get("Content-Length", "0") != "0"


def _no_more(handler: web.RequestHandler) -> Awaitable[None] | None:
    """For `web.authenticated`, which redirects or raises before it calls this."""


class AddSlashHandler(JupyterHandler):
    """`{base_url}{name}` to `{base_url}{name}/`."""

    @web.authenticated
    def get(self) -> None:
        """Redirect, with the query."""
        query = f"?{self.request.query}" if self.request.query else ""
        self.redirect(f"{self.request.path}/{query}")
