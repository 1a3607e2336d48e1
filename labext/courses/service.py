"""Keeps the courses of one server up to date, in the background."""

from __future__ import annotations

import asyncio
import logging
import random
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labext.courses.address import parse
from labext.courses.errors import CourseError
from labext.courses.launch import Launch, WorkerError, run_worker
from labext.courses.manifest import ManifestError, Source
from labext.courses.model import Course, CourseSpec, History, Progress, State
from labext.courses.protocol import Job, Result
from labext.courses.store import Store
from labext.courses.target import resolve

# More at once only share the same network, and the student waits longest for all of them.
_AT_ONCE = 2


@dataclass(frozen=True, kw_only=True)
class Timing:
    """When to pull, in seconds. interval 0: only at start and on demand."""

    on_start: bool
    interval: float
    jitter: float
    timeout: float
    connect_timeout: float


@dataclass(frozen=True, kw_only=True)
class Listing:
    """What GET courses answers. state: `ok`, `unconfigured` or `failed`."""

    state: str
    message: str | None
    fix: str | None
    courses: tuple[Course, ...]


class CourseService:
    """The courses of a server whose files are shown from `root`.

    state_dir: folder for what outlives a restart. All methods belong to one event loop.
    """

    def __init__(
        self,
        *,
        source: Source,
        root: Path,
        state_dir: Path,
        timing: Timing,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        launch: Launch = run_worker,
        uniform: Callable[[float, float], float] = random.uniform,
    ) -> None:
        self._source = source
        self._root = root
        self._state_dir = state_dir
        self._timing = timing
        self._log = log
        self._launch = launch
        self._uniform = uniform
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._specs: dict[str, CourseSpec] = {}
        self._courses: dict[str, Course] = {}
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._timers: set[asyncio.Task[None]] = set()
        self._problem: ManifestError | None = None
        self._configured = False
        self._stopped = False

    async def start(self) -> None:
        """Read the manifest and what is remembered, then begin to pull. Returns soon."""
        try:
            specs, courses = await asyncio.to_thread(self._read)
        except ManifestError as err:
            self._problem = err
            self._log.error("Samepage courses: %s %s", err.message, err.fix)
            return
        if self._stopped or specs is None:
            return
        self._configured = True
        self._specs = {spec.id: spec for spec in specs}
        self._courses = {course.id: course for course in courses}
        for spec in specs:
            if self._timing.on_start:
                self.pull(spec.id)
            if self._timing.interval > 0:
                timer = asyncio.create_task(self._repeat(spec.id))
                self._timers.add(timer)
                timer.add_done_callback(self._timers.discard)

    async def stop(self) -> None:
        """End every pull with its processes. Safe twice."""
        self._stopped = True
        tasks = [*self._timers, *self._pulls.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def listing(self) -> Listing:
        """The courses as they are now."""
        if self._problem is not None:
            return Listing(
                state="failed",
                message=self._problem.message,
                fix=self._problem.fix,
                courses=(),
            )
        if not self._configured:
            return Listing(
                state="unconfigured",
                message="No courses are set up on this server.",
                fix="Set SAMEPAGE_COURSES to the path of a course manifest, "
                "or SAMEPAGE_COURSE_URL to the address of a git repository.",
                courses=(),
            )
        return Listing(state="ok", message=None, fix=None, courses=tuple(self._courses.values()))

    def pull(self, course_id: str) -> Course | None:
        """Begin a pull unless one runs; the course as it is then, or None: there is none."""
        spec = self._specs.get(course_id)
        if spec is None:
            return None
        if course_id not in self._pulls and not self._stopped:
            self._change(course_id, state="pulling", message="The pull begins.", fix=None)
            self._courses[course_id] = replace(
                self._courses[course_id], progress=Progress(phase="Starting", percent=None)
            )
            task = asyncio.create_task(self._pull(spec))
            self._pulls[course_id] = task
            task.add_done_callback(lambda _: self._pulls.pop(course_id, None))
        return self._courses[course_id]

    def _read(self) -> tuple[tuple[CourseSpec, ...] | None, list[Course]]:
        specs = self._source.read()
        return specs, [self._first_view(spec) for spec in specs or ()]

    def _first_view(self, spec: CourseSpec) -> Course:
        course = Course(
            id=spec.id,
            title=spec.title,
            url=parse(spec.url).shown,
            branch=spec.branch,
            target=spec.target,
            state="waiting",
            message="Not pulled since this server started.",
        )
        try:
            target = resolve(self._root, spec.target)
        except (CourseError, OSError) as err:
            fix = err.fix if isinstance(err, CourseError) else None
            return replace(course, target=None, state="failed", message=str(err), fix=fix)
        return _remembering(course, Store(folder=self._state_dir, target=target).load())

    async def _repeat(self, course_id: str) -> None:
        while True:
            delay = self._timing.interval + self._uniform(0.0, self._timing.jitter)
            await asyncio.sleep(delay)
            self.pull(course_id)

    async def _pull(self, spec: CourseSpec) -> None:
        job = Job(
            url=spec.url,
            branch=spec.branch,
            depth=spec.depth,
            root=str(self._root),
            target=spec.target,
            state_dir=str(self._state_dir),
            timeout_seconds=self._timing.timeout,
            connect_timeout_seconds=self._timing.connect_timeout,
        )

        def on_progress(progress: Progress) -> None:
            text = progress.phase
            if progress.percent is not None:
                text = f"{text}: {progress.percent} %"
            self._courses[spec.id] = replace(
                self._courses[spec.id], progress=progress, message=f"{text}."
            )

        try:
            async with self._turns:
                result = await self._launch(job, on_progress)
        except (WorkerError, OSError) as err:
            self._log.error(
                "Samepage courses: pulling %s: %s", spec.id, parse(spec.url).redact(str(err))
            )
            result = Result(
                state="failed",
                code="worker_failed",
                message="The pull ended unexpectedly; your files were not harmed.",
                fix="Press Pull to try again; if it stays, ask your operator for the server's log.",
            )
        except asyncio.CancelledError:
            self._change(
                spec.id, state="waiting", message="The pull was ended with the server.", fix=None
            )
            raise
        self._finish(spec, result)

    def _finish(self, spec: CourseSpec, result: Result) -> None:
        self._change(spec.id, state=result.state, message=result.message, fix=result.fix)
        course = self._courses[spec.id]
        outside = result.code == "outside_root"
        course = replace(course, target=None if outside else spec.target)
        if result.history is not None:
            course = _remembering(course, result.history)
        self._courses[spec.id] = course
        level = logging.INFO if result.state == "up_to_date" else logging.WARNING
        self._log.log(level, "Samepage courses: %s: %s", spec.id, result.message)

    def _change(self, course_id: str, *, state: State, message: str, fix: str | None) -> None:
        self._courses[course_id] = replace(
            self._courses[course_id], state=state, message=message, fix=fix, progress=None
        )


def _remembering(course: Course, history: History) -> Course:
    return replace(
        course,
        last_pull=history.last_pull,
        last_change=history.last_change,
        changes=history.changes,
        changes_truncated=history.changes_truncated,
    )
