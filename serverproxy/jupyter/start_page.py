"""The page people see while an application starts, or when it failed.

It asks the REST interface for changes and becomes the application by reloading itself. Everything
is in the page, and a nonce allows its script and style, so any Content-Security-Policy that lets
this server answer lets it work.
"""

from __future__ import annotations

import asyncio
import json
import re
import secrets
from functools import cache
from html import escape
from importlib.resources import files
from string import Template
from typing import Any
from urllib.parse import unquote

from serverproxy.jupyter.language import catalogue, language_of, localized
from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.jupyter.status_json import status_json
from serverproxy.supervisor.state import AppState

# What is in the page before its script runs, by its name there.
_WORDS = {
    "starting": "Starting {title}",
    "usual": "Time until {title} usually answers",
    "cancel": "Cancel",
    "retry": "Try again",
    "log_heading": "Log",
    "log_label": "Last lines of the log of {title}",
    "no_script": "This page reloads itself until {title} answers.",
}
_FRAMES = re.compile(r"frame-ancestors[^;]*")


async def write_start_page(handler: Any, proxied: ProxiedApp) -> None:
    """Finish the request with the page, and start the application unless it just failed."""
    status = await proxied.app.ensure_started()
    nonce = secrets.token_urlsafe(16)
    handler.set_status(200)
    handler.set_header("Content-Type", "text/html; charset=UTF-8")
    handler.set_header("Cache-Control", "no-store")
    handler.set_header("Content-Security-Policy", _policy(handler, nonce))
    failed = status.state is AppState.FAILED
    handler.set_header("X-Samepage-Start", "failed" if failed else "starting")
    lines = await proxied.app.read_log(100) if failed else ()
    language = await asyncio.to_thread(language_of, handler.request)
    sentences = catalogue(language)
    data = {
        "sentences": sentences,
        "api": proxied.api_url,
        "xsrf": _text(handler.xsrf_token),
        "title": proxied.entry.title,
        "app": localized(status_json(proxied.app), sentences),
        "log": list(lines),
    }
    title = proxied.entry.title
    spoken = {
        name: escape(sentences.get(text, text).replace("{title}", title))
        for name, text in _WORDS.items()
    }
    handler.finish(
        Template(_part("start.html")).substitute(
            title=escape(title),
            language=language.replace("_", "-"),
            **spoken,
            nonce=nonce,
            style=_part("start.css"),
            script=_part("start.js"),
            # "<" could end the element it is in.
            data=json.dumps(data).replace("<", "\\u003c"),
        )
    )


def _policy(handler: Any, nonce: str) -> str:
    """Nothing from elsewhere; in frames as the server's own pages."""
    frames = _FRAMES.search(handler.content_security_policy)
    return "; ".join(
        [
            "default-src 'none'",
            f"script-src 'nonce-{nonce}'",
            f"style-src 'nonce-{nonce}'",
            "connect-src 'self'",
            "img-src data:",
            "base-uri 'none'",
            "form-action 'none'",
            frames.group(0).strip() if frames else "frame-ancestors 'self'",
        ]
    )


def _text(token: str | bytes) -> str:
    return unquote(token.decode() if isinstance(token, bytes) else token)


@cache
def _part(name: str) -> str:
    return files("serverproxy.jupyter").joinpath("page", name).read_text(encoding="utf-8")
