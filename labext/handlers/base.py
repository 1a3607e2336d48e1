"""What all our handlers share: JSON errors with a code, a sentence and a way out."""

from __future__ import annotations

import json
from typing import Any

from jupyter_server.base.handlers import APIHandler
from tornado.web import HTTPError

from labext.errors import ApiError
from serverproxy.jupyter.language import catalogue, language_of, localized

_CODES = {
    400: "bad_request",
    401: "unauthenticated",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
}


class SamepageHandler(APIHandler):
    """Base of our handlers. Access is a resource of its own for custom authorizers."""

    auth_resource = "samepage"

    def speak(self, answer: dict[str, Any]) -> None:
        """Finish with this answer, its sentences in the reader's language."""
        self.finish(localized(answer, catalogue(language_of(self.request))))

    def write_error(self, status_code: int, **kwargs: Any) -> None:
        """Answer {"code", "message", "fix"}; never a traceback."""
        error = kwargs.get("exc_info", (None, None))[1]
        reply = {
            "code": _CODES.get(status_code, "internal"),
            "message": self._reason,
            "fix": None,
        }
        if isinstance(error, ApiError):
            self.set_status(error.status)
            reply = {"code": error.code, "message": error.message, "fix": error.fix}
        elif isinstance(error, HTTPError):
            reply["message"] = error.log_message or error.reason or self._reason
        elif status_code >= 500:
            reply["message"] = "The server could not answer this; its log says why."
            reply["fix"] = "Try again; if it stays, show your operator the server's log."
        self.finish(json.dumps(localized(reply, catalogue(language_of(self.request)))))

    def log_exception(self, typ: Any, value: Any, tb: Any) -> None:
        """An ApiError is an answer, not an accident."""
        if not isinstance(value, ApiError):
            super().log_exception(typ, value, tb)
