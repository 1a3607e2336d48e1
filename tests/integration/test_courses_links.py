"""nbgitpuller's links on a real Jupyter server, pulled by our engine."""

from __future__ import annotations

import asyncio
import json
import urllib.parse
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any

import pytest

from labext.courses.links import LinkSettings, install
from tests.integration.courses_upstream import Teacher, silent_server
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures

Pull = Callable[..., Coroutine[Any, Any, list[dict[str, Any]]]]
# nbgitpuller's thread raises each error once more when the student was told already.
TOLD = "ignore::pytest.PytestUnhandledThreadExceptionWarning"


@pytest.fixture(name="jp_server_config")
def server_config() -> dict[str, Any]:
    return {"ServerApp": {"jpserver_extensions": {"nbgitpuller": True, "labext": True}}}


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path / "teacher")
    teacher.publish({"a.txt": "a\nb\nc\n"})
    return teacher


@pytest.fixture
def pull(jp_serverapp: Any, jp_fetch: Any, tmp_path: Path) -> Pull:
    settings = LinkSettings(
        root=Path(jp_serverapp.root_dir),
        state_dir=tmp_path / "state",
        timeout=30.0,
        connect_timeout=0.5,
    )
    assert install(settings)

    async def ask(repo: str, **arguments: str) -> list[dict[str, Any]]:
        params = urllib.parse.urlencode({"repo": repo, "targetpath": "course", **arguments})
        answer = await jp_fetch("git-pull", "api", params=dict(urllib.parse.parse_qsl(params)))
        body = answer.body.decode()
        return [json.loads(part.removeprefix("data: ")) for part in body.split("\n\n") if part]

    return ask


def test_a_link_is_pulled_twice(
    pull: Pull, teacher: Teacher, jp_serverapp: Any, jp_asyncio_loop: Any
) -> None:
    course = Path(jp_serverapp.root_dir) / "course"

    async def scenario() -> None:
        events = await pull(teacher.bare.as_uri())
        assert events[-1]["phase"] == "finished"
        assert (course / "a.txt").read_text() == "a\nb\nc\n"
        assert not (course / ".git").exists()
        (course / "a.txt").write_text("mine\nb\nc\n")
        teacher.publish({"a.txt": "a\nb\ncourse\n"}, amend=True)
        events = await pull(teacher.bare.as_uri(), branch="main")
        assert events[-1]["phase"] == "finished"
        assert (course / "a.txt").read_text() == "mine\nb\ncourse\n"

    jp_asyncio_loop.run_until_complete(scenario())


@pytest.mark.filterwarnings(TOLD)
@pytest.mark.parametrize("target", ["../outside", ".", "x/.git"])
def test_a_target_outside(
    pull: Pull, teacher: Teacher, jp_asyncio_loop: Any, jp_serverapp: Any, target: str
) -> None:
    async def scenario() -> None:
        events = await pull(teacher.bare.as_uri(), targetpath=target)
        assert "error" in [event["phase"] for event in events]
        assert not (Path(jp_serverapp.root_dir).parent / "outside").exists()
        assert not list(Path(jp_serverapp.root_dir).rglob("a.txt"))

    jp_asyncio_loop.run_until_complete(scenario())


@pytest.mark.filterwarnings(TOLD)
def test_a_server_that_hangs_is_not_felt(pull: Pull, jp_fetch: Any, jp_asyncio_loop: Any) -> None:
    async def scenario() -> None:
        with silent_server() as url:
            asked = asyncio.create_task(pull(url.replace("http://", "http://me:sesame-4711@")))
            answered = 0
            while not asked.done():
                assert (await asyncio.wait_for(jp_fetch("api", "status"), 1)).code == 200
                answered += 1
                await asyncio.sleep(0.02)
            events = asked.result()
        assert answered > 5
        errors = [event for event in events if event["phase"] == "error"]
        assert "no answer within" in errors[0]["message"]
        assert "sesame" not in json.dumps(events)

    jp_asyncio_loop.run_until_complete(scenario())


def test_without_nbgitpullers_extension(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    import sys

    monkeypatch.delitem(sys.modules, "nbgitpuller.handlers", raising=False)
    settings = LinkSettings(root=tmp_path, state_dir=tmp_path, timeout=1.0, connect_timeout=1.0)
    assert not install(settings)


def test_the_extension_takes_the_links_over(
    jp_serverapp: Any, jp_fetch: Any, jp_asyncio_loop: Any
) -> None:
    async def scenario() -> None:
        await jp_fetch("api", "status")
        import nbgitpuller.handlers

        assert nbgitpuller.handlers.GitPuller.__name__ == "SafePuller"

    jp_asyncio_loop.run_until_complete(scenario())
