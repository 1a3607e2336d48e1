"""Donors that are started anew because the agent asks for it."""

import asyncio
import os
import sys
from collections.abc import Callable
from pathlib import Path

from nodeagent.config import Address
from nodeagent.donors.follow import asking, follow
from nodeagent.donors.keep import DonorKeeper, DonorPlan

DONOR = """
import os, time
with open(os.environ["LOG"], "a") as log:
    print(os.getpid(), file=log)
print("ready", flush=True)
time.sleep(600)
"""


async def until(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while not true():
            await asyncio.sleep(0.02)


def test_donors_follow_the_agent(tmp_path: Path) -> None:
    log = tmp_path / "pids"
    told: list[int | None] = [4]
    reads = 0

    async def read() -> int | None:
        nonlocal reads
        reads += 1
        return told[-1]

    def pids() -> list[int]:
        return [int(line) for line in log.read_text().split()] if log.exists() else []

    async def again(turn: int) -> None:
        await until(lambda: reads >= turn)

    async def go() -> None:
        plan = DonorPlan(
            command=(sys.executable, "-S", "-c", DONOR), env=os.environ | {"LOG": str(log)}, count=2
        )
        keeper, stop = DonorKeeper(plan), asyncio.Event()
        tasks = [
            asyncio.create_task(keeper.run(stop)),
            asyncio.create_task(follow(read, keeper, stop, seconds=0.05)),
        ]
        try:
            await until(lambda: keeper.ready == 2)
            # An agent that is away, and a new one that has asked for nothing yet.
            for number in (None, 0):
                told.append(number)
                await again(reads + 2)
            assert len(pids()) == 2
            told.append(1)
            await until(lambda: keeper.ready == 2 and len(pids()) == 4)
            assert keeper.problem is None
        finally:
            stop.set()
            await asyncio.gather(*tasks)
        assert len(set(pids())) == 4
        assert not [pid for pid in pids() if Path(f"/proc/{pid}").exists()]

    asyncio.run(go())


def test_an_agent_that_is_away_asks_for_nothing() -> None:
    async def read() -> int | None:
        return await asking(Address(host="127.0.0.1", port=1))()

    assert asyncio.run(read()) is None
