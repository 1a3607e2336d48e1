"""Small questions to the demo's own servers, over loopback and past any proxy setting."""

from __future__ import annotations

import contextlib
import errno
import json
import socket
import urllib.error
import urllib.request
from http.client import HTTPException
from typing import Any

HOST = "127.0.0.1"
_direct = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def get_json(url: str, token: str | None = None, timeout: float = 2.0) -> Any | None:
    """The decoded answer; None when there is none: not listening, an error status, not JSON."""
    headers = {} if token is None else {"Authorization": f"token {token}"}
    try:
        request = urllib.request.Request(url, headers=headers)
        with _direct.open(request, timeout=timeout) as answer:
            return json.load(answer)
    except urllib.error.HTTPError as err:
        err.close()
    except (OSError, ValueError, HTTPException):
        pass
    return None


def is_free(port: int) -> bool:
    """Whether a server could listen on this port of loopback now."""
    with contextlib.closing(socket.socket()) as probe:
        # As servers do: a port whose last connections are only just closed is free.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as err:
            if err.errno in (errno.EADDRINUSE, errno.EACCES):
                return False
            raise
        return True


def free_port(*preferred: int | None) -> int:
    """The first of the preferred ports that is free, else one that the kernel gives."""
    for port in preferred:
        if port is not None and is_free(port):
            return port
    with contextlib.closing(socket.socket()) as probe:
        probe.bind((HOST, 0))
        port_given: int = probe.getsockname()[1]
        return port_given
