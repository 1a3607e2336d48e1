"""What a managed application needs of its supervisor."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import ParamSpec, TypeVar

from serverproxy.supervisor.ports import Ports
from serverproxy.supervisor.runtime import Instance
from serverproxy.supervisor.start_times import StartTimes
from serverproxy.supervisor.state import AppStatus, Phase

P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Services:
    """clock: steady seconds. wall: epoch seconds. uid: whose processes and sockets are ours.

    prepare: gives the runtime folder, with the guardian up and earlier servers' leftovers ended.
    tend: starts the guardian again when it is gone; cheap. publish: told of every change.
    workers: threads for /proc walks and files; short jobs only, so that a stop is never queued.
    """

    clock: Callable[[], float]
    wall: Callable[[], float]
    uid: int
    boot_id: str
    prepare: Callable[[Callable[[Phase], None]], Awaitable[Instance]]
    tend: Callable[[], Awaitable[None]]
    publish: Callable[[AppStatus], None]
    start_times: StartTimes
    workers: ThreadPoolExecutor
    ports: Ports = field(default_factory=Ports)

    async def work(self, job: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Run a short blocking job in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self.workers, lambda: job(*args, **kwargs))
