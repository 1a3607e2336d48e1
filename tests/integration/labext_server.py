"""A Jupyter server with the extension, in this process, for synchronous tests."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from tornado.httpclient import HTTPResponse

LIMIT_SECONDS = 0.05


@dataclass(frozen=True, kw_only=True)
class Answer:
    status: int
    json: Any


class Client:
    """Asks the server of `jp_fetch`, on the loop that runs it."""

    def __init__(
        self,
        fetch: Callable[..., Awaitable[HTTPResponse]],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._fetch = fetch
        self.loop = loop

    async def ask(self, *path: str, **options: Any) -> Answer:
        response = await self._fetch("samepage", "api", *path, raise_error=False, **options)
        return Answer(status=response.code, json=json.loads(response.body or b"null"))

    def get(self, *path: str) -> Answer:
        return self.loop.run_until_complete(self.ask(*path))

    def post(self, *path: str) -> Answer:
        return self.loop.run_until_complete(self.ask(*path, method="POST", body=b""))

    async def until(self, done: Callable[[Any], bool], *path: str, seconds: float = 30.0) -> Any:
        deadline = time.monotonic() + seconds
        while True:
            answer = await self.ask(*path)
            if done(answer.json):
                return answer.json
            assert time.monotonic() < deadline, answer.json
            await asyncio.sleep(0.02)

    def wait_for(self, done: Callable[[Any], bool], *path: str) -> Any:
        return self.loop.run_until_complete(self.until(done, *path))


class LagProbe:
    """The longest time the loop was not there for others, while the `async with` block ran."""

    def __init__(self) -> None:
        self.worst_seconds = 0.0

    async def __aenter__(self) -> LagProbe:
        self._task = asyncio.create_task(self._beat())
        await asyncio.sleep(0.02)
        return self

    async def __aexit__(self, *_: object) -> None:
        await asyncio.sleep(0.02)
        self._task.cancel()
        await asyncio.gather(self._task, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            before = time.monotonic()
            await asyncio.sleep(0.001)
            self.worst_seconds = max(self.worst_seconds, time.monotonic() - before - 0.001)
