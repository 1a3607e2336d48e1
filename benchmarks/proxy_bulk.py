"""Large downloads and uploads: speed, and the memory they take in the server."""

import re
import socket
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from . import readings
from .proxy_app import PIECE
from .proxy_servers import Way

Direction = Literal["download", "upload"]
DIRECTIONS: tuple[Direction, ...] = ("download", "upload")

_TIMEOUT_S = 300
_GIB = 1 << 30
_STATUS = re.compile(rb"HTTP/1\.1 (\d{3})")
_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Transfer:
    """One. status: the HTTP answer's, None when the connection was closed without one.

    growth: bytes the server's resident memory was larger at its peak than before. cpu_seconds: of
    the server; all_cpu_seconds: of client, server and application. ran, waited: seconds the
    server's main thread had a CPU, and wanted one and had none.
    """

    status: int | None
    complete: bool
    size: int
    seconds: float
    growth: int | None = None
    cpu_seconds: float | None = None
    all_cpu_seconds: float | None = None
    ran: float | None = None
    waited: float | None = None

    @property
    def rate(self) -> float:
        """Bytes per second."""
        return self.size / self.seconds


@dataclass(kw_only=True)
class Transfers:
    """Repeated ones of one way and direction."""

    done: list[Transfer] = field(default_factory=list)

    def rates(self) -> list[float]:
        """MB/s."""
        return [each.rate / 1e6 for each in self.done]

    def growth(self) -> float:
        """The largest, MB; 0 without a server."""
        return max((each.growth or 0) / 1e6 for each in self.done)

    def cpu_per_gibibyte(self) -> list[float]:
        """CPU seconds of the server."""
        found = [each for each in self.done if each.cpu_seconds is not None]
        return [(each.cpu_seconds or 0.0) / (each.size / _GIB) for each in found]

    def all_cpu_per_gibibyte(self) -> list[float]:
        """CPU seconds of all that take part."""
        found = [each for each in self.done if each.all_cpu_seconds is not None]
        return [(each.all_cpu_seconds or 0.0) / (each.size / _GIB) for each in found]

    def shares(self) -> tuple[list[float], list[float]]:
        """Of the time, how much the server's main thread ran, and waited for a CPU."""
        known = [each for each in self.done if each.ran is not None and each.waited is not None]
        return (
            [(each.ran or 0.0) / each.seconds for each in known],
            [(each.waited or 0.0) / each.seconds for each in known],
        )

    @property
    def complete(self) -> bool:
        """Every one arrived whole."""
        return all(each.complete for each in self.done)


def measure(
    ways: Sequence[Way], *, rounds: int, size: int, pace: float | None = None
) -> dict[tuple[Direction, str], Transfers]:
    """Interleaved, after a small uncounted one each. pace: see `transfer`."""
    found = {(each, way.name): Transfers() for each in DIRECTIONS for way in ways}
    for direction in DIRECTIONS:
        for way in ways:
            transfer(way, direction, min(size, 8 << 20))
        for number in range(rounds):
            for way in ways if number % 2 else reversed(ways):
                found[direction, way.name].done.append(transfer(way, direction, size, pace))
    return found


def transfer(way: Way, direction: Direction, size: int, pace: float | None = None) -> Transfer:
    """One over a new connection, with the server's memory and CPU time.

    pace: bytes per second the client takes or gives at most, as its network would; None: no limit.
    """
    before = None if way.pid is None else _begin_peak(way.pid)
    cpu = None if way.pid is None else readings.cpu_seconds(way.pid)
    all_cpu = _all_cpu_seconds(way)
    scheduled = None if way.pid is None else _scheduled(way.pid)
    begun = time.perf_counter()
    limit = Pace(pace)
    status, complete = (_download if direction == "download" else _upload)(way, size, limit)
    seconds = time.perf_counter() - begun
    scheduled_then = None if way.pid is None else _scheduled(way.pid)
    all_used = _all_cpu_seconds(way) - all_cpu
    used = None if way.pid is None else readings.cpu_seconds(way.pid)
    return Transfer(
        status=status,
        complete=complete,
        size=size,
        seconds=seconds,
        growth=None if way.pid is None or before is None else _kilobytes(way.pid, "VmHWM") - before,
        cpu_seconds=None if cpu is None or used is None else used - cpu,
        all_cpu_seconds=all_used,
        ran=None if not (scheduled and scheduled_then) else scheduled_then[0] - scheduled[0],
        waited=None if not (scheduled and scheduled_then) else scheduled_then[1] - scheduled[1],
    )


def _scheduled(pid: int) -> tuple[float, float]:
    """Seconds its main thread ran and waited for a CPU, proc(5) schedstat."""
    ran, waited, _ = Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()
    return int(ran) / 1e9, int(waited) / 1e9


def _all_cpu_seconds(way: Way) -> float:
    pids = {pid for root in way.roots for pid in readings.tree(root)}
    below = sum(readings.cpu_seconds(pid) or 0.0 for pid in pids)
    return below + time.process_time()


def _begin_peak(pid: int) -> int:
    """Let the kernel forget the process's peak (proc(5), clear_refs 5); its resident bytes now."""
    Path(f"/proc/{pid}/clear_refs").write_text("5")
    return _kilobytes(pid, "VmRSS")


def _kilobytes(pid: int, name: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith(f"{name}:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/{pid}/status has no {name}")


class Pace:
    """Holds a client to so many bytes per second from now on; None: does not."""

    def __init__(self, rate: float | None) -> None:
        self._rate, self._begun = rate, time.perf_counter()

    def keep(self, moved: int) -> None:
        """Sleep until that many bytes were due."""
        if self._rate is not None:
            early = self._begun + moved / self._rate - time.perf_counter()
            if early > 0:
                time.sleep(early)


def _download(way: Way, size: int, pace: Pace) -> tuple[int | None, bool]:
    with socket.create_connection((way.host, way.port), timeout=_TIMEOUT_S) as line:
        line.sendall(way.head("GET", f"{way.app}download?size={size}"))
        head, body = _head(line)
        length = _LENGTH.search(head)
        expected = None if length is None else int(length[1])
        got, buffer = len(body), bytearray(1 << 20)
        while (expected is None or got < expected) and (count := line.recv_into(buffer)):
            got += count
            pace.keep(got)
    status = _STATUS.match(head)
    return (None if status is None else int(status[1])), got == size


def _upload(way: Way, size: int, pace: Pace) -> tuple[int | None, bool]:
    headers = {"Content-Length": str(size), "Content-Type": "application/octet-stream"}
    with socket.create_connection((way.host, way.port), timeout=_TIMEOUT_S) as line:
        line.sendall(way.head("POST", f"{way.app}upload", headers | _xsrf(way)))
        left = size
        try:
            while left > 0:
                left -= line.send(memoryview(PIECE)[: min(left, len(PIECE))])
                pace.keep(size - left)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have said why
        try:
            head, body = _head(line)
        except ConnectionResetError:
            return None, False
    status = _STATUS.match(head)
    return (None if status is None else int(status[1])), body == str(size).encode()


def _xsrf(way: Way) -> dict[str, str]:
    """What a page of Jupyter adds to a POST."""
    found = re.search(r"_xsrf=([^;]+)", way.cookie)
    return {"X-XSRFToken": found[1]} if found else {}


def _head(line: socket.socket) -> tuple[bytes, bytes]:
    """The answer's first lines, and what came of its body with them and right after."""
    seen = b""
    while b"\r\n\r\n" not in seen:
        piece = line.recv(1 << 16)
        if not piece:
            return seen, b""
        seen += piece
    head, _, body = seen.partition(b"\r\n\r\n")
    head += b"\r\n\r\n"
    length = _LENGTH.search(head)
    while length is not None and len(body) < min(int(length[1]), 64):
        body += line.recv(1 << 16)
    return head, body
