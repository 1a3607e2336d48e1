"""A definition as an entry of jupyter-server-proxy."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from tornado.web import HTTPError

from serverproxy.apps import AppDefinition
from serverproxy.errors import AppError
from serverproxy.redirects import keep_inside

# jupyter-server-proxy copies the request's headers and can only set some of them. The application
# must not get what opens the whole Jupyter server, so the value is blanked.
NO_CREDENTIALS: Mapping[str, str] = {"Authorization": ""}


def make_entry(
    definition: AppDefinition,
    *,
    command: Callable[..., list[str]],
    request_headers: Mapping[str, str] | None = None,
    environment: Mapping[str, str] | None = None,
    unix_socket: Path | None = None,
) -> dict[str, object]:
    """Options of a jupyter-server-proxy ServerProcess. Starts nothing and creates no file.

    The launcher entry is off: the launcher's own section shows the card, with the reason when the
    application is missing, and a second card would be a duplicate.
    """
    entry: dict[str, object] = {
        "command": command,
        "timeout": definition.timeout_seconds,
        "new_browser_tab": definition.new_browser_tab,
        "request_headers_override": {**NO_CREDENTIALS, **(request_headers or {})},
        "rewrite_response": keep_inside,
        "launcher_entry": {
            "enabled": False,
            "title": definition.title,
            "path_info": definition.path,
            "category": definition.category,
        },
    }
    if environment:
        entry["environment"] = dict(environment)
    if unix_socket is not None:
        entry["unix_socket"] = str(unix_socket)
    return entry


def as_http_error(title: str, error: AppError) -> HTTPError:
    """The error as the page the user gets who opened the application's address by hand."""
    text = f"{title} cannot start. {error.message} {error.fix}"
    return HTTPError(503, text, reason="Service Unavailable")
