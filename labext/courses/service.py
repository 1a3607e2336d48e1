"""Keeps the courses of one server up to date, in the background."""

from __future__ import annotations

import asyncio
import logging
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from labext.courses.address import parse
from labext.courses.cache import CacheSettings
from labext.courses.desk.desk import Desk
from labext.courses.desk.place import Place
from labext.courses.editing import Editing
from labext.courses.errors import CourseError
from labext.courses.launch import Launch, WorkerError
from labext.courses.light import pull_lightly
from labext.courses.manifest import ManifestError, Reader, Reading, Source, preload_modules
from labext.courses.model import Course, CourseSpec, History, Progress, State
from labext.courses.protocol import Job, Result
from labext.courses.roster import Roster, wait_for
from labext.courses.store import Store
from labext.courses.target import resolve

# More at once only share the same network, and the student waits longest for all of them.
_AT_ONCE = 2
# While there are no courses no pull looks at the manifest.
_LOOK_SECONDS = 60.0
# A moment far away is waited for in steps: clocks are set, machines sleep.
_LONGEST_SLEEP_SECONDS = 3600.0


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

    state_dir: folder for what outlives a restart. live: files that several people edit, below
    `root`. editing: files with unsaved changes. desk: for what students ask of single files.
    cache: of the node; None: as the environment says.
    All methods belong to one event loop.
    """

    def __init__(
        self,
        *,
        source: Source,
        root: Path,
        state_dir: Path,
        timing: Timing,
        log: logging.Logger | logging.LoggerAdapter[logging.Logger],
        launch: Launch = pull_lightly,
        uniform: Callable[[float, float], float] = random.uniform,
        live: Callable[[], frozenset[str]] = frozenset,
        cache: CacheSettings | None = None,
    ) -> None:
        self._roster = Roster(Reader(source, state_dir))
        self._root = root
        self._state_dir = state_dir
        self._timing = timing
        self._log = log
        self._launch = launch
        self._uniform = uniform
        self._live = live
        self._cache = cache
        self.editing = Editing()
        self.desk = Desk(self._place, self._pulls_now)
        self._turns = asyncio.Semaphore(_AT_ONCE)
        self._specs: dict[str, CourseSpec] = {}
        self._courses: dict[str, Course] = {}
        self._pulls: dict[str, asyncio.Task[None]] = {}
        self._timers: dict[str, asyncio.Task[None]] = {}
        self._later: dict[str, asyncio.Task[None]] = {}
        self._looking: asyncio.Task[None] | None = None
        self._problem: ManifestError | None = None
        self._configured = False
        self._stopped = False

    async def start(self) -> None:
        """Read the manifest and what is remembered, then begin to pull. Returns soon."""
        try:
            await self._take(await self._roster.read())
        except ManifestError as err:
            self._problem = err
            self._log.error("Samepage courses: %s %s", err.message, err.fix)
        if not self._specs and (self._configured or self._problem) and not self._stopped:
            self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """End every pull with its processes. Safe twice."""
        self._stopped = True
        tasks = [*self._timers.values(), *self._later.values(), *self._pulls.values()]
        if self._looking is not None:
            tasks.append(self._looking)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.desk.close()

    def preload(self) -> tuple[str, ...]:
        """Modules that kernels for these courses will import, each once."""
        return preload_modules(self._specs.values())

    def specs(self) -> tuple[CourseSpec, ...]:
        """The courses as the manifest has them now."""
        return tuple(self._specs.values())

    async def _look(self) -> None:
        """Wait for a manifest with courses in it."""
        while not self._specs:
            await asyncio.sleep(_LOOK_SECONDS)
            await self._renew()

    async def _renew(self) -> None:
        """Follow a manifest that was changed. A mistake in it leaves everything as it was."""
        try:
            reading = await self._roster.renew()
            if reading is not None:
                await self._take(reading)
        except ManifestError as err:
            self._problem = err

    async def _take(self, reading: Reading) -> None:
        """Have the courses of `reading`, and pull those that are new."""
        specs = reading.courses
        if reading.problem is not None and self._problem is not reading.problem:
            self._log.error("Samepage courses: %s", reading.problem.message)
        self._problem = reading.problem
        if self._stopped or specs is None:
            return
        self._configured = True
        changed = [spec for spec in specs if self._specs.get(spec.id) != spec]
        if not changed and len(specs) == len(self._specs):
            return
        views = await asyncio.to_thread(lambda: [self._first_view(spec) for spec in changed])
        if self._is_over():
            return
        fresh = {spec.id for spec in changed} - self._specs.keys()
        self._specs = {spec.id: spec for spec in specs}
        self._order({view.id: view for view in views})
        for spec in changed:
            self._set_timer(spec.id)
        for course_id in self._timers.keys() - self._specs.keys():
            self._timers.pop(course_id).cancel()
        for spec in specs:
            wanted = self._timing.on_start if spec.on_start is None else spec.on_start
            if spec.id in fresh and wanted:
                self.pull(spec.id, by_hand=False)

    def _is_over(self) -> bool:
        return self._stopped

    def _order(self, views: dict[str, Course]) -> None:
        """Show the courses in the manifest's order; one that is gone as long as it is pulled."""
        old, self._courses = self._courses, {}
        for course_id in self._specs:
            view, known = views.get(course_id), old.get(course_id)
            if known is None or (view is not None and course_id not in self._pulls):
                assert view is not None
                self._courses[course_id] = view
            else:
                self._courses[course_id] = known
        for course_id in self._pulls:
            if course_id in old:
                self._courses.setdefault(course_id, old[course_id])

    def _set_timer(self, course_id: str) -> None:
        old = self._timers.pop(course_id, None)
        if old is not None:
            old.cancel()
        self._timers[course_id] = asyncio.create_task(self._repeat(course_id))

    def listing(self) -> Listing:
        """The courses as they are now."""
        if self._problem is not None and not self._configured:
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
        courses = tuple(self._courses.values())
        if self._problem is not None:
            return Listing(
                state="ok",
                message=f"The courses are those of before: {self._problem.message}",
                fix=self._problem.fix,
                courses=courses,
            )
        return Listing(state="ok", message=None, fix=None, courses=courses)

    def pull(self, course_id: str, *, by_hand: bool = True) -> Course | None:
        """Begin a pull unless one runs; the course as it is then, or None: there is none.

        by_hand: somebody waits for news, and not for what the node knew a minute ago.
        """
        spec = self._specs.get(course_id)
        if spec is None:
            return None
        if course_id not in self._pulls and not self._stopped:
            self._change(course_id, state="pulling", message="The pull begins.", fix=None)
            self._courses[course_id] = replace(
                self._courses[course_id], progress=Progress(phase="Starting", percent=None)
            )
            task = asyncio.create_task(self._pull(spec, by_hand=by_hand))
            self._pulls[course_id] = task
            task.add_done_callback(lambda _: self._ended(course_id))
        return self._courses[course_id]

    def knows(self, course_id: str) -> bool:
        """Whether there is such a course."""
        return course_id in self._specs

    def _place(self, course_id: str) -> Place | None:
        spec = self._specs.get(course_id)
        if spec is None:
            return None
        return Place(root=self._root, target=spec.target, state_dir=self._state_dir)

    def _pulls_now(self, course_id: str) -> bool:
        return course_id in self._pulls

    def _deferred(self, spec: CourseSpec) -> tuple[str, ...]:
        """Files of a course that nobody may write now, as somebody else holds them in memory."""
        folder = f"{spec.target.strip('/')}/"
        try:
            live = self._live()
        except Exception as err:  # noqa: BLE001 - of another extension; a pull goes on without it
            self._log.warning("Samepage courses: live documents are not known: %s", err)
            live = frozenset()
        found = {path.removeprefix(folder) for path in live if path.startswith(folder)}
        return tuple(sorted(found | self.editing.paths(spec.id, time.monotonic())))

    def _ended(self, course_id: str) -> None:
        self._pulls.pop(course_id, None)
        if course_id not in self._specs:
            self._courses.pop(course_id, None)

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
        timing = self._timing
        while course_id in self._specs:
            spec = self._specs[course_id]
            wait = wait_for(spec, timing.interval, timing.jitter, time.time(), self._uniform)
            if wait is None:
                return
            while wait > _LONGEST_SLEEP_SECONDS and not _repeats(spec, timing):
                await asyncio.sleep(_LONGEST_SLEEP_SECONDS)
                wait = wait_for(spec, 0.0, timing.jitter, time.time(), self._uniform) or 0.0
            await asyncio.sleep(wait)
            self.pull(course_id, by_hand=False)

    async def _pull_after(self, course_id: str, seconds: float) -> None:
        """The git server asked to wait: all that were told so must not come back together."""
        await asyncio.sleep(seconds + self._uniform(0.0, max(self._timing.jitter, seconds / 4)))
        self._later.pop(course_id, None)
        self.pull(course_id, by_hand=False)

    async def _pull(self, spec: CourseSpec, *, by_hand: bool) -> None:
        try:
            await self._renew()
            await self._pull_now(self._specs.get(spec.id, spec), by_hand=by_hand)
        except asyncio.CancelledError:
            self._change(
                spec.id, state="waiting", message="The pull was ended with the server.", fix=None
            )
            raise

    async def _pull_now(self, spec: CourseSpec, *, by_hand: bool) -> None:
        job = Job(
            url=spec.url,
            branch=spec.branch,
            depth=spec.depth,
            root=str(self._root),
            target=spec.target,
            state_dir=str(self._state_dir),
            timeout_seconds=spec.timeout or self._timing.timeout,
            connect_timeout_seconds=self._timing.connect_timeout,
            deferred=self._deferred(spec),
            by_hand=by_hand,
            cache=None if self._cache is None else str(self._cache.folder),
            cache_owner=None if self._cache is None else self._cache.owner,
            rules=spec.rules,
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
        self._finish(spec, result)

    def _finish(self, spec: CourseSpec, result: Result) -> None:
        self._change(spec.id, state=result.state, message=result.message, fix=result.fix)
        course = self._courses[spec.id]
        outside = result.code == "outside_root"
        course = replace(course, target=None if outside else spec.target)
        if result.state == "up_to_date":
            course = replace(course, waiting=result.waiting)
        if result.history is not None:
            course = _remembering(course, result.history)
        self._courses[spec.id] = course
        if result.wait_seconds is not None and spec.id not in self._later and not self._stopped:
            later = self._pull_after(spec.id, result.wait_seconds)
            self._later[spec.id] = asyncio.create_task(later)
        level = logging.INFO if result.state == "up_to_date" else logging.WARNING
        self._log.log(level, "Samepage courses: %s: %s", spec.id, result.message)

    def _change(self, course_id: str, *, state: State, message: str, fix: str | None) -> None:
        self._courses[course_id] = replace(
            self._courses[course_id], state=state, message=message, fix=fix, progress=None
        )


def _repeats(spec: CourseSpec, timing: Timing) -> bool:
    return (timing.interval if spec.interval is None else spec.interval) > 0


def _remembering(course: Course, history: History) -> Course:
    return replace(
        course,
        last_pull=history.last_pull,
        last_change=history.last_change,
        changes=history.changes,
        changes_truncated=history.changes_truncated,
    )
