"""Where a manifest may come from, and what happens when it changes."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from labext.courses.manifest import ManifestError, Reader, Source
from labext.courses.model import CourseSpec, Progress
from labext.courses.protocol import Job, Result
from labext.courses.service import CourseService, Timing


def text(*names: str) -> str:
    courses = "".join(
        f"- {{id: {name}, url: 'https://git.example/{name}.git'}}\n" for name in names
    )
    return f"version: 1\ncourses:\n{courses or '  []'}\n"


def ids(courses: tuple[CourseSpec, ...] | None) -> list[str]:
    return [spec.id for spec in courses or ()]


def config_map(folder: Path, number: int, files: dict[str, str]) -> None:
    """As Kubernetes writes one: a folder of its own, and a link that is swapped."""
    (folder / f"..{number}").mkdir(parents=True)
    for name, content in files.items():
        (folder / f"..{number}" / name).write_text(content)
    fresh = folder / "..data_tmp"
    fresh.symlink_to(f"..{number}")
    fresh.rename(folder / "..data")
    for name in files:
        if not (folder / name).is_symlink():
            (folder / name).symlink_to(f"..data/{name}")


def test_a_config_map(tmp_path: Path) -> None:
    folder = tmp_path / "courses"
    config_map(folder, 1, {"b.yml": text("b"), "a.yaml": text("a"), "README": "no manifest"})
    reader = Reader(Source(manifest=str(folder)), None)
    assert ids(reader.read().courses) == ["a", "b"]
    config_map(folder, 2, {"b.yml": text("b", "c"), "a.yaml": text("a")})
    assert ids(reader.read().courses) == ["a", "b", "c"]
    config_map(folder, 3, {"b.yml": text("a"), "a.yaml": text("a")})
    reading = reader.read()
    assert ids(reading.courses) == ["a", "b", "c"]
    assert reading.problem is not None
    assert "b.yml: the id 'a' is used twice, in another file" in reading.problem.message


def test_an_empty_folder_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="holds no course manifest"):
        Source(manifest=str(tmp_path)).read()


def test_inline() -> None:
    assert ids(Source(manifest="", inline=text("x"), url="https://git.example/y").read()) == ["x"]
    with pytest.raises(ManifestError, match=r"^SAMEPAGE_COURSES_YAML:1:1: the manifest lacks"):
        Source(manifest="", inline="version: 1").read()


def test_a_file_that_gets_bad_keeps_the_courses(tmp_path: Path) -> None:
    file = tmp_path / "m.yml"
    file.write_text(text("a"))
    reader = Reader(Source(manifest=str(file)), None)
    reader.read()
    file.write_text("version: 2\n")
    reading = reader.read()
    assert (ids(reading.courses), reading.problem is not None) == (["a"], True)
    file.unlink()
    assert ids(reader.read().courses) == ["a"]
    file.write_text(text("b"))
    reading = reader.read()
    assert (ids(reading.courses), reading.problem) == (["b"], None)


class Web:
    """What a web server says. seen: ETags it was asked for, and credentials."""

    def __init__(self) -> None:
        self.content = text("a").encode()
        self.status = 200
        self.etag: str | None = '"1"'
        self.location = ""
        self.drip = 0.0
        self.seen: list[tuple[str | None, str | None]] = []
        self.url = ""


@contextmanager
def web_server() -> Iterator[Web]:
    web = Web()

    class Handler(BaseHTTPRequestHandler):
        def log_message(self, format: str, *args: Any) -> None:
            pass

        def do_GET(self) -> None:
            etag = self.headers.get("If-None-Match")
            web.seen.append((etag, self.headers.get("Authorization")))
            fresh = web.status != 200 or etag is None or etag != web.etag
            self.send_response(web.status if fresh else 304)
            if web.etag is not None:
                self.send_header("ETag", web.etag)
            if web.location:
                self.send_header("Location", web.location)
            self.end_headers()
            if not fresh:
                return
            step = 10 if web.drip else 1 << 20
            with contextlib.suppress(ConnectionError):  # it has read enough
                for at in range(0, len(web.content), step):
                    self.wfile.write(web.content[at : at + step])
                    time.sleep(web.drip)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    web.url = f"http://127.0.0.1:{server.server_port}/m.yml"
    try:
        yield web
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def web() -> Iterator[Web]:
    with web_server() as web:
        yield web


def test_an_address_is_asked_and_kept(web: Web, tmp_path: Path) -> None:
    reader = Reader(Source(manifest=web.url), tmp_path)
    assert ids(reader.read().courses) == ["a"]
    assert ids(reader.read().courses) == ["a"]
    assert [etag for etag, _ in web.seen] == [None, '"1"']
    web.status = 500
    # A server that starts while the web server is down.
    reading = Reader(Source(manifest=web.url), tmp_path).read()
    assert ids(reading.courses) == ["a"]
    assert reading.problem is not None
    assert "answers 500" in reading.problem.message
    with pytest.raises(ManifestError, match="Cannot get the course manifest"):
        Reader(Source(manifest=web.url), tmp_path / "other").read()
    web.status, web.etag, web.content = 200, '"2"', text("b").encode()
    assert ids(reader.read().courses) == ["b"]


@pytest.mark.parametrize("location", ["file:///etc/passwd", "ftp://h/x", "http://git.example/x"])
def test_an_address_that_leads_elsewhere(web: Web, location: str) -> None:
    web.status, web.location = 302, location
    with pytest.raises(ManifestError, match=r"leads to a|not allowed"):
        Source(manifest=web.url).read()


def test_credentials_stay_with_their_server(web: Web) -> None:
    with web_server() as other:
        web.status, web.location = 302, other.url
        url = web.url.replace("http://", "http://me:sesame-4711@")
        assert ids(Source(manifest=url).read()) == ["a"]
        assert web.seen[0][1] is not None
        assert other.seen == [(None, None)]
    web.status, web.location = 404, ""
    with pytest.raises(ManifestError) as caught:
        Source(manifest=f"{url}?key=sesame-4712").read()
    assert "sesame" not in caught.value.message


def test_an_address_with_too_much(web: Web) -> None:
    web.content = b"#" * (2 << 20)
    with pytest.raises(ManifestError, match="larger than 1 MiB"):
        Source(manifest=web.url).read()


def test_an_address_that_is_slow(web: Web) -> None:
    from labext.courses.manifest.remote import fetch

    web.drip = 0.1
    with pytest.raises(ManifestError, match=r"longer than 0\.3 s"):
        fetch(web.url, None, timeout_seconds=0.3)


@pytest.mark.parametrize("url", ["http://git.example/m.yml", "file:///etc/passwd", "ftp://x/y"])
def test_other_addresses_are_refused(url: str) -> None:
    with pytest.raises(ManifestError, match="not at an https address"):
        Source(manifest=url).read()


class Pulls:
    """Stands for the workers; counts what it was asked for."""

    def __init__(self) -> None:
        self.jobs: list[Job] = []
        self.result = Result(state="up_to_date", message="Fine.")

    async def __call__(self, job: Job, on_progress: Callable[[Progress], None]) -> Result:
        self.jobs.append(job)
        return self.result

    def targets(self) -> list[str]:
        return [job.target for job in self.jobs]


def service(source: Source, tmp_path: Path, pulls: Pulls, **timing: float) -> CourseService:
    values = {"interval": 0.0, "jitter": 0.0, "timeout": 9.0, "connect_timeout": 1.0, **timing}
    return CourseService(
        source=source,
        root=tmp_path,
        state_dir=tmp_path / "state",
        timing=Timing(on_start=True, **values),
        log=logging.getLogger("test"),
        launch=pulls,
    )


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(15):
        while not condition():
            await asyncio.sleep(0.01)


@pytest.fixture
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    from labext.courses import roster

    monkeypatch.setattr(roster, "_SOON_SECONDS", 0.0)


@pytest.mark.usefixtures("soon")
def test_the_server_follows_the_manifest(tmp_path: Path) -> None:
    file = tmp_path / "m.yml"
    file.write_text(text("a"))

    async def scenario() -> None:
        pulls = Pulls()
        courses = service(Source(manifest=str(file)), tmp_path, pulls)
        await courses.start()
        await until(lambda: pulls.targets() == ["a"])
        file.write_text(text("b", "a").replace("a.git'}", "a.git', preload: [numpy], image: x}"))
        courses.pull("a")
        await until(lambda: pulls.targets() == ["a", "a", "b"])
        listing = courses.listing()
        assert [course.id for course in listing.courses] == ["b", "a"]
        assert courses.preload() == ("numpy",)
        file.write_text("version: [\n")
        courses.pull("a")
        await until(lambda: len(pulls.jobs) == 4)
        listing = courses.listing()
        assert (listing.state, len(listing.courses)) == ("ok", 2)
        assert "m.yml:2:1: this is not valid YAML" in str(listing.message)
        file.write_text(text("b"))
        courses.pull("a")
        await until(lambda: [course.id for course in courses.listing().courses] == ["b"])
        assert courses.listing().message is None
        assert courses.pull("a") is None
        await courses.stop()

    asyncio.run(scenario())


@pytest.mark.usefixtures("soon")
def test_a_server_that_began_with_a_bad_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from labext.courses import service as module

    monkeypatch.setattr(module, "_LOOK_SECONDS", 0.02)
    file = tmp_path / "m.yml"
    file.write_text("version: 2\n")

    async def scenario() -> None:
        pulls = Pulls()
        courses = service(Source(manifest=str(file)), tmp_path, pulls)
        await courses.start()
        assert courses.listing().state == "failed"
        file.write_text(text("a"))
        await until(lambda: pulls.targets() == ["a"])
        assert courses.listing().state == "ok"
        await courses.stop()

    asyncio.run(scenario())


def test_the_course_says_when_it_is_pulled(tmp_path: Path) -> None:
    lines = text("a", "b").replace("a.git'}", "a.git', pull: {on_start: false}}")
    lines = lines.replace("b.git'}", "b.git', pull: {interval: 1, timeout: 42}}")

    async def scenario() -> None:
        pulls = Pulls()
        courses = service(Source(manifest="", inline=lines), tmp_path, pulls)
        await courses.start()
        await until(lambda: pulls.targets() == ["b", "b"])
        assert pulls.jobs[0].timeout_seconds == 42
        await courses.stop()

    asyncio.run(scenario())


def test_a_busy_server_is_asked_again_by_itself(tmp_path: Path) -> None:
    async def scenario() -> None:
        pulls = Pulls()
        pulls.result = Result(state="offline", message="Busy.", wait_seconds=0.05)
        courses = service(Source(manifest="", inline=text("a")), tmp_path, pulls)
        await courses.start()
        await until(lambda: len(pulls.jobs) == 1)
        pulls.result = Result(state="up_to_date", message="Fine.")
        await until(lambda: courses.listing().courses[0].state == "up_to_date")
        assert len(pulls.jobs) == 2
        await courses.stop()

    asyncio.run(scenario())
