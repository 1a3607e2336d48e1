"""Addresses an application writes into its headers, as the browser needs them. Pure."""

from __future__ import annotations

import re
from collections.abc import Collection
from urllib.parse import urlsplit

from serverproxy.redirects import relative_location

_COOKIE_PATH = re.compile(r"(;\s*path\s*=\s*)([^;]*)", re.IGNORECASE)


def browser_location(
    location: str,
    *,
    request_path: str,
    prefix: str,
    own_hosts: Collection[str],
    context_path: str = "",
    absolute_url: bool = False,
) -> str:
    """A `Location` below the proxy's address; see `redirects.relative_location`.

    context_path: where the application serves, when that is not the root; it becomes the prefix.
    absolute_url: the application knows the prefix, so a path outside it is meant.
    """
    try:
        target = urlsplit(location)
        foreign = bool(target.netloc) and not _is_own(target.netloc, own_hosts)
    except ValueError:
        return location
    if foreign:
        return location
    if absolute_url and not _below(target.path, prefix):
        return location
    if context_path and _below(target.path, context_path):
        path = target.path[len(context_path) :] or "/"
        location = target._replace(path=path).geturl()
    return relative_location(
        location, request_path=request_path, prefix=prefix, own_hosts=own_hosts
    )


def browser_cookie(cookie: str, *, prefix: str, context_path: str) -> str:
    """A `Set-Cookie` whose path is the secret one, with the proxy's path in place of it."""
    if not context_path:
        return cookie

    def replace(match: re.Match[str]) -> str:
        path = match[2].strip()
        if not _below(path, context_path):
            return match[0]
        return f"{match[1]}{prefix}{path[len(context_path) :]}"

    return _COOKIE_PATH.sub(replace, cookie, count=1)


def _below(path: str, folder: str) -> bool:
    return path == folder or path.startswith(f"{folder}/")


def _is_own(netloc: str, own_hosts: Collection[str]) -> bool:
    return (urlsplit(f"//{netloc.split(',')[0].strip()}").hostname or "") in own_hosts
