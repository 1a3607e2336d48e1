"""Many websockets at once, each with a message now and then."""

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass

import aiohttp

from . import readings
from .proxy_servers import Way

_PERIOD_S = 1.0
_PAYLOAD = 128
_OPENING_AT_ONCE = 20


@dataclass(frozen=True, kw_only=True)
class Sockets:
    """Seconds. alive: of `opened`, how many still gave a message back at the end."""

    way: str
    opened: int
    alive: int
    latencies: Sequence[float]
    opening: float
    cpu_seconds: float | None
    resident_each: float | None

    @property
    def cpu_per_message(self) -> float | None:
        """CPU seconds of the server for a message and its echo."""
        return None if self.cpu_seconds is None else self.cpu_seconds / len(self.latencies)


def measure(ways: Sequence[Way], *, sockets: int, seconds: float) -> list[Sockets]:
    """Way after way."""
    return [asyncio.run(_measure(way, sockets, seconds)) for way in ways]


async def _measure(way: Way, count: int, seconds: float) -> Sockets:
    connector = aiohttp.TCPConnector(limit=0)
    headers = {"Cookie": way.cookie} if way.cookie else {}
    before = _resident(way)
    async with aiohttp.ClientSession(
        connector=connector, headers=headers, cookie_jar=aiohttp.DummyCookieJar()
    ) as session:
        gate = asyncio.Semaphore(_OPENING_AT_ONCE)
        url = f"ws://{way.host}:{way.port}{way.app}echo"

        async def connect() -> aiohttp.ClientWebSocketResponse:
            async with gate:
                return await session.ws_connect(url)

        begun = time.perf_counter()
        lines = await asyncio.gather(*(connect() for _ in range(count)))
        opening = time.perf_counter() - begun
        after = _resident(way)
        cpu = None if way.pid is None else readings.cpu_seconds(way.pid)
        until = time.perf_counter() + seconds
        latencies = await asyncio.gather(*(_talk(line, until) for line in lines))
        used = None if way.pid is None else readings.cpu_seconds(way.pid)
        alive = await asyncio.gather(*(_answers(line) for line in lines))
        await asyncio.gather(*(line.close() for line in lines))
    return Sockets(
        way=way.name,
        opened=len(lines),
        alive=sum(alive),
        latencies=[each for some in latencies for each in some],
        opening=opening,
        cpu_seconds=None if cpu is None or used is None else used - cpu,
        resident_each=None if before is None or after is None else (after - before) / count,
    )


async def _talk(line: aiohttp.ClientWebSocketResponse, until: float) -> list[float]:
    """A message each period, from a moment of its own."""
    latencies = []
    due = time.perf_counter() + random.uniform(0, _PERIOD_S)
    while due < until:
        await asyncio.sleep(due - time.perf_counter())
        begun = time.perf_counter()
        if not await _answers(line):
            break
        latencies.append(time.perf_counter() - begun)
        due = max(due + _PERIOD_S, time.perf_counter())
    return latencies


async def _answers(line: aiohttp.ClientWebSocketResponse) -> bool:
    message = random.randbytes(_PAYLOAD)
    try:
        async with asyncio.timeout(20):
            await line.send_bytes(message)
            answer = await line.receive()
    except (TimeoutError, ConnectionError):
        return False
    return answer.type is aiohttp.WSMsgType.BINARY and answer.data == message


def _resident(way: Way) -> int | None:
    found = None if way.pid is None else readings.memory(way.pid)
    return None if found is None else found.resident
