"""The courses of a running server: states over time, restarts, hanging git servers."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from demo.git_server import GitServer
from labext.courses.launch import WorkerError, run_worker
from labext.courses.manifest import Source
from labext.courses.model import Course, Progress
from labext.courses.protocol import Job, Result
from labext.courses.service import CourseService, Timing
from tests.integration.courses_upstream import Teacher, silent_server
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures
from tests.integration.labext_server import LIMIT_SECONDS, Client, LagProbe

LOG = logging.getLogger("test-courses")


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.publish({"a.txt": "a\n"})
    return teacher


def service(base: Path, url: str, manifest: str = "", **changes: Any) -> CourseService:
    root = base / "home"
    root.mkdir(exist_ok=True)
    timing: dict[str, Any] = {
        "on_start": True,
        "interval": 0.0,
        "jitter": 0.0,
        "timeout": 60.0,
        "connect_timeout": 20.0,
    }
    launch = changes.pop("launch", run_worker)
    return CourseService(
        source=Source(manifest=manifest, url=url),
        root=root,
        state_dir=base / "state",
        timing=Timing(**{**timing, **changes}),
        log=LOG,
        launch=launch,
    )


async def rest(courses: CourseService, seconds: float = 30.0) -> tuple[Course, ...]:
    deadline = time.monotonic() + seconds
    while any(course.state == "pulling" for course in courses.listing().courses):
        assert time.monotonic() < deadline
        await asyncio.sleep(0.01)
    return courses.listing().courses


def run(courses: CourseService, scenario: Callable[[], Any]) -> Any:
    async def whole() -> Any:
        try:
            return await scenario()
        finally:
            await courses.stop()

    return asyncio.run(whole())


def test_a_restart_shows_the_last_changes(tmp_path: Path, teacher: Teacher) -> None:
    first = service(tmp_path, teacher.bare.as_uri())

    async def pull() -> Course:
        await first.start()
        return (await rest(first))[0]

    before = run(first, pull)
    assert before.state == "up_to_date"
    second = service(tmp_path, teacher.bare.as_uri(), on_start=False)

    async def look() -> Course:
        await second.start()
        return second.listing().courses[0]

    after = run(second, look)
    assert after.state == "waiting"
    assert after.changes == before.changes != ()
    assert (after.last_pull, after.last_change) == (before.last_pull, before.last_change)


def test_one_pull_at_a_time(tmp_path: Path) -> None:
    started: list[str] = []
    go = asyncio.Event()

    async def launch(job: Job, on_progress: Callable[[Progress], None]) -> Result:
        started.append(job.target)
        on_progress(Progress(phase="Receiving objects", percent=7))
        await go.wait()
        return Result(state="up_to_date", message="done")

    courses = service(tmp_path, "https://git.example/course", launch=launch)

    async def scenario() -> None:
        await courses.start()
        await asyncio.sleep(0)
        for _ in range(3):
            course = courses.pull("course")
            assert course is not None
            assert course.state == "pulling"
        await asyncio.sleep(0.01)
        course = courses.listing().courses[0]
        assert course.progress == Progress(phase="Receiving objects", percent=7)
        assert course.message == "Receiving objects: 7 %."
        go.set()
        assert (await rest(courses))[0].message == "done"
        assert started == ["course"]
        assert courses.pull("else") is None

    run(courses, scenario)


def test_pulls_are_repeated(tmp_path: Path) -> None:
    started = 0

    async def launch(job: Job, on_progress: Callable[[Progress], None]) -> Result:
        nonlocal started
        started += 1
        return Result(state="up_to_date", message="done")

    courses = service(
        tmp_path, "https://git.example/course", launch=launch, interval=0.01, on_start=False
    )

    async def scenario() -> None:
        await courses.start()
        deadline = time.monotonic() + 10
        while started < 3:
            assert time.monotonic() < deadline
            await asyncio.sleep(0.005)

    run(courses, scenario)


@pytest.mark.parametrize("error", [WorkerError("https://u:sesame@x"), OSError(11, "no process")])
def test_a_worker_that_fails(
    tmp_path: Path, error: Exception, caplog: pytest.LogCaptureFixture
) -> None:
    async def launch(job: Job, on_progress: Callable[[Progress], None]) -> Result:
        raise error

    courses = service(tmp_path, "https://git.example/course", launch=launch)

    async def scenario() -> Course:
        await courses.start()
        return (await rest(courses))[0]

    course = run(courses, scenario)
    assert course.state == "failed"
    assert course.fix is not None
    assert "sesame" not in caplog.text
    assert "Samepage courses: pulling course" in caplog.text


def test_two_servers_of_one_home(tmp_path: Path, teacher: Teacher) -> None:
    both = [service(tmp_path, teacher.bare.as_uri()) for _ in range(2)]

    async def scenario() -> list[Course]:
        await asyncio.gather(*(one.start() for one in both))
        try:
            return [(await rest(one))[0] for one in both]
        finally:
            await both[1].stop()

    courses = run(both[0], scenario)
    assert [course.state for course in courses] == ["up_to_date", "up_to_date"]
    assert sorted(course.message for course in courses)[0] == "Everything is up to date."


def test_credentials_stay_out_of_sight(
    tmp_path: Path, teacher: Teacher, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    with GitServer(teacher.served) as server:
        good = server.url("course").replace("http://", "http://me:sesame-4711@")
        manifest = tmp_path / "m.yml"
        manifest.write_text(
            f"version: 1\ncourses:\n- {{id: a, url: '{good}', target: a}}\n"
            f"- {{id: b, url: '{good.replace('course.git', 'nope.git')}', target: b}}\n"
        )
        courses = service(tmp_path, "", str(manifest))

        async def scenario() -> str:
            await courses.start()
            seen = [json.dumps([asdict(c) for c in courses.listing().courses])]
            await rest(courses)
            seen.append(json.dumps([asdict(c) for c in courses.listing().courses]))
            return "".join(seen)

        seen = run(courses, scenario)
    assert [course.state for course in courses.listing().courses] == ["up_to_date", "failed"]
    assert "sesame" not in seen + caplog.text
    assert server.url("course") in seen


def test_a_target_that_leads_outside_has_no_path(tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home/course").symlink_to("/")
    courses = service(tmp_path, "https://git.example/course")

    async def scenario() -> Course:
        await courses.start()
        return (await rest(courses))[0]

    course = run(courses, scenario)
    assert (course.state, course.target) == ("failed", None)
    assert course.fix is not None


class TestHangingServer:
    """On a real Jupyter server: a git server that hangs must not be felt."""

    @pytest.fixture
    def settings(self) -> dict[str, Any]:
        return {"agent_url": "", "pull_on_start": False, "connect_timeout_seconds": 1.5}

    @pytest.fixture
    def jp_server_config(self, settings: dict[str, Any]) -> dict[str, Any]:
        return {"ServerApp": {"jpserver_extensions": {"labext": True}}, "Samepage": settings}

    @pytest.fixture
    def client(self, settings: dict[str, Any], request: pytest.FixtureRequest) -> Any:
        with silent_server() as url:
            settings["course_url"] = url
            yield Client(
                request.getfixturevalue("jp_fetch"), request.getfixturevalue("jp_asyncio_loop")
            )

    def test_the_server_answers_meanwhile(self, client: Client, jp_fetch: Any) -> None:
        async def scenario() -> float:
            await client.until(lambda answer: bool(answer["courses"]), "courses")
            await client.ask("status")
            worst = []
            for _ in range(2):
                async with LagProbe() as probe:
                    await client.ask("courses", "course", "pull", method="POST", body=b"")
                    state, answered = "pulling", 0
                    while state == "pulling":
                        assert (await jp_fetch("api", "status")).code == 200
                        answered += 1
                        listing = (await client.ask("courses")).json
                        state = listing["courses"][0]["state"]
                        await asyncio.sleep(0.02)
                assert state == "failed"
                assert "no answer within 1.5 s" in listing["courses"][0]["message"]
                assert answered > 20
                worst.append(probe.worst_seconds)
            return min(worst)

        assert client.loop.run_until_complete(scenario()) < LIMIT_SECONDS
