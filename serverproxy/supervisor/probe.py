"""Asks an application whether it answers."""

from __future__ import annotations

import asyncio
import os
import re
import socket
import stat
import struct
import time
from collections.abc import Callable
from contextlib import suppress

from serverproxy.supervisor.spec import Endpoint, LaunchSpec, TcpEndpoint, UnixEndpoint

_STATUS = re.compile(rb"HTTP/\d(?:\.\d)? (\d{3})\b")
_HEAD_BYTES = 4096


class Prober:
    """Keeps questions under way until one is answered.

    An application that is slow to answer while it warms up gets `patience_s` for each question; one
    that lost a question gets another each `again_s`. So neither delays the moment it is noticed.
    """

    def __init__(
        self,
        spec: LaunchSpec,
        on_answer: Callable[[], None],
        *,
        patience_s: float = 10.0,
        again_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._spec = spec
        self._on_answer = on_answer
        self._patience_s = patience_s
        self._again_s = again_s
        self._clock = clock
        self._tasks: set[asyncio.Task[None]] = set()
        self._last = float("-inf")
        self.answered = False

    def ask(self) -> None:
        """Send a question unless a recent one is still open."""
        if self._tasks and self._clock() - self._last < self._again_s:
            return
        self._last = self._clock()
        task = asyncio.create_task(self._question())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _question(self) -> None:
        try:
            async with asyncio.timeout(self._patience_s):
                good = await answers(self._spec)
        except TimeoutError:
            return
        if good:
            self.answered = True
            self._on_answer()

    async def close(self) -> None:
        """Drop open questions."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


async def answers(spec: LaunchSpec) -> bool:
    """Whether it answers as `spec` wants it. No timeout of its own."""
    try:
        reader, writer = await connect(spec.endpoint)
    except OSError:
        return False
    try:
        if spec.probe == "connect":
            return True
        writer.write(request(spec))
        await writer.drain()
        head = b""
        while b"\n" not in head and len(head) < _HEAD_BYTES:
            part = await reader.read(_HEAD_BYTES)
            if not part:
                break
            head += part
    except OSError:
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()
    match = _STATUS.match(head)
    if match is None:
        return False
    return spec.ready_statuses is None or int(match[1]) in spec.ready_statuses


async def connect(endpoint: Endpoint) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    """Open a connection. OSError when there is none to be had."""
    if isinstance(endpoint, TcpEndpoint):
        return await asyncio.open_connection(endpoint.host, endpoint.port)
    return await asyncio.open_unix_connection(str(endpoint.path))


def request(spec: LaunchSpec) -> bytes:
    """The question, as HTTP/1.1. Pure."""
    endpoint = spec.endpoint
    host = f"{endpoint.host}:{endpoint.port}" if isinstance(endpoint, TcpEndpoint) else "localhost"
    headers = {"Host": host, "Accept": "*/*", "User-Agent": "samepage-probe"}
    names = {name.lower(): name for name in headers}
    for name, value in spec.probe_headers.items():
        headers[names.get(name.lower(), name)] = value
    headers["Connection"] = "close"
    lines = [f"GET {spec.probe_path} HTTP/1.1", *(f"{k}: {v}" for k, v in headers.items())]
    if any("\r" in line or "\n" in line for line in lines):
        raise ValueError("The probe's path and headers must not hold line ends.")
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def socket_owner(endpoint: UnixEndpoint) -> int | None:
    """Owner of the socket file, uid; None when there is no socket yet."""
    try:
        found = os.lstat(endpoint.path)
    except OSError:
        return None
    return found.st_uid if stat.S_ISSOCK(found.st_mode) else None


def listening_peer(endpoint: UnixEndpoint, timeout_s: float = 1.0) -> tuple[int, int] | None:
    """Pid and uid of the process that listens on a unix socket, unix(7) SO_PEERCRED; None: nobody.

    Blocks, for the length of a local connect.
    """
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM | socket.SOCK_CLOEXEC) as peer:
        peer.settimeout(timeout_s)
        try:
            peer.connect(str(endpoint.path))
            pid, uid, _ = struct.unpack(
                "3i", peer.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12)
            )
        except OSError:
            return None
    return pid, uid
