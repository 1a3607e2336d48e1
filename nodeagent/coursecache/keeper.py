"""Keeps the mirrors of all courses up to date while the agent runs."""

from __future__ import annotations

import asyncio
import functools
import logging
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from nodeagent.coursecache.folder import CacheBusyError, CacheFolder, CacheFolderError
from nodeagent.coursecache.gitrun import GitFailedError, Running
from nodeagent.coursecache.mirror import Mirror
from nodeagent.coursecache.pace import Pace, retry_seconds
from nodeagent.coursecache.source import Source
from nodeagent.coursecache.sweep import prune_all
from nodeagent.errors import ConfigError

log = logging.getLogger("nodeagent.coursecache")

_TICK_SECONDS = 5.0
_PRUNE_SECONDS = 86_400.0
_VERIFY_SECONDS = 86_400.0
_AT_ONCE = 2


@dataclass(kw_only=True)
class CourseState:
    """How it goes with one course.

    due: monotonic seconds. fetched_at, verified_at: epoch seconds.
    """

    source: Source
    due: float
    failures: int = 0
    fetched_at: float | None = None
    verified_at: float = 0.0
    message: str = "Not fetched since the agent started."


@dataclass(kw_only=True)
class Totals:
    """Since the agent started. requests: how often any server was asked."""

    requests: int = 0
    fetches: int = 0
    failures: int = 0
    throttled: int = 0
    bytes: int = 0


class CourseKeeper:
    """Fetches each course of `sources` once in an interval, whoever wants it in between.

    sources: reads the list anew; its ConfigError keeps the list of before. Times in seconds.
    """

    def __init__(
        self,
        *,
        folder: CacheFolder,
        sources: Callable[[], tuple[Source, ...]],
        pace: Pace,
        retention: float,
        env: Mapping[str, str],
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        chance: Callable[[], float] = random.random,
    ) -> None:
        self.courses: dict[str, CourseState] = {}
        self.totals = Totals()
        self._folder = folder
        self._sources = sources
        self._pace = pace
        self._retention = retention
        self._env = env
        self._clock = clock
        self._wall_clock = wall_clock
        self._chance = chance
        self._running = Running()
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._pruned = clock()
        self._problem: str | None = None

    @property
    def fresh_seconds(self) -> float:
        """How long notebooks may rely on a fetch: two late ones do not send them to the server."""
        return 2 * self._pace.interval * (1 + self._pace.jitter) + 30.0

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`. What goes wrong with one course is logged, and tried again."""
        try:
            while not stop.is_set():
                await self.round()
                try:
                    async with asyncio.timeout(_TICK_SECONDS):
                        await stop.wait()
                except TimeoutError:
                    pass
        finally:
            self._running.end()
            await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    async def round(self) -> None:
        """Begin what is due."""
        try:
            sources = await asyncio.to_thread(self._read)
        except (ConfigError, CacheFolderError) as err:
            self._told(f"{err.message}. {err.fix}")
            return
        self._problem = None
        now = self._clock()
        names = {source.name for source in sources}
        for source in sources:
            known = self.courses.get(source.name)
            if known is None:
                due = now + self._pace.first(self._chance())
                self.courses[source.name] = CourseState(source=source, due=due)
            else:
                known.source = source
        self.courses = {name: state for name, state in self.courses.items() if name in names}
        for name, state in self.courses.items():
            if state.due <= now and name not in self._tasks:
                task = asyncio.create_task(self._fetch(state))
                self._tasks[name] = task
                task.add_done_callback(functools.partial(self._done, name))
        if now - self._pruned > _PRUNE_SECONDS:
            self._pruned = now
            await asyncio.to_thread(
                prune_all,
                self._folder,
                sources,
                self._retention,
                self._env,
                self._wall_clock(),
                self._running,
            )

    async def settle(self) -> None:
        """Wait for what has begun."""
        await asyncio.gather(*self._tasks.values(), return_exceptions=True)

    def _done(self, name: str, task: asyncio.Task[None]) -> None:
        self._tasks.pop(name, None)

    def _read(self) -> tuple[Source, ...]:
        self._folder.prepare()
        return self._sources()

    async def _fetch(self, state: CourseState) -> None:
        retry: float | None = None
        try:
            async with self._turns:
                await asyncio.to_thread(self._ask, state)
            state.failures = 0
        except CacheBusyError:
            state.message = "Another process fetches it."
        except (GitFailedError, CacheFolderError, OSError) as err:
            state.failures += 1
            self.totals.failures += 1
            status = err.status if isinstance(err, GitFailedError) else None
            said = err.retry_after if isinstance(err, GitFailedError) else None
            retry = retry_seconds(said, self._wall_clock())
            state.message = f"{state.source.remote}: {str(err).strip() or 'no reason given'}"
            log.warning(
                "course cache: %s (%d in a row%s)",
                " ".join(state.message.split())[:500],
                state.failures,
                "" if status is None else f", HTTP {status}",
            )
            state.due = self._clock() + self._pace.next(state.failures, retry, self._chance())
            if status in (429, 503):
                self.totals.throttled += 1
                await asyncio.to_thread(self._throttled, state)
            return
        state.due = self._clock() + self._pace.next(0, None, self._chance())

    def _ask(self, state: CourseState) -> None:
        mirror = self._mirror(state.source)
        self.totals.requests += 1
        now = self._wall_clock()
        verify = now - state.verified_at > _VERIFY_SECONDS
        fetched = mirror.fetch(now, self.fresh_seconds, verify=verify)
        if verify:
            state.verified_at = now
        self.totals.fetches += 1
        self.totals.bytes += fetched.bytes
        if fetched.changed:
            log.info("course cache: %s: %d bytes new", state.source.remote, fetched.bytes)
        state.fetched_at = now
        state.message = "Up to date."

    def _throttled(self, state: CourseState) -> None:
        until = self._wall_clock() + max(0.0, state.due - self._clock())
        try:
            self._mirror(state.source).throttled(until)
        except (OSError, CacheFolderError) as err:
            log.warning("course cache: %s: %s", state.source.remote, err)

    def _mirror(self, source: Source) -> Mirror:
        return Mirror(
            source=source, folder=self._folder.of(source), env=self._env, running=self._running
        )

    def _told(self, problem: str) -> None:
        if problem != self._problem:
            log.error("course cache: %s", problem)
        self._problem = problem
