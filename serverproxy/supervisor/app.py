"""One application under supervision.

Each start is one task that leads it from STARTING to STOPPED or FAILED; everybody else only asks
(`stop`, `touch`) or waits (`wait_ready`, `wait_change`). So there is one process at a time.
"""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import ParamSpec, TypeVar, cast

from serverproxy.errors import AppError
from serverproxy.supervisor.backoff import decide_start, recent_starts
from serverproxy.supervisor.child import Child, explain_spawn
from serverproxy.supervisor.ending import ROUND_S, Ender, Stage
from serverproxy.supervisor.errors import AppFailed, AppTimeout
from serverproxy.supervisor.exits import ExitVerdict, judge_exit
from serverproxy.supervisor.hints import explain_exit, explain_timeout
from serverproxy.supervisor.idle import judge_idle
from serverproxy.supervisor.listeners import Owner
from serverproxy.supervisor.memory import read_memory
from serverproxy.supervisor.output_log import OutputLog
from serverproxy.supervisor.ownership import Ownership, check, explain_taken, serving_pid
from serverproxy.supervisor.probe import Prober
from serverproxy.supervisor.registry import RunRecord, write_record
from serverproxy.supervisor.run import Run
from serverproxy.supervisor.services import Services
from serverproxy.supervisor.spec import (
    AppPolicy,
    ChooseEndpoint,
    Endpoint,
    EndpointChoice,
    LaunchSpec,
    MakeLaunch,
)
from serverproxy.supervisor.state import AppState, AppStatus, Failure, Phase, may_follow

log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

TAIL_LINES = 40
_TICK_S = 1.0
_BACKGROUND_TICK_S = 0.5
# A listener of our own user may belong to a process that is a moment too young to be known.
_STRANGER_S = 1.0


class _Stop(Exception):  # noqa: N818 - flow inside this module, never an error
    """Somebody asked for the end."""


class _Ended(Exception):  # noqa: N818 - flow inside this module, never an error
    """It ended by itself and meant to."""


class _Fail(Exception):  # noqa: N818 - flow inside this module, never an error
    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure


class ManagedApp:
    """An application; made by `Supervisor.add`. All of it belongs to one event loop."""

    def __init__(
        self,
        name: str,
        title: str,
        policy: AppPolicy,
        make_launch: MakeLaunch,
        endpoint: EndpointChoice | ChooseEndpoint,
        services: Services,
    ) -> None:
        self.name = name
        self.title = title
        self.policy = policy
        self._make_launch = make_launch
        self._choice = endpoint
        self._services = services
        self._status = AppStatus(
            name=name, state=AppState.STOPPED, version=0, since=services.wall()
        )
        self._task: asyncio.Task[None] | None = None
        self._run: Run | None = None
        self._log: OutputLog | None = None
        self._starts: list[float] = []
        self._failed_at: float | None = None
        self._active = services.clock()
        self._measured = float("-inf")
        self._wake = asyncio.Event()
        self._changed = asyncio.Event()
        self._stop_why: str | None = None
        self._grace_s: float | None = None
        self._again = False
        self._closed = False

    @property
    def status(self) -> AppStatus:
        """The application at this moment."""
        return replace(
            self._status,
            usual_ready_s=self._services.start_times.usual(self.name),
            starts_in_window=len(self._recent()),
        )

    # -- requests ---------------------------------------------------------------------------------

    async def ensure_started(self) -> AppStatus:
        """Start it unless it runs or is about to; returns at once.

        While it stops, it is started again afterwards. A failed one, also while it is cleared away,
        stays failed until it has rested (2, 4, 8 ... s) or somebody calls `retry`.
        """
        return self._start_if(explicit=False)

    async def retry(self) -> AppStatus:
        """Start it although it failed a moment ago, within the limit of starts; returns at once."""
        return self._start_if(explicit=True)

    async def stop(self, why: str = "stopped", grace_s: float | None = None) -> AppStatus:
        """End it and wait until nothing of it is left.

        grace_s: at most that long from SIGTERM to SIGKILL, instead of the policy's.
        """
        self._again = False
        task = self._task
        if task is None or task.done():
            return self.status
        if self._stop_why is None:
            self._stop_why = why
        if grace_s is not None:
            self._grace_s = min(grace_s, self.policy.stop_grace_s)
        self._wake.set()
        await asyncio.wait({task})
        return self.status

    async def cancel(self) -> AppStatus:
        """Give up a start; anything else goes on."""
        if self._status.state is AppState.STARTING:
            await self.stop("cancelled")
        return self.status

    async def dismiss(self) -> AppStatus:
        """Forget a failure: it is stopped then, and the next request starts it.

        Starts still count against the limit. Anything but a failed application is left alone.
        """
        if self._status.state is AppState.FAILED:
            self._failed_at = None
            self._set(state=AppState.STOPPED, phase=Phase.NONE, failure=None, why="dismissed")
        return self.status

    async def restart(self) -> AppStatus:
        """Stop it, wait for that, and start it again."""
        await self.stop("restart")
        return self._start_if(explicit=True)

    async def close(self, grace_s: float | None = None) -> None:
        """Stop it for good."""
        self._closed = True
        await self.stop("server stopping", grace_s)

    def touch(self, at: float | None = None) -> None:
        """Somebody uses it; `at` in epoch seconds, now when None. Never goes back in time."""
        wall = self._services.wall()
        at = wall if at is None else min(at, wall)
        active = self._services.clock() - (wall - at)
        if active < self._active:
            return
        self._active = active
        self._status = replace(self._status, last_activity=at)
        if self._status.state is AppState.IDLE:
            self._wake.set()

    # -- waiting ----------------------------------------------------------------------------------

    async def wait_ready(self, timeout_s: float) -> Endpoint:
        """Where to reach it, once it answers. Raises AppFailed or AppTimeout; starts nothing."""
        try:
            async with asyncio.timeout(timeout_s):
                while True:
                    status = self._status
                    if status.running and status.endpoint is not None and self._stop_why is None:
                        return status.endpoint
                    coming = status.state is AppState.STARTING or self._again
                    if not coming and not status.running:
                        raise AppFailed(self.status)
                    await self._changed.wait()
        except TimeoutError:
            raise AppTimeout(self.status, timeout_s) from None

    async def wait_change(self, version: int, timeout_s: float) -> AppStatus:
        """The status as soon as its version is not `version`, or after `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self._status.version == version:
                    await self._changed.wait()
        except TimeoutError:
            pass
        return self.status

    async def read_log(self, lines: int = 200) -> tuple[str, ...]:
        """Last lines of the present or the last run, at most 64 KiB; empty before the first."""
        if self._log is None or self._closed:
            return ()
        return await self._services.work(self._log.tail, lines)

    async def owns_endpoint(self) -> bool:
        """Whether its endpoint is served by it and nobody else; for a proxy that connects anew."""
        status, run = self._status, self._run
        if not status.running or status.endpoint is None or run is None or run.tracker is None:
            return False
        found = await self._services.work(
            check, status.endpoint, run.tracker, uid=self._services.uid
        )
        return found.owner in {Owner.OURS, Owner.UNKNOWN}

    async def measure_memory(self, max_age_s: float = 5.0) -> int | None:
        """Bytes of its processes; measured again when older than `max_age_s`."""
        run = self._run
        if run is None or run.tracker is None or self._closed:
            return None
        now = self._services.clock()
        if now - self._measured >= max_age_s:
            self._measured = now
            tracker = run.tracker

            def measure() -> int | None:
                return read_memory(row.pid for row in tracker.members())

            size = await self._services.work(measure)
            if self._run is run:
                self._status = replace(self._status, memory_bytes=size)
        return self._status.memory_bytes

    # -- deciding on a start ----------------------------------------------------------------------

    def _recent(self) -> tuple[float, ...]:
        return recent_starts(self._starts, self._services.clock(), self.policy.window_s)

    def _start_if(self, *, explicit: bool) -> AppStatus:
        busy = self._task is not None and not self._task.done()
        if self._closed:
            return replace(self.status, failure=_closing(self.title))
        if busy:
            stopping = self._status.state is AppState.STOPPING
            if stopping and self._status.failure is not None and not explicit:
                return self.status  # what is left of a failed run ends: it has to rest first
            # Cleared by a later stop(); otherwise looked at when the present run is over.
            self._again = self._stop_why is not None or stopping
            return self.status
        policy = self.policy
        decision = decide_start(
            self._starts,
            self._services.clock(),
            max_starts=policy.max_starts,
            window_s=policy.window_s,
            failed_at=self._failed_at,
            explicit=explicit,
        )
        if decision.allowed:
            self._begin()
        elif decision.limited:
            failure = self._limited(self._status.failure, decision.wait_s)
            self._set(state=AppState.FAILED, phase=Phase.NONE, failure=failure)
        return self.status

    def _begin(self) -> None:
        now = self._services.clock()
        self._starts = [*self._recent(), now]
        self._failed_at = None
        self._stop_why = None
        self._grace_s = None
        self._again = False
        self._run = run = Run.new(now)
        self._set(
            state=AppState.STARTING,
            phase=Phase.CHECKING,
            failure=None,
            why=None,
            started_at=self._services.wall(),
            ready_at=None,
            last_activity=None,
            gate=None,
        )
        self._task = asyncio.create_task(self._live(run), name=f"app {self.name}")

    def _limited(self, failure: Failure | None, wait_s: float) -> Failure:
        """The failure of an application that has been started too often."""
        policy = self.policy
        retry_at = self._services.wall() + wait_s
        if failure is not None and failure.code == "crash_loop":
            # Rounding must not make a new version of every refused try.
            moved = failure.retry_at is None or abs(failure.retry_at - retry_at) > 1
            return replace(failure, retry_at=retry_at) if moved else failure
        told = f" {failure.message}" if failure else ""
        return Failure(
            code="crash_loop",
            message=f"{self.title} ended {policy.max_starts} times within "
            f"{policy.window_s:g} s.{told}",
            fix=f"{failure.fix + ' ' if failure else ''}"
            f"Another try is possible in {max(1, round(wait_s))} s.",
            exit_code=failure.exit_code if failure else None,
            signal=failure.signal if failure else None,
            log_tail=failure.log_tail if failure else (),
            cause=failure.code if failure else None,
            retry_at=retry_at,
        )

    # -- one run ----------------------------------------------------------------------------------

    async def _live(self, run: Run) -> None:
        failure: Failure | None = None
        asked = False
        why = "ended"
        try:
            try:
                await self._start(run)
                await self._watch(run)
            except _Stop:
                asked, why = True, self._stop_why or "stopped"
            except _Ended:
                pass
            except _Fail as fail:
                failure, why = fail.failure, "failed"
            except Exception as error:
                log.exception("Supervising %s failed", self.name)
                failure, why = _unexpected(self.title, error), "failed"
            await self._finish(run, failure, why, asked=asked)
        finally:
            # Cancelled, as by the end of the loop: the guardian or the exit handler does the rest.
            if run.child is not None:
                run.child.close()
        if self._again:
            self._again = False
            self._task = None
            self._start_if(explicit=True)

    async def _start(self, run: Run) -> None:
        services, deadline = self._services, run.began + self.policy.ready_timeout_s
        run.instance = await self._unless_stopped(services.prepare(self._enter), deadline)
        self._enter(Phase.CHECKING)
        choice = await self._unless_stopped(self._choose(), deadline)
        endpoint = await services.work(run.make_endpoint, self.name, choice, services.ports)
        spec = await self._unless_stopped(self._make(endpoint), deadline)
        folder = await services.work(run.instance.app_folder, self.name)
        self._log = output = OutputLog(folder, self.policy.log_bytes)
        self._raise_if_stopped()
        self._enter(Phase.LAUNCHING)
        save = self.policy.save
        record = RunRecord(
            name=self.name,
            mark=run.mark,
            uid=services.uid,
            boot_id=services.boot_id,
            grace_s=self.policy.stop_grace_s,
            save_program=save.program if save else "",
            save_signal=save.signal if save else 0,
        )
        try:
            process, gate = await services.work(run.launch, spec, record, output)
        except (OSError, ValueError) as error:
            raise _Fail(explain_spawn(self.title, spec, error)) from error
        child = Child(process, self._wake.set)
        record = replace(record, pid=child.pid, starttime=child.starttime)
        run.adopt(child, record)
        await services.work(write_record, run.instance.folder, record)
        self._set(phase=Phase.WAITING, pid=child.pid, gate=gate)
        if gate is not None and not gate.guarded:
            log.warning("app=%s its port is open to other users: %s", self.name, gate.reason)
        log.info("app=%s pid=%d launched", self.name, child.pid)
        await self._await_answer(run, spec, deadline)
        seconds = services.clock() - run.began
        self._active = services.clock()
        self._set(
            state=AppState.READY,
            phase=Phase.NONE,
            ready_at=services.wall(),
            last_activity=services.wall(),
            endpoint=spec.endpoint,
        )
        log.info("app=%s ready after %.2f s", self.name, seconds)
        services.start_times.add(self.name, seconds)

    async def _choose(self) -> EndpointChoice:
        if not callable(self._choice):
            return self._choice
        return await _call(self._choice)

    async def _make(self, endpoint: Endpoint) -> LaunchSpec:
        return await _call(self._make_launch, endpoint)

    async def _unless_stopped(self, work: Awaitable[T], deadline: float) -> T:
        """The result of `work`; dropped when somebody stops the app or the time is over."""
        task = asyncio.ensure_future(work)
        task.add_done_callback(lambda _: self._wake.set())
        try:
            while not task.done():
                self._raise_if_stopped()
                left = deadline - self._services.clock()
                if left <= 0:
                    raise _Fail(await self._timed_out())
                await self._pause(left)
            return task.result()
        except AppError as error:
            failure = Failure(code=error.code, message=error.message, fix=error.fix)
            raise _Fail(failure) from error
        except OSError as error:
            log.warning("Preparing the start of %s failed", self.name, exc_info=True)
            raise _Fail(_unexpected(self.title, error)) from error
        finally:
            if not task.done():
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    async def _await_answer(self, run: Run, spec: LaunchSpec, deadline: float) -> None:
        services = self._services
        prober = Prober(spec, self._wake.set, clock=services.clock)
        stranger_since: float | None = None
        exposed = False
        try:
            while not prober.answered:
                self._raise_if_stopped()
                await self._look_at_processes(run, was_ready=False)
                now = services.clock()
                if now >= deadline:
                    raise _Fail(await self._timed_out())
                ownership = await self._ownership(run, spec.endpoint)
                if ownership.owner is Owner.STRANGER:
                    stranger_since = now if stranger_since is None else stranger_since
                else:
                    stranger_since = None
                if ownership.owner is Owner.ANOTHER_USER or (
                    stranger_since is not None and now - stranger_since >= _STRANGER_S
                ):
                    tail = await self.read_log(TAIL_LINES)
                    raise _Fail(explain_taken(self.title, spec.endpoint, ownership.owner, tail))
                if ownership.owner in {Owner.OURS, Owner.UNKNOWN}:
                    exposed = ownership.exposed
                    prober.ask()
                await self._trim_log()
                await self._pause(self.policy.poll_interval_s)
        finally:
            await prober.close()
        self._raise_if_stopped()
        if exposed:
            log.warning("app=%s listens on all interfaces, not only on loopback", self.name)

    async def _watch(self, run: Run) -> None:
        services = self._services
        await services.work(services.start_times.save)
        while True:
            self._raise_if_stopped()
            await self._look_at_processes(run, was_ready=True)
            await self._trim_log()
            await services.tend()
            verdict = judge_idle(services.clock() - self._active, self.policy)
            if verdict.stop:
                self._stop_why = "idle"
                raise _Stop
            self._set(state=verdict.state)
            quick = run.background or run.child is None or not run.child.tells
            ticks = [_BACKGROUND_TICK_S if quick else _TICK_S]
            if verdict.look_again_s is not None:
                ticks.append(verdict.look_again_s)
            await self._pause(min(ticks))

    async def _look_at_processes(self, run: Run, *, was_ready: bool) -> None:
        """Raise when it has ended; notice when it has gone to the background."""
        child, tracker, spec = run.child, run.tracker, run.spec
        if child is None or tracker is None or spec is None:
            return
        returncode = child.returncode
        if returncode is None and not run.background:
            return
        services = self._services
        alive = bool(await services.work(tracker.members))
        serving: int | None = None
        if alive and was_ready:
            serving = await services.work(serving_pid, spec.endpoint, tracker, uid=services.uid)
        verdict = judge_exit(
            was_ready=was_ready,
            returncode=None if run.background else returncode,
            others_alive=alive,
            listening=serving is not None,
        )
        if verdict is ExitVerdict.BACKGROUND:
            if not run.background:
                log.info("app=%s went to the background", self.name)
            run.background = True
            if serving is not None and serving != self._status.pid:
                self._set(pid=serving)
            return
        kills = await services.work(run.oom_kills_since)
        if verdict is ExitVerdict.STOPPED and not (run.background and kills):
            raise _Ended
        tail = await self.read_log(TAIL_LINES)
        if not was_ready:
            ownership = await self._ownership(run, spec.endpoint)
            if ownership.owner in {Owner.ANOTHER_USER, Owner.STRANGER}:
                taken = explain_taken(self.title, spec.endpoint, ownership.owner, tail)
                raise _Fail(replace(taken, exit_code=returncode))
        raise _Fail(
            explain_exit(
                self.title,
                returncode=None if run.background and was_ready else returncode,
                was_ready=was_ready,
                log_tail=tail,
                oom_kills=kills,
            )
        )

    async def _ownership(self, run: Run, endpoint: Endpoint) -> Ownership:
        if run.tracker is None:
            return Ownership(owner=Owner.NOBODY)
        return await self._services.work(check, endpoint, run.tracker, uid=self._services.uid)

    async def _timed_out(self) -> Failure:
        tail = await self.read_log(TAIL_LINES)
        return explain_timeout(self.title, waited_s=self.policy.ready_timeout_s, log_tail=tail)

    async def _trim_log(self) -> None:
        if self._log is not None and self._log.needs_trim():
            await self._services.work(self._log.trim)

    # -- the end of a run -------------------------------------------------------------------------

    async def _finish(self, run: Run, failure: Failure | None, why: str, *, asked: bool) -> None:
        services = self._services
        if failure is not None:
            log.warning("app=%s failed code=%s %s", self.name, failure.code, failure.message)
        self._set(
            state=AppState.STOPPING,
            phase=Phase.SAVING,
            failure=failure,
            why=why,
            endpoint=None,
        )
        if await self._end_processes(run):
            await services.work(run.clear)
        else:
            failure = failure or _stuck(self.title)
        if asked:
            self._starts = [at for at in self._starts if at != run.began]
        elif failure is not None:
            self._failed_at = services.clock()
            recent = self._recent()
            if len(recent) >= self.policy.max_starts:
                wait_s = recent[-self.policy.max_starts] + self.policy.window_s - services.clock()
                failure = self._limited(failure, wait_s)
        self._run = None
        log.info("app=%s %s why=%s", self.name, "failed" if failure else "stopped", why)
        self._set(
            state=AppState.STOPPED if failure is None else AppState.FAILED,
            phase=Phase.NONE,
            failure=failure,
            pid=None,
            memory_bytes=None,
        )

    async def _end_processes(self, run: Run) -> bool:
        """End what is left; False when something does not go away."""
        if run.tracker is None:
            return True
        services = self._services
        begun = services.clock()
        grace_s = self._grace_s
        ender = Ender(run.tracker, begun=begun, grace_s=grace_s)
        while True:
            stage = await services.work(ender.round, services.clock())
            if stage is Stage.GONE or stage is Stage.STUCK:
                if run.child is not None and stage is Stage.GONE:
                    _ = run.child.returncode  # collect it: nobody else does
                return stage is Stage.GONE
            if stage is Stage.KILLING:
                self._enter(Phase.KILLING)
            if self._grace_s is not None and self._grace_s != grace_s:
                grace_s = self._grace_s
                ender.shorten(grace_s)
            await self._pause(ROUND_S)

    # -- small things -----------------------------------------------------------------------------

    def _raise_if_stopped(self) -> None:
        if self._stop_why is not None:
            raise _Stop

    async def _pause(self, seconds: float) -> None:
        """Until something happens, at most `seconds`."""
        try:
            async with asyncio.timeout(seconds):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _enter(self, phase: Phase) -> None:
        self._set(phase=phase)

    def _set(self, **changes: object) -> None:
        """Change the status and tell whoever waits, unless nothing is different."""
        before = self._status
        state = changes.get("state", before.state)
        if not isinstance(state, AppState) or not may_follow(before.state, state):
            raise RuntimeError(f"{self.name}: {state} cannot follow {before.state}.")
        if all(getattr(before, name) == value for name, value in changes.items()):
            return
        since = before.since if state == before.state else self._services.wall()
        fields = {**vars(before), **changes, "version": before.version + 1, "since": since}
        self._status = AppStatus(**fields)
        self._changed.set()
        self._changed = asyncio.Event()
        self._services.publish(self.status)


async def _call(make: Callable[P, T | Awaitable[T]], *args: P.args, **kwargs: P.kwargs) -> T:
    """What `make` gives. One that blocks is called in a thread; it may also be a coroutine."""
    waits: bool = inspect.iscoroutinefunction(make)
    if waits:
        made = make(*args, **kwargs)
    else:
        made = await asyncio.to_thread(make, *args, **kwargs)
    return cast("T", await made if inspect.isawaitable(made) else made)


def _closing(title: str) -> Failure:
    return Failure(
        code="server_stopping",
        message=f"{title} is not started, because the server is stopping.",
        fix="Open it again when the server is back.",
    )


def _stuck(title: str) -> Failure:
    return Failure(
        code="still_running",
        message=f"A process of {title} does not end although it was killed.",
        fix="It waits for a device or a network drive. Tell the administrator.",
    )


def _unexpected(title: str, error: BaseException) -> Failure:
    return Failure(
        code="launch_failed",
        message=f"{title} cannot be started: {type(error).__name__}: {error}",
        fix="The server's log tells more. Tell the administrator.",
    )
