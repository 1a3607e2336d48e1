"""Starts the donors anew when the agent asks for it, also from a container beside the agent's."""

import asyncio
from collections.abc import Awaitable, Callable

from nodeagent.config import Address
from nodeagent.donors.keep import DonorKeeper
from nodeagent.errors import AgentError
from nodeagent.status import ask

FOLLOW_SECONDS = 30.0


async def follow(
    read: Callable[[], Awaitable[int | None]],
    keeper: DonorKeeper,
    stop: asyncio.Event,
    *,
    seconds: float = FOLLOW_SECONDS,
) -> None:
    """Until `stop`. `read`: how often the agent has asked; None: it does not answer now.

    A smaller number is a new agent's, which knows of these donors what it sees.
    """
    known: int | None = None
    while not stop.is_set():
        number = await read()
        if number is not None:
            if known is not None and number > known:
                keeper.renew()
            known = number
        try:
            async with asyncio.timeout(seconds):
                await stop.wait()
        except TimeoutError:
            pass


def asking(listen: Address) -> Callable[[], Awaitable[int | None]]:
    """Reads it from the agent at `listen`, which may be away or an older one."""

    async def read() -> int | None:
        try:
            node = await asyncio.to_thread(ask, listen)
        except AgentError:
            return None
        donors = node.get("donors")
        number = donors.get("restarts") if isinstance(donors, dict) else None
        return number if isinstance(number, int) else None

    return read
