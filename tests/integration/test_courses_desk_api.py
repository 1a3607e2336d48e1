"""The REST interface below courses/ID/ on a real Jupyter server."""

from __future__ import annotations

import asyncio
import fcntl
import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from labext.courses.store import Store
from tests.integration.courses_upstream import Teacher
from tests.integration.jupyter_fixtures import *  # noqa: F403 - fixtures
from tests.integration.labext_server import LIMIT_SECONDS, Answer, Client, LagProbe

TEN = "".join(f"line {number}\n" for number in range(10))
SCHEMAS: dict[str, Any] = yaml.safe_load(
    (Path(__file__).parents[2] / "docs" / "openapi.yml").read_text(encoding="utf-8")
)["components"]


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.publish({"a.txt": TEN, "b.txt": "b\n"})
    return teacher


@pytest.fixture(name="jp_server_config")
def server_config(teacher: Teacher) -> dict[str, Any]:
    settings = {"agent_url": "", "course_url": teacher.bare.as_uri()}
    return {"ServerApp": {"jpserver_extensions": {"labext": True}}, "Samepage": settings}


class Desk:
    """The course over HTTP."""

    def __init__(self, client: Client, root: Path, teacher: Teacher) -> None:
        self.client = client
        self.folder = root / "course"
        self.teacher = teacher

    def get(self, what: str, **query: str) -> Answer:
        return self.client.loop.run_until_complete(
            self.client.ask("courses", "course", what, params=query)
        )

    def post(self, what: str, **body: Any) -> Answer:
        return self.client.loop.run_until_complete(self.ask(what, **body))

    async def ask(self, what: str, **body: Any) -> Answer:
        return await self.client.ask(
            "courses", "course", what, method="POST", body=json.dumps(body)
        )

    def rest(self) -> Any:
        listing = self.client.wait_for(
            lambda answer: (
                bool(answer["courses"]) and answer["courses"][0]["state"] == "up_to_date"
            ),
            "courses",
        )
        return listing["courses"][0]

    def pull(self) -> Any:
        self.client.post("courses", "course", "pull")
        return self.rest()

    def update(self, files: dict[str, str | bytes | None]) -> str:
        self.teacher.publish(files)
        self.pull()
        newest: str = self.get("news").json["items"][0]["id"]
        return newest


@pytest.fixture
def desk(
    jp_fetch: Any,
    jp_asyncio_loop: asyncio.AbstractEventLoop,
    jp_root_dir: Path,
    teacher: Teacher,
) -> Desk:
    found = Desk(Client(jp_fetch, jp_asyncio_loop), jp_root_dir, teacher)
    found.rest()
    return found


def documented(answer: Answer, name: str) -> Any:
    assert answer.status == 200, answer.json
    known = (
        SCHEMAS["schemas"].get(name)
        or (SCHEMAS["responses"][name]["content"]["application/json"]["schema"])
    )
    jsonschema.Draft202012Validator({**known, "components": SCHEMAS}).validate(answer.json)
    return answer.json


def refused(answer: Answer, status: int, code: str) -> None:
    assert (answer.status, answer.json["code"]) == (status, code), answer.json
    assert answer.json["message"].endswith(".")


def test_from_news_to_undo(desk: Desk) -> None:
    (desk.folder / "a.txt").write_text(TEN.replace("line 1\n", "mine\n"))
    pull = desk.update({"a.txt": TEN.replace("line 8\n", "course\n"), "c.txt": "c\n"})
    news = documented(desk.get("news"), "News")
    assert news["unseen"] == 2
    assert {file["path"]: file["kind"] for file in news["items"][0]["files"]} == {
        "a.txt": "merged",
        "c.txt": "new",
    }
    assert documented(desk.post("seen", paths=["c.txt"]), "News")["unseen"] == 1
    assert documented(desk.post("seen"), "News")["unseen"] == 0
    versions = documented(desk.get("diff", path="a.txt"), "Versions")
    assert versions["base"]["text"] == TEN
    taken = documented(desk.post("take", path="a.txt"), "Done")
    assert "mine\n" in (desk.folder / taken["beside"]).read_text()
    copied = documented(desk.post("copy", path="b.txt"), "Done")
    assert (desk.folder / copied["path"]).read_text() == "b\n"
    undone = documented(desk.post("undo", pull=pull), "Undone")
    assert undone == {"paths": ["c.txt"], "kept": ["a.txt"]}
    assert not (desk.folder / "c.txt").exists()
    documented(desk.post("redo", pull=pull), "Undone")
    assert (desk.folder / "c.txt").exists()


def test_unsaved_files_wait_until_they_are_saved(desk: Desk) -> None:
    assert desk.post("editing", client="tab", paths=["a.txt"]).status == 204
    desk.teacher.publish({"a.txt": "course\n", "b.txt": "course\n"})
    course = desk.pull()
    assert course["waiting"] == ["a.txt"]
    assert (desk.folder / "a.txt").read_text() == TEN
    assert (desk.folder / "b.txt").read_text() == "course\n"
    desk.post("editing", client="tab", paths=[])
    assert desk.pull()["waiting"] == []
    assert (desk.folder / "a.txt").read_text() == "course\n"


def test_unsaved_edits_are_merged(desk: Desk) -> None:
    desk.update({"a.txt": TEN.replace("line 8\n", "course\n")})
    unsaved = TEN.replace("line 1\n", "mine\n")
    documented(desk.post("merge", path="a.txt", content=unsaved), "Done")
    assert (desk.folder / "a.txt").read_text() == unsaved.replace("line 8\n", "course\n")


@pytest.mark.parametrize("path", ["../../etc/passwd", "/etc/passwd", "..", "nope", "a.txt/x"])
def test_paths_that_are_no_files_of_the_course(desk: Desk, path: str) -> None:
    refused(desk.get("diff", path=path), 404, "no_such_file")
    refused(desk.post("take", path=path), 404, "no_such_file")
    refused(desk.post("copy", path=path), 404, "no_such_file")


@pytest.mark.parametrize(
    ("what", "body"),
    [
        ("take", {}),
        ("take", {"path": 3}),
        ("take", {"path": "a.txt", "row": "1"}),
        ("take", {"path": "a.txt", "row": 1}),
        ("copy", {"path": "x" * 5000}),
        ("merge", {"path": "a.txt"}),
        ("seen", {"paths": "a.txt"}),
        ("seen", {"paths": ["a"] * 501}),
        ("editing", {"paths": []}),
        ("undo", {}),
        ("redo", {"pull": ["x"]}),
    ],
)
def test_bodies_that_are_wrong(desk: Desk, what: str, body: dict[str, Any]) -> None:
    refused(desk.post(what, **body), 400, "bad_request")


def test_unknown_courses_and_pulls(desk: Desk) -> None:
    for what in ("news", "diff"):
        answer = desk.client.get("courses", "phys", what)
        refused(answer, 404, "unknown_course")
    for what in ("seen", "editing", "take", "copy", "merge", "undo", "redo"):
        body = {"path": "a", "client": "x", "pull": "x", "content": ""}
        answer = desk.client.loop.run_until_complete(
            desk.client.ask("courses", "phys", what, method="POST", body=json.dumps(body))
        )
        refused(answer, 404, "unknown_course")
    refused(desk.post("undo", pull="20200101T000000-001"), 409, "nothing_to_undo")
    refused(desk.post("redo", pull="20200101T000000-001"), 409, "not_undone")


def test_a_course_being_pulled_is_not_changed(desk: Desk, jp_data_dir: Path) -> None:
    """By this server, or by a terminal of the same home."""
    pull = desk.update({"a.txt": "course\n"})
    store = Store(folder=jp_data_dir / "samepage" / "courses", target=desk.folder.resolve())
    with store.path(".lock").open("r+") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        refused(desk.post("take", path="a.txt"), 409, "pulling")
        desk.client.post("courses", "course", "pull")
        for what, body in (
            ("take", {"path": "a.txt"}),
            ("copy", {"path": "a.txt"}),
            ("undo", {"pull": pull}),
        ):
            refused(desk.post(what, **body), 409, "pulling")
        assert desk.get("diff", path="a.txt").status == 200
        assert desk.get("news").status == 200
    desk.rest()
    assert desk.post("take", path="a.txt").status == 200


def test_the_loop_is_never_held_up(desk: Desk) -> None:
    """Even by a notebook whose comparison takes its time."""
    cells: list[dict[str, Any]] = [
        {"cell_type": "code", "id": f"c{n}", "metadata": {}, "outputs": [], "source": f"{n}\n" * 99}
        for n in range(300)
    ]
    for cell in cells:
        cell["execution_count"] = None
    book = {"cells": cells, "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
    desk.update({"n.ipynb": json.dumps(book)})

    async def scenario() -> float:
        worst = []
        for _ in range(3):
            async with LagProbe() as probe:
                answer = await desk.client.ask(
                    "courses", "course", "diff", params={"path": "n.ipynb"}
                )
                assert answer.status == 200
                await desk.ask("copy", path="n.ipynb")
            worst.append(probe.worst_seconds)
        return min(worst)

    assert desk.client.loop.run_until_complete(scenario()) < LIMIT_SECONDS
