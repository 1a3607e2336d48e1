"""The course cache's rules: addresses, how often a server is asked, what a fetch says."""

from __future__ import annotations

import asyncio
import http.server
import os
import threading
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from labext.courses.address import parse as notebook_address
from labext.courses.cache import mirror_name as notebook_name
from nodeagent.config import load
from nodeagent.coursecache.folder import CacheFolder
from nodeagent.coursecache.keeper import CourseKeeper
from nodeagent.coursecache.pace import Pace, retry_seconds
from nodeagent.coursecache.source import mirror_name, parse, sources
from nodeagent.errors import ConfigError


@pytest.mark.parametrize(
    "text",
    [
        "https://git.example.org/a/course.git",
        "https://git.example.org/a/course",
        "https://GIT.example.org/a/course/",
        "https://git.example.org:8443/a/course.git?x=1",
        "https://user:token@git.example.org/a/course.git",
        "ssh://git@git.example.org/a/course.git",
        "git@git.example.org:a/course.git",
        "file:///srv/course.git",
    ],
)
def test_agent_and_notebook_find_the_same_mirror(text: str) -> None:
    remote = notebook_address(text).remote
    assert mirror_name(remote) == notebook_name(notebook_address(text))
    if "://" in text:
        assert parse(text).name == notebook_name(notebook_address(text))


def test_one_repository_however_it_is_written() -> None:
    plain = parse("https://git.example.org/course.git")
    assert plain.name == parse("https://u:secret@GIT.example.org/course/").name
    assert plain.name != parse("https://git.example.org/other").name
    assert not plain.private
    assert parse("https://u:secret@git.example.org/course").private


def test_credentials_are_never_shown() -> None:
    source = parse("https://reader:s3cret%2Fword@git.example.org/course.git")
    assert source.remote == "https://git.example.org/course.git"
    assert "s3cret" not in repr(source)
    assert source.redact("denied for s3cret/word") == "denied for ***"


@pytest.mark.parametrize("text", ["", "-x", "ext::sh -c x", "https://", "a b", "/srv/course.git"])
def test_addresses_that_cannot_be_fetched(text: str) -> None:
    with pytest.raises(ConfigError):
        parse(text)


def test_lists_and_credentials(tmp_path: Path) -> None:
    manifest = tmp_path / "samepage-course.yml"
    manifest.write_text("version: 1\ncourses:\n- {id: a, url: 'https://git.example.org/team/a'}\n")
    logins = tmp_path / "logins"
    logins.write_text("# ours\nhttps://bot:t0ken@git.example.org/team\n")
    logins.chmod(0o600)
    found = sources(["https://git.example.org/teams/b"], manifest, logins)
    assert {source.remote: source.private for source in found} == {
        "https://git.example.org/teams/b": False,
        "https://git.example.org/team/a": True,
    }
    logins.chmod(0o644)
    with pytest.raises(ConfigError, match="others than its owner"):
        sources([], manifest, logins)


def test_a_list_in_text_and_a_wrong_manifest(tmp_path: Path) -> None:
    listing = tmp_path / "courses.txt"
    listing.write_text("# all\nhttps://git.example.org/a\n\nhttps://git.example.org/a.git\n")
    assert len(sources([], listing, None)) == 1
    wrong = tmp_path / "x.yml"
    wrong.write_text("- a\n")
    with pytest.raises(ConfigError, match="no course manifest"):
        sources([], wrong, None)


@pytest.mark.parametrize(
    ("failures", "retry", "seconds"),
    [
        (0, None, 120.0),
        (0, 900.0, 120.0),
        (1, None, 120.0),
        (5, None, 240.0),
        (99, None, 1800.0),
        (1, 600.0, 600.0),
        (1, 5.0, 120.0),
    ],
)
def test_when_to_ask_again(failures: int, retry: float | None, seconds: float) -> None:
    pace = Pace(interval=120.0)
    assert pace.next(failures, retry, 0.0) == seconds
    assert pace.next(failures, retry, 1.0) == pytest.approx(seconds * 1.2)


def test_nodes_that_start_together_do_not_ask_together() -> None:
    assert Pace(interval=120.0).first(0.0) == 0.0
    assert Pace(interval=120.0).first(1.0) == 10.0
    assert Pace(interval=10.0).first(1.0) == 2.5


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (None, None),
        ("120", 120.0),
        ("0", 0.0),
        ("soon", None),
        ("-5", None),
        ("99999999", 21600.0),
        ("9" * 400, None),
        (formatdate(1_000_060, usegmt=True), 60.0),
        (formatdate(999_000, usegmt=True), 0.0),
    ],
)
def test_retry_after(text: str | None, seconds: float | None) -> None:
    assert retry_seconds(text, 1_000_000.0) == seconds


class _Busy(http.server.BaseHTTPRequestHandler):
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        self.send_response(429)
        self.send_header("Retry-After", "777")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def busy() -> Iterator[tuple[str, list[str]]]:
    """A server that answers 429 to everything, and what it was asked."""
    _Busy.asked = []
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Busy)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/course.git", _Busy.asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def test_a_throttled_server_is_left_alone(
    tmp_path: Path, busy: tuple[str, list[str]], caplog: pytest.LogCaptureFixture
) -> None:
    url, asked = busy
    now = [1000.0]
    keeper = CourseKeeper(
        folder=CacheFolder(path=tmp_path / "cache"),
        sources=lambda: sources([url], None, None),
        pace=Pace(interval=60.0),
        retention=86_400.0,
        env=os.environ,
        clock=lambda: now[0],
        chance=lambda: 0.0,
    )

    async def scenario() -> None:
        for _ in range(3):
            await keeper.round()
            await keeper.settle()
        assert len(asked) == 1
        now[0] += 776
        await keeper.round()
        await keeper.settle()
        assert len(asked) == 1
        now[0] += 2
        await keeper.round()
        await keeper.settle()
        assert len(asked) == 2

    asyncio.run(scenario())
    assert (keeper.totals.failures, keeper.totals.throttled, keeper.totals.fetches) == (2, 2, 0)
    assert "HTTP 429" in caplog.text


def test_a_wrong_list_is_told_once_and_costs_no_course(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keeper = CourseKeeper(
        folder=CacheFolder(path=tmp_path / "cache"),
        sources=lambda: sources(["nonsense"], None, None),
        pace=Pace(interval=60.0),
        retention=86_400.0,
        env=os.environ,
    )

    async def scenario() -> None:
        await keeper.round()
        await keeper.round()

    asyncio.run(scenario())
    assert caplog.text.count("cannot be used") == 1


def test_settings() -> None:
    config = load(
        {
            "NODEAGENT_COURSE_CACHE": "/var/cache/samepage/courses",
            "NODEAGENT_COURSE_CACHE_URLS": "https://a.example/x, https://b.example/y",
        },
        {"course_cache_interval": "60"},
    )
    assert config.course_cache == Path("/var/cache/samepage/courses")
    assert config.course_cache_urls == ("https://a.example/x", "https://b.example/y")
    assert config.course_cache_interval == 60.0
    assert load({}, {}).course_cache is None
