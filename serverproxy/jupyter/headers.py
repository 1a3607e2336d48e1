"""Headers on their way through, both ways. Pure. Source: RFC 9110, 7.6.1."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

_HOP_BY_HOP = frozenset(
    {
        "connection",
        "keep-alive",
        "proxy-authenticate",
        "proxy-authorization",
        "proxy-connection",
        "te",
        "trailer",
        "transfer-encoding",
        "upgrade",
    }
)
# Answered by our server itself, which asks for the body as it reads it.
_OF_THIS_CONNECTION = frozenset({"expect"})
_WEBSOCKET = ("sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions")

Pairs = list[tuple[str, str]]


def end_to_end(pairs: Iterable[tuple[str, str]], *, request: bool) -> Iterator[tuple[str, str]]:
    """Those that go on to the other side."""
    pairs = list(pairs)
    named = {
        name.strip().lower()
        for header, value in pairs
        if header.lower() == "connection"
        for name in value.split(",")
    }
    # A sender cannot make us drop what the message itself is made of.
    named -= {"content-length", "content-type", "host", "cookie", "set-cookie", "location"}
    dropped = _HOP_BY_HOP | named | (_OF_THIS_CONNECTION if request else frozenset())
    for name, value in pairs:
        if name.lower() not in dropped:
            yield name, value


def without_websocket(pairs: Iterable[tuple[str, str]]) -> Pairs:
    """Without what belongs to the handshake of this one connection."""
    dropped = {*_WEBSOCKET, "sec-websocket-protocol"}
    return [(name, value) for name, value in pairs if name.lower() not in dropped]


def sent_as(value: str) -> str:
    """A header value as tornado read it (latin-1) for aiohttp, which sends UTF-8."""
    try:
        return value.encode("latin-1").decode("utf-8")
    except UnicodeError:
        return value


def overridden(pairs: Pairs, override: dict[str, str]) -> Pairs:
    """With an entry's own values; an empty Authorization or Cookie means none is sent."""
    names = {name.lower() for name in override}
    kept = [(name, value) for name, value in pairs if name.lower() not in names]
    for name, value in override.items():
        if value or name.lower() not in {"authorization", "cookie"}:
            kept.append((name, value))
    return kept
