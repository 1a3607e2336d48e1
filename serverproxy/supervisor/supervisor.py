"""All applications of one server."""

from __future__ import annotations

import asyncio
import atexit
import logging
import os
import shutil
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from types import MappingProxyType

from serverproxy.supervisor.app import ManagedApp
from serverproxy.supervisor.ending import end_all
from serverproxy.supervisor.guard import Guard
from serverproxy.supervisor.registry import RunRecord, read_boot_id, read_records, remove_record
from serverproxy.supervisor.runtime import Instance, create_instance, default_base, make_private
from serverproxy.supervisor.services import Services
from serverproxy.supervisor.spec import (
    AppPolicy,
    ChooseEndpoint,
    EndpointChoice,
    MakeLaunch,
)
from serverproxy.supervisor.start_times import StartTimes, default_file
from serverproxy.supervisor.state import AppStatus, Phase
from serverproxy.supervisor.sweep import sweep_folder

log = logging.getLogger(__name__)

Subscriber = Callable[[AppStatus], None]
_WORKERS = 4


class Supervisor:
    """Starts and stops applications, and leaves none behind.

    Making one touches nothing: folder, guardian and exit handler come with the first start or
    `sweep`. Everything else is called on one event loop. Without `close` (the loop is gone, or the
    process is killed) an exit handler or the guardian gives applications their time to save.
    """

    def __init__(
        self,
        *,
        base: Path | None = None,
        start_times_file: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        """base: folder for all servers of this user; see `runtime.default_base`.

        start_times_file: where usual start times are kept; see `start_times.default_file`.
        env: environment the two defaults are taken from.
        """
        env = os.environ if env is None else env
        self._env = env
        self._base = base
        self._uid = os.getuid()
        self._apps: dict[str, ManagedApp] = {}
        self._subscribers: list[Subscriber] = []
        self._instance: Instance | None = None
        self._guard: Guard | None = None
        self._preparing: asyncio.Task[Instance] | None = None
        self._sweeping: asyncio.Task[list[RunRecord]] | None = None
        self._closing = threading.Event()
        self._closed = False
        self._owner = os.getpid()
        self._workers = ThreadPoolExecutor(_WORKERS, thread_name_prefix="samepage-apps")
        self._services = Services(
            clock=time.monotonic,
            wall=time.time,
            uid=self._uid,
            boot_id=read_boot_id(),
            prepare=self._prepare,
            tend=self._tend,
            publish=self._publish,
            start_times=StartTimes(start_times_file or default_file(env)),
            workers=self._workers,
        )

    @property
    def apps(self) -> Mapping[str, ManagedApp]:
        """The applications by name, in the order they were added."""
        return MappingProxyType(self._apps)

    @property
    def guardian_pid(self) -> int | None:
        """Process number of the guardian; None before the first start."""
        return None if self._guard is None else self._guard.pid

    def add(
        self,
        name: str,
        policy: AppPolicy,
        make_launch: MakeLaunch,
        *,
        title: str | None = None,
        endpoint: EndpointChoice | ChooseEndpoint = "tcp",
    ) -> ManagedApp:
        """Add an application; ValueError when there is one of that name.

        make_launch: called for every start with its endpoint, in a thread unless it is a coroutine
        function; an `AppError` it raises is shown as it is. endpoint: what to make for each start,
        or a function that tells.
        """
        if name in self._apps:
            raise ValueError(f"There is an application {name!r} already.")
        app = ManagedApp(name, title or name, policy, make_launch, endpoint, self._services)
        self._apps[name] = app
        return app

    def subscribe(self, subscriber: Subscriber) -> Callable[[], None]:
        """Call `subscriber` on each change, on the loop; the returned function ends that."""
        self._subscribers.append(subscriber)

        def unsubscribe() -> None:
            with suppress(ValueError):
                self._subscribers.remove(subscriber)

        return unsubscribe

    async def sweep(self) -> list[RunRecord]:
        """End what earlier servers left; what was still recorded of them. Once for each server."""
        if self._sweeping is None:
            self._sweeping = asyncio.create_task(self._sweep())
        return await asyncio.shield(self._sweeping)

    async def measure_memory(self, max_age_s: float = 5.0) -> dict[str, int | None]:
        """Bytes of each running application."""
        running = [app for app in self._apps.values() if app.status.pid is not None]
        sizes = await asyncio.gather(*(app.measure_memory(max_age_s) for app in running))
        return {app.name: size for app, size in zip(running, sizes, strict=True)}

    async def stop_all(self, grace_s: float | None = None, why: str = "stopped") -> None:
        """Stop every application, side by side; returns when nothing of them is left."""
        await asyncio.gather(*(app.stop(why, grace_s) for app in self._apps.values()))

    async def close(self, grace_s: float | None = None) -> None:
        """Stop everything for good and give back folder, guardian and threads. Safe twice."""
        if self._closed:
            return
        self._closed = True
        self._closing.set()
        await asyncio.gather(*(app.close(grace_s) for app in self._apps.values()))
        for task in (self._preparing, self._sweeping):
            if task is not None:
                await asyncio.wait({task})
        await asyncio.to_thread(self._release)
        self._workers.shutdown(wait=False)

    # -- for the applications ---------------------------------------------------------------------

    async def _prepare(self, enter: Callable[[Phase], None]) -> Instance:
        if self._preparing is None or (self._preparing.done() and self._failed(self._preparing)):
            self._preparing = asyncio.create_task(self._make_instance())
        instance = await asyncio.shield(self._preparing)
        if self._sweeping is None or not self._sweeping.done():
            enter(Phase.CLEARING)
        try:
            await self.sweep()
        except OSError:
            log.warning("Cannot look for what earlier servers left", exc_info=True)
        await self._tend()
        return instance

    @staticmethod
    def _failed(task: asyncio.Task[Instance]) -> bool:
        return task.cancelled() or task.exception() is not None

    async def _make_instance(self) -> Instance:
        base = await asyncio.to_thread(self._find_base)
        instance = await asyncio.to_thread(create_instance, base)
        self._instance = instance
        self._guard = Guard(instance)
        atexit.register(self._at_exit)
        await asyncio.to_thread(self._services.start_times.load)
        return instance

    def _find_base(self) -> Path:
        if self._base is None:
            self._base = default_base(self._env, self._uid)
        else:
            self._base.parent.mkdir(parents=True, exist_ok=True)
            make_private(self._base, self._uid)
        return self._base

    async def _sweep(self) -> list[RunRecord]:
        base = await asyncio.to_thread(self._find_base)
        own = None if self._instance is None else self._instance.folder
        return await asyncio.to_thread(sweep_folder, base, own, self._closing)

    async def _tend(self) -> None:
        if self._guard is not None and not self._guard.alive and not self._closed:
            await self._services.work(self._guard.ensure)

    def _publish(self, status: AppStatus) -> None:
        for subscriber in tuple(self._subscribers):
            try:
                subscriber(status)
            except Exception:
                log.exception("A subscriber failed on %s", status.name)

    # -- the end ----------------------------------------------------------------------------------

    def _at_exit(self) -> None:
        """The interpreter ends without `close`: do its work here, for in a container nothing
        outlives the server, the guardian neither.
        """
        if os.getpid() != self._owner or self._instance is None:
            return
        folder = self._instance.folder
        self._closing.set()
        end_all(
            read_records(folder),
            strict=False,
            on_gone=lambda record: remove_record(folder, record.mark),
        )
        self._release()

    def _release(self) -> None:
        """Let the guardian go and the folder with it; a record that is left stays for a sweep."""
        instance, self._instance = self._instance, None
        if instance is None:
            return
        atexit.unregister(self._at_exit)
        if self._guard is not None:
            self._guard.close()
        if not read_records(instance.folder):
            shutil.rmtree(instance.folder, ignore_errors=True)
        os.close(instance.lock)
