"""`rewrite_response` of an entry, with its contract, and without a buffer where it needs none.

The functions get jupyter-server-proxy's own `RewritableResponse`. Its body is there when it is
asked for: a function that only looks at the headers never asks, and then the body is streamed.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from jupyter_server_proxy.handlers import RewritableResponse
from jupyter_server_proxy.utils import call_with_asked_args
from tornado.httpclient import HTTPRequest, HTTPResponse
from tornado.httputil import HTTPHeaders

from serverproxy.jupyter.headers import Pairs

# Of a response that a function wants to see whole; stock stops at the same size.
LIMIT_BYTES = 100 << 20


class _BodyWanted(BaseException):
    """A function asked for a body that has not been read.

    Not an Exception, so that no function catches it.
    """


class _Response(HTTPResponse):
    """Of tornado, with a body that may not be there yet."""

    unread = True

    @property
    def body(self) -> bytes:
        if self.unread:
            raise _BodyWanted
        return super().body


@dataclass(frozen=True, kw_only=True)
class Rewritten:
    """body: None: the application's own, as it comes."""

    code: int
    reason: str | None
    headers: Pairs
    body: bytes | None


class Rewriter:
    """The functions of one entry."""

    def __init__(self, functions: Sequence[Callable[..., None]]) -> None:
        self._functions = functions
        # Once they have asked for a body they are not called without one again.
        self._wants_body = False

    @property
    def idle(self) -> bool:
        """Whether there is nothing to call."""
        return not self._functions

    def without_body(
        self, code: int, reason: str | None, headers: Pairs, asked: dict[str, Any]
    ) -> Rewritten | None:
        """The result, None when the functions want the body. asked: arguments for them by name."""
        if self._wants_body:
            return None
        try:
            return self._apply(_response(code, reason, headers, None), asked)
        except _BodyWanted:
            self._wants_body = True
            return None

    def with_body(
        self, code: int, reason: str | None, headers: Pairs, body: bytes, asked: dict[str, Any]
    ) -> Rewritten:
        """The result for a body that has been read."""
        return self._apply(_response(code, reason, headers, body), asked)

    def _apply(self, original: _Response, asked: dict[str, Any]) -> Rewritten:
        first = response = RewritableResponse(orig_response=original)
        for function in self._functions:

            def call(each: RewritableResponse, function: Callable[..., None] = function) -> None:
                call_with_asked_args(function, {"response": each, "orig_response": first, **asked})

            response = response._apply_to_copy(call)
        try:
            body: bytes | None = response.body
        except _BodyWanted:
            body = None
        headers = response.headers
        pairs = headers.get_all() if isinstance(headers, HTTPHeaders) else headers.items()
        return Rewritten(
            code=response.code,
            reason=response.reason,
            headers=[(str(name), str(value)) for name, value in pairs],
            body=body,
        )


def _response(code: int, reason: str | None, headers: Pairs, body: bytes | None) -> _Response:
    made = HTTPHeaders()
    for name, value in headers:
        made.add(name, value)
    response = _Response(
        HTTPRequest("http://localhost/"),
        code,
        headers=made,
        reason=reason,
        buffer=None if body is None else io.BytesIO(body),
    )
    response.unread = body is None
    return response
