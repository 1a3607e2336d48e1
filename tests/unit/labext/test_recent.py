"""Readings that several browser tabs share."""

from __future__ import annotations

import asyncio

import pytest

from labext.recent import Recent


class Source:
    def __init__(self) -> None:
        self.reads = 0
        self.gate = asyncio.Event()
        self.gate.set()
        self.error: Exception | None = None

    async def read(self) -> int:
        self.reads += 1
        await self.gate.wait()
        if self.error is not None:
            raise self.error
        return self.reads


def test_young_values_are_kept() -> None:
    async def scenario() -> None:
        now = 100.0
        source = Source()
        recent = Recent(source.read, 2.0, clock=lambda: now)
        assert await recent.get() == 1
        now = 101.9
        assert await recent.get() == 1
        now = 102.0
        assert await recent.get() == 2

    asyncio.run(scenario())


def test_one_reading_for_all_who_wait() -> None:
    async def scenario() -> None:
        source = Source()
        source.gate.clear()
        recent = Recent(source.read, 0.0)
        callers = [asyncio.create_task(recent.get()) for _ in range(5)]
        await asyncio.sleep(0)
        callers[0].cancel()
        source.gate.set()
        assert await asyncio.gather(*callers[1:]) == [1, 1, 1, 1]
        assert source.reads == 1

    asyncio.run(scenario())


def test_errors_are_told_and_not_kept() -> None:
    async def scenario() -> None:
        source = Source()
        source.error = OSError("gone")
        recent = Recent(source.read, 60.0)
        with pytest.raises(OSError, match="gone"):
            await recent.get()
        source.error = None
        assert await recent.get() == 2

    asyncio.run(scenario())
