"""A pull that finds nothing new needs no process, asks once and writes nothing."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from demo.git_server import Access, GitServer
from labext.courses import light
from labext.courses.asking import Answer
from labext.courses.model import Progress
from labext.courses.protocol import Job, Result
from labext.courses.quick import nothing_new
from labext.courses.rules import Rules
from tests.integration.agentrun import wait_for
from tests.integration.courses_classroom import Classroom, kinds


@pytest.fixture
def asked() -> list[Access]:
    return []


@pytest.fixture
def room(tmp_path: Path, asked: list[Access]) -> Iterator[Classroom]:
    """A course that was pulled."""
    room = Classroom(tmp_path)
    room.teacher.publish({"a.txt": "one\n", "d/b.txt": "b\n"})
    with GitServer(room.teacher.served, on_access=asked.append) as server:
        room.url = server.url("course")
        room.pull()
        asked.clear()
        yield room


def quick(room: Classroom, **changes: Any) -> Result | Answer | None:
    return nothing_new(room.job(**changes), room.environ, time.time())


def greetings(asked: list[Access]) -> int:
    """How many gits have talked to the server."""
    return sum("info/refs" in access.target for access in asked)


def marks(room: Classroom) -> dict[str, tuple[int, int]]:
    return {
        str(path): (path.lstat().st_mtime_ns, path.lstat().st_ctime_ns)
        for folder in (room.root, room.state)
        for path in [folder, *folder.rglob("*")]
    }


def test_nothing_new_is_told_without_a_write(room: Classroom) -> None:
    before = marks(room)
    result = quick(room)
    assert isinstance(result, Result)
    assert (result.state, result.message) == ("up_to_date", "Everything is up to date.")
    assert result.history is not None
    assert kinds(result) == {"a.txt": "new", "d/b.txt": "new"}, "what came last is still shown"
    room.pull()
    assert marks(room) == before


def test_the_students_own_changes_are_nothing_new(room: Classroom) -> None:
    room.write({"a.txt": "mine\n", "own.txt": "x\n"})
    assert isinstance(quick(room), Result)


def test_news_are_handed_on(room: Classroom, asked: list[Access]) -> None:
    room.teacher.publish({"a.txt": "two\n"})
    answer = quick(room)
    assert isinstance(answer, Answer)
    assert kinds(room.pull(answer=answer.to_json())) == {"a.txt": "updated"}
    # The server writes down what it has answered, a moment after git has it.
    wait_for(lambda: greetings(asked) >= 2, lambda: str(asked))
    assert greetings(asked) == 2, "one question, and one fetch"


def _missing(room: Classroom) -> None:
    (room.course / "d/b.txt").unlink()


def _leftover(room: Classroom) -> None:
    (room.course / ".samepage-pull-x").mkdir()


@pytest.mark.parametrize("change", [_missing, _leftover], ids=["missing", "leftover"])
def test_work_to_do_is_left_to_the_pull(
    room: Classroom, change: Callable[[Classroom], None]
) -> None:
    change(room)
    assert isinstance(quick(room), Answer)


def _no_state(room: Classroom) -> None:
    (room.repository / "samepage-state.json").unlink()


def _journal(room: Classroom) -> None:
    (room.repository / "samepage-journal.json").write_text("{}")


def _no_folder(room: Classroom) -> None:
    room.course.rename(room.root / "renamed")


def _no_base(room: Classroom) -> None:
    (room.repository / "refs/samepage/base").unlink()


@pytest.mark.parametrize("change", [_no_state, _journal, _no_folder, _no_base])
def test_every_doubt_is_left_to_the_pull(
    room: Classroom, change: Callable[[Classroom], None]
) -> None:
    change(room)
    assert quick(room) is None


def test_rules_and_other_courses_are_left_to_the_pull(room: Classroom) -> None:
    assert quick(room, rules=Rules(include=("d",))) is None
    assert quick(room, url="http://127.0.0.1:1/other.git") is None
    assert quick(room, url="http://127.0.0.1:1/course.git") is None, "no answer"
    assert quick(room, url="nonsense") is None


def test_a_worker_is_only_started_when_there_is_something_to_do(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Job] = []

    async def run_worker(job: Job, on_progress: Callable[[Progress], None]) -> Result:
        started.append(job)
        return Result(state="up_to_date", message="worker")

    monkeypatch.setattr(light, "run_worker", run_worker)
    monkeypatch.setattr(os, "environ", room.environ)
    assert asyncio.run(light.pull_lightly(room.job(), lambda _: None)).message != "worker"
    assert started == []
    room.teacher.publish({"a.txt": "two\n"})
    assert asyncio.run(light.pull_lightly(room.job(), lambda _: None)).message == "worker"
    assert started[0].answer is not None
    assert Job.from_line(started[0].line()) == started[0]
