"""Small requests over connections that stay open, as fast as they are answered."""

import asyncio
import re
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from . import readings
from .proxy_app import SMALL
from .proxy_servers import Way
from .spread import percentile

_LENGTH = re.compile(rb"\r\ncontent-length: *(\d+)\r\n", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Block:
    """One stretch. Seconds; cpu_seconds: of the Jupyter server, None without one."""

    latencies: Sequence[float]
    seconds: float
    cpu_seconds: float | None

    @property
    def rate(self) -> float:
        """Requests per second."""
        return len(self.latencies) / self.seconds

    @property
    def cpu_per_request(self) -> float | None:
        """CPU seconds of the server."""
        return None if self.cpu_seconds is None else self.cpu_seconds / len(self.latencies)


@dataclass(kw_only=True)
class Load:
    """The stretches of one way with so many clients."""

    clients: int
    way: str
    blocks: list[Block] = field(default_factory=list)

    def rates(self) -> list[float]:
        """Requests per second, of each stretch."""
        return [block.rate for block in self.blocks]

    def milliseconds(self, share: float) -> list[float]:
        """This percentile of each stretch."""
        return [1000 * percentile(block.latencies, share) for block in self.blocks]

    def cpu_milliseconds(self) -> list[float]:
        """Per request, of each stretch; empty without a server."""
        found = [block.cpu_per_request for block in self.blocks]
        return [1000 * each for each in found if each is not None]


def measure(
    ways: Sequence[Way], clients: Sequence[int], *, rounds: int, seconds: float
) -> dict[tuple[int, str], Load]:
    """Interleaved, the order turned round in every second round, after an uncounted one."""
    loads = {(n, way.name): Load(clients=n, way=way.name) for n in clients for way in ways}
    for number in range(rounds + 1):
        for count in clients:
            for way in ways if number % 2 else reversed(ways):
                block = asyncio.run(stretch(way, count, seconds if number else seconds / 4))
                if number:
                    loads[count, way.name].blocks.append(block)
    return loads


async def stretch(way: Way, clients: int, seconds: float) -> Block:
    """So many clients at once, each with one connection and one request at a time."""
    latencies: list[float] = []
    before = None if way.pid is None else readings.cpu_seconds(way.pid)
    begun = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(clients):
            group.create_task(_client(way, begun + seconds, latencies))
    took = time.perf_counter() - begun
    after = None if way.pid is None else readings.cpu_seconds(way.pid)
    used = None if before is None or after is None else after - before
    return Block(latencies=latencies, seconds=took, cpu_seconds=used)


async def _client(way: Way, until: float, latencies: list[float]) -> None:
    question = way.head("GET", f"{way.app}small")
    reader, writer = await asyncio.open_connection(way.host, way.port)
    try:
        while (begun := time.perf_counter()) < until:
            writer.write(question)
            head = await reader.readuntil(b"\r\n\r\n")
            length = _LENGTH.search(head)
            if not head.startswith(b"HTTP/1.1 200 ") or length is None:
                raise RuntimeError(f"{way.name} answered {head!r}")
            body = await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - begun)
            if body != SMALL:
                raise RuntimeError(f"{way.name} changed the body")
    finally:
        writer.close()
