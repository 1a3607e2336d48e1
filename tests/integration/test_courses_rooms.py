"""With the real jupyter-collaboration, where it is installed: no pull writes under a live room."""

from __future__ import annotations

import asyncio
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from tests.integration.courses_upstream import Teacher
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures
from tests.integration.labext_server import Client

pytestmark = pytest.mark.skipif(
    find_spec("jupyter_server_ydoc") is None, reason="jupyter-collaboration is not installed"
)


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.publish({"a.txt": "one\n", "b.txt": "one\n"})
    return teacher


@pytest.fixture(name="jp_server_config")
def server_config(teacher: Teacher) -> dict[str, Any]:
    extensions = {"labext": True, "jupyter_server_ydoc": True, "jupyter_server_fileid": True}
    return {
        "ServerApp": {"jpserver_extensions": extensions},
        "Samepage": {"agent_url": "", "course_url": teacher.bare.as_uri()},
    }


def test_a_file_in_a_room_waits(
    jp_fetch: Any,
    jp_serverapp: Any,
    jp_root_dir: Path,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    teacher: Teacher,
) -> None:
    client = Client(jp_fetch, jp_asyncio_loop)

    def rested(answer: Any) -> bool:
        return bool(answer["courses"]) and answer["courses"][0]["state"] == "up_to_date"

    client.wait_for(rested, "courses")
    app = next(iter(jp_serverapp.extension_manager.extension_apps["jupyter_server_ydoc"]))

    async def open_room() -> Any:
        return await app.get_document(
            path="course/a.txt", content_type="file", file_format="text", create=True, copy=False
        )

    document = jp_asyncio_loop.run_until_complete(open_room())
    assert document is not None
    teacher.publish({"a.txt": "two\n", "b.txt": "two\n"})
    client.post("courses", "course", "pull")
    course = client.wait_for(rested, "courses")["courses"][0]
    assert course["waiting"] == ["a.txt"]
    assert (jp_root_dir / "course/a.txt").read_text() == "one\n"
    assert (jp_root_dir / "course/b.txt").read_text() == "two\n"
