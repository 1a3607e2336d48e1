"""Pulls by a real worker, of real repositories, over HTTP."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import psutil
import pytest

from demo.git_server import GitServer
from labext.courses.launch import WorkerError, run_worker
from labext.courses.model import Progress
from labext.courses.protocol import Job, Result
from tests.integration.courses_upstream import Teacher, git, silent_server, unused_url

FIRST = {"a.txt": "one\ntwo\nthree\n", "lab/b.txt": "b\n", "ü ñ.txt": "u\n"}


class Student:
    """A home with the server's root folder in it."""

    def __init__(self, base: Path) -> None:
        self.root = base / "home"
        self.root.mkdir()
        self.state = base / "state"
        self.course = self.root / "course"
        self.progress: list[Progress] = []

    def job(self, url: str, **changes: Any) -> Job:
        values: dict[str, Any] = {
            "url": url,
            "branch": None,
            "depth": 1,
            "root": str(self.root),
            "target": "course",
            "state_dir": str(self.state),
            "timeout_seconds": 60.0,
            "connect_timeout_seconds": 20.0,
        }
        return Job(**{**values, **changes})

    def pull(self, url: str, **changes: Any) -> Result:
        self.progress = []
        return asyncio.run(run_worker(self.job(url, **changes), self.progress.append))

    def files(self) -> dict[str, str]:
        return {
            str(path.relative_to(self.course)): path.read_text(errors="replace")
            for path in sorted(self.course.rglob("*"))
            if path.is_file() and ".git" not in path.relative_to(self.course).parts
        }

    def leftovers(self) -> list[Path]:
        return list(self.root.rglob(".samepage-*"))


def kinds(result: Result) -> dict[str, str]:
    assert result.history is not None
    return {change.path: change.kind for change in result.history.changes}


@pytest.fixture
def student(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Student:
    home = Student(tmp_path)
    monkeypatch.setenv("HOME", str(home.root))
    return home


@pytest.fixture
def teacher(tmp_path: Path) -> Teacher:
    teacher = Teacher(tmp_path)
    teacher.publish(dict(FIRST))
    return teacher


@pytest.fixture
def server(teacher: Teacher) -> Iterator[GitServer]:
    with GitServer(teacher.served) as server:
        yield server


@pytest.fixture
def url(server: GitServer) -> str:
    return server.url("course")


def test_first_pull(student: Student, url: str) -> None:
    result = student.pull(url)
    assert (result.state, result.message) == ("up_to_date", "The course is here, with 3 files.")
    assert student.files() == FIRST
    assert kinds(result) == dict.fromkeys(FIRST, "new")
    assert student.leftovers() == []
    assert any(step.phase == "Asking the git server" for step in student.progress)


def test_nothing_new(student: Student, url: str) -> None:
    first = student.pull(url)
    again = student.pull(url)
    assert again.message == "Everything is up to date."
    assert first.history is not None
    assert again.history is not None
    assert again.history.changes == first.history.changes
    assert again.history.last_change == first.history.last_change
    assert (again.history.last_pull or 0) > (first.history.last_pull or 0)


def test_the_students_edits_are_kept(student: Student, teacher: Teacher, url: str) -> None:
    student.pull(url)
    (student.course / "a.txt").write_text("one\ntwo\nmine\n")
    (student.course / "lab/b.txt").write_text("mine\n")
    (student.course / "own.txt").write_text("own\n")
    (student.course / "new.txt").write_text("in the way\n")
    teacher.publish(
        {
            "a.txt": "ONE\ntwo\nthree\n",
            "lab/b.txt": "theirs\n",
            "ü ñ.txt": "u2\n",
            "new.txt": "new\n",
            "d/e.txt": "e\n",
        }
    )
    result = student.pull(url)
    assert result.state == "up_to_date"
    files = student.files()
    moved = [name for name in files if name.startswith("new__yours_")]
    beside = [name for name in files if name.startswith("lab/b__course_")]
    assert files == {
        "a.txt": "ONE\ntwo\nmine\n",
        "lab/b.txt": "mine\n",
        "ü ñ.txt": "u2\n",
        "own.txt": "own\n",
        "new.txt": "new\n",
        "d/e.txt": "e\n",
        moved[0]: "in the way\n",
        beside[0]: "theirs\n",
    }
    assert kinds(result) == {
        "a.txt": "merged",
        beside[0]: "new",
        "lab/b.txt": "kept_yours",
        "ü ñ.txt": "updated",
        "new.txt": "new",
        "d/e.txt": "new",
        moved[0]: "renamed",
    }


def test_the_teacher_deletes_and_renames(student: Student, teacher: Teacher, url: str) -> None:
    student.pull(url)
    (student.course / "lab/b.txt").write_text("mine\n")
    teacher.publish({"lab/b.txt": None, "a.txt": None, "z.txt": FIRST["a.txt"], "ü ñ.txt": None})
    result = student.pull(url)
    assert student.files() == {"lab/b.txt": "mine\n", "z.txt": FIRST["a.txt"]}
    assert kinds(result) == {"lab/b.txt": "kept_yours", "z.txt": "renamed", "ü ñ.txt": "deleted"}


def test_a_deleted_file_comes_back(student: Student, url: str) -> None:
    student.pull(url)
    (student.course / "a.txt").unlink()
    result = student.pull(url)
    assert student.files() == FIRST
    assert kinds(result) == {"a.txt": "restored"}


@pytest.mark.parametrize("depth", [0, 1])
def test_a_rewritten_history(student: Student, teacher: Teacher, url: str, depth: int) -> None:
    student.pull(url, depth=depth)
    teacher.publish({"a.txt": "one\ntwo\nTHREE\n"}, amend=True)
    assert kinds(student.pull(url)) == {"a.txt": "updated"}
    (student.course / "lab/b.txt").write_text("mine\n")
    teacher.publish({"a.txt": "0\none\ntwo\nTHREE\n", "lab/b.txt": "theirs\n"}, amend=True)
    result = student.pull(url)
    beside = [name for name in student.files() if name.startswith("lab/b__course_")]
    assert kinds(result) == {"a.txt": "updated", "lab/b.txt": "kept_yours", beside[0]: "new"}
    teacher.publish({"c.txt": "c\n"})
    assert kinds(student.pull(url)) == {"c.txt": "new"}
    assert student.files() == {
        "a.txt": "0\none\ntwo\nTHREE\n",
        "lab/b.txt": "mine\n",
        beside[0]: "theirs\n",
        "ü ñ.txt": "u\n",
        "c.txt": "c\n",
    }


def test_the_upstream_goes_back(student: Student, teacher: Teacher, url: str) -> None:
    teacher.publish({"c.txt": "c\n"})
    student.pull(url)
    git(teacher.work, "reset", "-q", "--hard", "HEAD~1")
    teacher.push()
    assert kinds(student.pull(url)) == {"c.txt": "deleted"}
    assert student.files() == FIRST


def test_another_branch(student: Student, teacher: Teacher, url: str) -> None:
    student.pull(url, branch="main")
    git(teacher.work, "checkout", "-qb", "fall")
    (teacher.work / "f.txt").write_text("f\n")
    git(teacher.work, "add", "-A")
    git(teacher.work, "commit", "-qm", "fall")
    teacher.push("fall")
    assert kinds(student.pull(url, branch="fall")) == {"f.txt": "new"}


def test_a_target_that_is_a_file(student: Student, url: str) -> None:
    student.course.write_text("mine\n")
    result = student.pull(url)
    assert (result.state, result.code) == ("failed", "folder_occupied")
    assert "nothing in it was changed" in result.message
    assert result.fix is not None
    assert result.fix.startswith("Rename")
    assert student.course.read_text() == "mine\n"
    assert student.leftovers() == []


def test_a_folder_inside_another_repository_of_the_student(student: Student, url: str) -> None:
    git(student.root, "init", "-q")
    student.course.mkdir()
    (student.course / "mine.txt").write_text("mine\n")
    before = git(student.root, "status", "--porcelain")
    assert student.pull(url).state == "up_to_date"
    assert student.files() == {**FIRST, "mine.txt": "mine\n"}
    assert git(student.root, "status", "--porcelain") == before


def test_a_project_of_the_students_own(student: Student, url: str) -> None:
    student.course.mkdir()
    git(student.course, "init", "-q")
    git(student.course, "remote", "add", "origin", "https://git.example.org/mine.git")
    (student.course / "a.txt").write_text("mine\n")
    git(student.course, "add", "-A")
    git(student.course, "commit", "-qm", "mine")
    result = student.pull(url)
    assert result.code == "folder_occupied"
    assert "is a copy of https://git.example.org/mine.git, not of" in result.message
    assert student.files() == {"a.txt": "mine\n"}


def test_the_course_has_moved_to_another_address(
    student: Student, teacher: Teacher, url: str
) -> None:
    student.pull(url)
    (teacher.served / "other.git").symlink_to(teacher.bare)
    teacher.publish({"c.txt": "c\n"})
    assert kinds(student.pull(url.replace("course.git", "other.git"))) == {"c.txt": "new"}


def test_an_empty_folder_is_free(student: Student, url: str) -> None:
    (student.course / ".ipynb_checkpoints").mkdir(parents=True)
    assert student.pull(url).state == "up_to_date"
    assert student.files() == FIRST


def test_a_clone_of_nbgitpullers_own(student: Student, teacher: Teacher, url: str) -> None:
    git(student.root, "clone", "-q", "--depth=1", url, "course")
    teacher.publish({"c.txt": "c\n"})
    assert kinds(student.pull(url)) == {"c.txt": "new"}


def test_offline(student: Student, url: str, server: GitServer) -> None:
    student.pull(url)
    server.close()
    result = student.pull(url)
    assert (result.state, result.code) == ("offline", "unreachable")
    assert "You have the files of the last pull" in result.message
    assert student.files() == FIRST


def test_offline_before_the_first_pull(student: Student) -> None:
    result = student.pull(unused_url())
    assert result.state == "failed"
    assert "has not been downloaded yet" in result.message
    assert not student.course.exists()


def test_a_name_that_does_not_resolve(student: Student) -> None:
    result = student.pull("https://git.invalid/course.git")
    assert (result.state, result.code) == ("failed", "unreachable")


def test_a_server_that_says_nothing(student: Student) -> None:
    with silent_server() as url:
        begun = time.monotonic()
        result = student.pull(url, connect_timeout_seconds=0.5)
    assert result.code == "unreachable"
    assert "no answer within 0.5 s" in result.message
    assert time.monotonic() - begun < 10
    assert not [p for p in psutil.process_iter(["cmdline"]) if url in (p.info["cmdline"] or [])]


def test_no_such_repository_or_branch(student: Student, url: str) -> None:
    missing = student.pull(url.replace("course.git", "nope.git"))
    assert (missing.state, missing.code) == ("failed", "repository_not_found")
    assert student.pull(url, branch="nope").code == "branch_not_found"


def test_the_time_limit_of_a_pull(student: Student, teacher: Teacher, server: GitServer) -> None:
    teacher.publish({"big.bin": os.urandom(2 << 20)})
    server.throttle(100_000)
    result = student.pull(server.url("course"), timeout_seconds=2.0)
    assert (result.state, result.code) == ("failed", "timeout")
    assert not student.course.exists()
    server.throttle(None)
    assert student.pull(server.url("course")).state == "up_to_date"
    assert student.leftovers() == []


def test_progress_has_a_percentage(student: Student, teacher: Teacher, server: GitServer) -> None:
    teacher.publish({f"{n}.bin": os.urandom(50_000) for n in range(20)})
    server.throttle(1_000_000)
    student.pull(server.url("course"))
    percents = {step.percent for step in student.progress if step.phase == "Receiving objects"} - {
        None,
        100,
    }
    assert len(percents) >= 3


def test_killed_during_the_first_pull(
    student: Student, teacher: Teacher, server: GitServer
) -> None:
    teacher.publish({"big.bin": os.urandom(2 << 20)})
    server.throttle(200_000)
    url = server.url("course")

    async def scenario() -> None:
        def on_progress(progress: Progress) -> None:
            if progress.phase == "Receiving objects":
                for child in psutil.Process().children():
                    if "labext.courses.worker" in child.cmdline():
                        child.send_signal(signal.SIGKILL)

        with pytest.raises(WorkerError, match="ended with -9"):
            await run_worker(student.job(url), on_progress)

    asyncio.run(scenario())
    assert not student.course.exists()
    server.throttle(None)
    assert student.pull(url).state == "up_to_date"
    assert len(student.files()) == 4
    assert student.leftovers() == []


def test_a_running_pull_is_not_swept(student: Student, url: str) -> None:
    import fcntl

    other = student.root / ".samepage-else-1"
    other.mkdir()
    descriptor = os.open(other, os.O_RDONLY)
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    student.pull(url)
    assert student.leftovers() == [other]
    os.close(descriptor)


def test_cancelling_ends_every_process(student: Student, teacher: Teacher) -> None:
    teacher.publish({"big.bin": os.urandom(2 << 20)})
    with GitServer(teacher.served, bytes_per_second=100_000) as server:

        async def scenario() -> list[psutil.Process]:
            receiving = asyncio.Event()

            def on_progress(progress: Progress) -> None:
                if progress.phase == "Receiving objects":
                    receiving.set()

            task = asyncio.create_task(run_worker(student.job(server.url("course")), on_progress))
            async with asyncio.timeout(20):
                await receiving.wait()
            workers = [
                child
                for child in psutil.Process().children()
                if "labext.courses.worker" in child.cmdline()
            ]
            family = [*workers, *workers[0].children(recursive=True)]
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            return family

        family = asyncio.run(scenario())
    assert len(family) >= 3
    gone, alive = psutil.wait_procs(family, timeout=10)
    assert alive == []
    assert gone
    assert student.leftovers() == []


def test_two_pulls_at_once_follow_each_other(student: Student, url: str) -> None:
    async def both() -> list[Result]:
        job = student.job(url)
        return list(
            await asyncio.gather(*(run_worker(job, student.progress.append) for _ in range(2)))
        )

    results = asyncio.run(both())
    assert [result.state for result in results] == ["up_to_date", "up_to_date"]
    assert sorted(result.message for result in results) == [
        "Everything is up to date.",
        "The course is here, with 3 files.",
    ]


def test_a_link_out_of_the_root(student: Student, url: str, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    student.course.symlink_to(outside)
    assert student.pull(url).code == "outside_root"
    assert list(outside.iterdir()) == []


def test_a_place_that_cannot_be_written(student: Student, url: str) -> None:
    (student.root / "file").write_text("")
    result = student.pull(url, target="file/course")
    assert (result.state, result.code) == ("failed", "cannot_write")


class Guard(BaseHTTPRequestHandler):
    """Asks for a password, and keeps what it was given."""

    given: list[str | None] = []  # noqa: RUF012 - one list for all requests is what is meant

    def do_GET(self) -> None:
        self.given.append(self.headers.get("Authorization"))
        self.send_response(401)
        self.send_header("WWW-Authenticate", 'Basic realm="x"')
        self.send_header("Content-Length", "0")
        self.end_headers()

    def log_message(self, format: str, *args: Any) -> None:
        pass


def test_credentials_reach_the_server_and_nobody_else(student: Student) -> None:
    guard = ThreadingHTTPServer(("127.0.0.1", 0), Guard)
    thread = threading.Thread(target=guard.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        url = f"http://me:sesame-4711@127.0.0.1:{guard.server_port}/course.git"
        result = student.pull(url)
    finally:
        guard.shutdown()
        thread.join()
        guard.server_close()
    # Not before it is asked for: the server could be one that sends elsewhere.
    assert Guard.given[0] is None
    assert "Basic bWU6c2VzYW1lLTQ3MTE=" in Guard.given
    assert (result.state, result.code) == ("failed", "access_denied")
    assert "sesame" not in json.dumps([result.message, result.fix])
    assert "me:" not in result.message


def test_credentials_are_not_stored_in_the_clone(student: Student, url: str) -> None:
    secret = url.replace("http://", "http://me:sesame-4711@")
    assert student.pull(secret).state == "up_to_date"
    assert student.pull(secret).state == "up_to_date"
    everything = [*student.root.rglob("*"), *student.state.rglob("*")]
    stored = [path for path in everything if path.is_file() and b"sesame" in path.read_bytes()]
    assert stored == []
