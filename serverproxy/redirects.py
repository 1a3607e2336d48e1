"""Redirects of a proxied application that stay below its address.

An application behind a prefix does not know its own address. It answers with a root-relative path,
with the address of its loopback port, or with what it makes of the `Host` and `X-Forwarded-*`
headers, all without the prefix or with it (RFC 9110, 10.2.2). All of these become a path relative
to the request. That is right whatever scheme, host name and outer proxies the browser sees, and
jupyter-server-proxy leaves relative locations alone in every version.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import Any
from urllib.parse import unquote, urlsplit

LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def relative_location(
    location: str, *, request_path: str, prefix: str, own_hosts: Collection[str]
) -> str:
    """The redirect target as a path relative to `request_path`, below `prefix`. Pure.

    location: the application's `Location`. request_path: the browser's path, percent-encoded.
    prefix: `{base_url}{name}` without a final slash. own_hosts: host names, lower case, that mean
    this application; a port does not matter, as RStudio adds its own.
    Unchanged: relative locations, other hosts and schemes, and a request outside the prefix.
    """
    try:
        target = urlsplit(location)
        # Two proxies in a row make "a, a" of X-Forwarded-Host, and RStudio builds on that.
        host = _hostname(target.netloc.split(",")[0])
    except ValueError:
        return location
    if target.scheme not in {"", "http", "https"}:
        return location
    if target.netloc:
        if host not in own_hosts:
            return location
    elif target.scheme or not location.startswith("/"):
        return location
    tail = request_path.removeprefix(prefix)
    if tail == request_path or not tail.startswith("/"):
        return location
    climb = "../" * (tail.count("/") - 1) or "./"
    query = f"?{target.query}" if target.query else ""
    fragment = f"#{target.fragment}" if target.fragment else ""
    return climb + _below(target.path, prefix) + query + fragment


def own_hosts(*headers: str | None) -> frozenset[str]:
    """Host names this server goes by: loopback and those in Host-like header values. Pure."""
    names = set(LOOPBACK_NAMES)
    for header in headers:
        for part in (header or "").split(","):
            try:
                names.add(_hostname(part))
            except ValueError:
                continue
    names.discard("")
    return frozenset(names)


def proxy_prefix(request_path: str, proxied_path: str) -> str | None:
    """The part of the percent-encoded request path before the proxied (decoded) path. Pure.

    None when the one does not end with the other.
    """
    for at, character in enumerate(request_path):
        if character == "/" and unquote(request_path[at:]) == proxied_path:
            return request_path[:at]
    return None


def keep_inside(response: Any, request: Any, path: str) -> None:
    """`rewrite_response` of both applications; arguments as jupyter-server-proxy names them."""
    location = response.headers.get("Location")
    prefix = proxy_prefix(request.path, path)
    if not location or prefix is None:
        return
    headers = request.headers
    response.headers["Location"] = relative_location(
        location,
        request_path=request.path,
        prefix=prefix,
        own_hosts=own_hosts(headers.get("Host"), headers.get("X-Forwarded-Host")),
    )


def _hostname(netloc: str) -> str:
    return urlsplit(f"//{netloc.strip()}").hostname or ""


def _below(path: str, prefix: str) -> str:
    """`path` without the prefix, if it has it, and without leading slashes."""
    ours = prefix.split("/")
    parts = path.split("/")
    if [unquote(part) for part in parts[: len(ours)]] == [unquote(part) for part in ours]:
        parts = parts[len(ours) :]
    return "/".join(parts).lstrip("/")
