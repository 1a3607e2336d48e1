"""docs/courses/merging.md, cases 80 to 99: killed, full, read-only, two at once, open files."""

from __future__ import annotations

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from labext.courses.sync import transaction
from labext.courses.sync.disk import Disk
from labext.courses.sync.engine import StateEngine, repository_of
from labext.courses.sync.ops import Op
from tests.integration.courses_classroom import Classroom, digest, kinds, notebook

TEN = "".join(f"line {n}\n" for n in range(10))
MANY = 60


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return Classroom(tmp_path)


def killed_pull(room: Classroom, seconds: float) -> bool:
    """Pull in a process of its own group, killed after `seconds`; whether it was still running."""
    child = os.fork()
    if child == 0:
        os.setpgid(0, 0)
        with contextlib.suppress(BaseException):
            room.try_pull()
        os._exit(0)
    with contextlib.suppress(OSError):
        os.setpgid(child, child)
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if os.waitpid(child, os.WNOHANG)[0]:
            return False
        time.sleep(0.001)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return True


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_80_killed_at_any_moment(room: Classroom) -> None:
    chance = random.Random(4)
    names = [f"d{n % 5}/{n}.txt" for n in range(MANY)]
    version = 0
    mine: dict[str, str] = {}
    room.teacher.publish(dict.fromkeys(names, f"{TEN}{version}\n"))
    begun = time.monotonic()
    room.pull()
    length = time.monotonic() - begun
    kills = 0
    for round_ in range(5):
        version += 1
        room.teacher.publish(dict.fromkeys(names, f"{TEN}{version}\n"))
        name = chance.choice(names)
        mine[name] = f"mine {round_}\n" + mine.get(name, "")
        current = (room.course / name).read_text()
        room.write({name: f"mine {round_}\n{current}"})
        for _ in range(2):
            kills += killed_pull(room, chance.uniform(0.02, length))
            for path in names:
                text = (room.course / path).read_text() if (room.course / path).exists() else ""
                assert text == "" or text.startswith(mine.get(path, "") + TEN), path
        room.pull()
        expected = {path: mine.get(path, "") + f"{TEN}{version}\n" for path in names}
        assert room.files() == expected
        room.nothing_left()
    assert kills > 2


class Crash(BaseException):
    """As if the process ended here."""


STEPS = ["place", "delete", "aside"]


@pytest.mark.parametrize("stop", range(0, 14, 2))
def test_81_killed_between_any_two_steps(
    room: Classroom, stop: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    files: dict[str, str | bytes | None] = {f"{n}.txt": TEN for n in range(4)}
    room.teacher.publish({**files, "gone.txt": "x\n", "old.txt": TEN + "r\n"})
    room.pull()
    room.write({"0.txt": "mine\n" + TEN, "new": "in the way\n", "old.txt": "mine\n" + TEN + "r\n"})
    room.teacher.publish(
        {
            **dict.fromkeys(files, TEN + "course\n"),
            "gone.txt": None,
            "new/a.txt": "a\n",
            "old.txt": None,
            "renamed.txt": TEN + "r\n",
        }
    )
    from labext.courses.sync import apply as applying

    real, count = applying._do, 0

    def stopping(*arguments: Any) -> bool:
        nonlocal count
        if count == stop:
            raise Crash
        count += 1
        return real(*arguments)

    monkeypatch.setattr(applying, "_do", stopping)
    with contextlib.suppress(Crash):
        room.try_pull()
    monkeypatch.setattr(applying, "_do", real)
    if stop < 9:
        assert (room.repository / "samepage-journal.json").exists()
    offline = room.try_pull(url="http://127.0.0.1:1/course.git")
    assert offline.state == "offline"
    files_now = room.files()
    assert files_now["0.txt"] == f"mine\n{TEN}course\n"
    assert files_now["renamed.txt"] == f"mine\n{TEN}r\n"
    assert files_now["new/a.txt"] == "a\n"
    assert room.beside("new", "yours") == ["in the way\n"]
    assert not {"gone.txt", "old.txt"} & set(files_now)
    room.pull()
    room.nothing_left()


def test_82_changed_between_the_crash_and_the_next_pull(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.teacher.publish({"a.txt": TEN, "b.txt": TEN})
    room.pull()
    room.teacher.publish({"a.txt": TEN + "course\n", "b.txt": TEN + "course\n"})

    from labext.courses.sync import apply as applying

    def crash(*_: Any) -> frozenset[str]:
        raise Crash

    real = applying.apply
    monkeypatch.setattr(transaction, "apply", crash)
    with contextlib.suppress(Crash):
        room.try_pull()
    monkeypatch.setattr(transaction, "apply", real)
    room.write({"a.txt": "mine\n" + TEN})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "b.txt": TEN + "course\n"}


def test_83_saved_in_the_moment_of_the_pull(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.teacher.publish({"a.txt": TEN})
    room.pull()
    room.teacher.publish({"a.txt": TEN + "course\n"})
    from labext.courses.sync import apply as applying

    real = applying.apply
    saved: list[str] = []

    def saving(ops: list[Op], *arguments: Any) -> frozenset[str]:
        if not saved:
            saved.append("x")
            room.write({"a.txt": "mine\n" + TEN})
        return real(ops, *arguments)

    monkeypatch.setattr(transaction, "apply", saving)
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n"}


def test_84_an_editor_that_saves_all_the_time(room: Classroom) -> None:
    room.teacher.publish({"lab.ipynb": notebook(("a", "1\n"), ("t", "0\n"))})
    room.pull()
    stop = threading.Event()
    last = [0]

    def save() -> None:
        while not stop.is_set():
            content = json.loads(whole(room.course / "lab.ipynb"))
            last[0] += 1
            content["cells"][0]["source"] = [f"mine {last[0]}\n"]
            (room.course / "lab.ipynb").write_text(json.dumps(content))
            time.sleep(0.005)

    def whole(path: Path) -> str:
        while not path.read_text().strip():
            time.sleep(0.001)
        return path.read_text()

    thread = threading.Thread(target=save)
    thread.start()
    try:
        for number in range(1, 4):
            room.teacher.publish({"lab.ipynb": notebook(("a", "1\n"), ("t", f"{number}\n"))})
            room.pull()
    finally:
        stop.set()
        thread.join()
    room.pull()
    cells = json.loads((room.course / "lab.ipynb").read_text())["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    everything = "".join(room.files().values())
    assert "3\n" in texts or '"3\\n"' in everything
    assert "mine" in everything
    room.nothing_left()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 3 MB."""
    place = tmp_path / "small"
    place.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", str(place)], capture_output=True
    )
    if done.returncode != 0:
        pytest.skip("a small file system needs root and mount")
    try:
        yield place
    finally:
        subprocess.run(["umount", "-l", str(place)], check=True)


@pytest.mark.parametrize("where", ["files", "state", "both"])
def test_85_full_disk(room: Classroom, small_disk: Path, where: str) -> None:
    if where != "state":
        room.root = small_disk / "home"
        room.root.mkdir()
        room.course = room.root / "course"
    if where != "files":
        room.state = small_disk / "state"
    room.teacher.publish({"a.txt": TEN, "b.txt": TEN})
    room.pull()
    room.write({"a.txt": "mine\n" + TEN})
    before = digest(room.course)
    room.teacher.publish(
        {"a.txt": TEN + "course\n", "b.txt": "b\n", "big.bin": os.urandom(4 << 20)}
    )
    for free in (0, 100_000, 1_000_000):
        fill = small_disk / "fill"
        with fill.open("wb", buffering=0) as stream, contextlib.suppress(OSError):
            while True:
                stream.write(bytes(4096))
        size = fill.stat().st_size
        os.truncate(fill, max(0, size - free))
        result = room.try_pull()
        assert (result.state, result.code) == ("failed", "no_space")
        assert digest(room.course) == before
        fill.unlink()
    room.teacher.publish({"big.bin": None})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "b.txt": "b\n"}
    room.nothing_left()


def test_86_full_disk_at_the_first_pull(room: Classroom, small_disk: Path) -> None:
    room.root = small_disk / "home"
    room.root.mkdir()
    room.course = room.root / "course"
    room.teacher.publish({"big.bin": os.urandom(4 << 20)})
    assert room.try_pull().code == "no_space"
    assert list(room.root.iterdir()) == []
    room.teacher.publish({"big.bin": b"small"})
    room.pull()


def test_87_a_folder_that_cannot_be_written(room: Classroom, small_disk: Path) -> None:
    room.root = small_disk / "home"
    room.root.mkdir()
    room.course = room.root / "course"
    room.teacher.publish({"a.txt": TEN})
    room.pull()
    room.teacher.publish({"a.txt": "new\n"})
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    result = room.try_pull()
    assert (result.state, result.code) == ("failed", "cannot_write")
    subprocess.run(["mount", "-o", "remount,rw", str(small_disk)], check=True)
    assert room.files() == {"a.txt": TEN}
    room.pull()
    assert room.files() == {"a.txt": "new\n"}


def test_88_one_place_that_cannot_be_written_is_tried_again(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    room.teacher.publish({"a.txt": TEN, "b.txt": TEN})
    room.pull()
    room.teacher.publish({"a.txt": "a2\n", "b.txt": "b2\n"})
    from labext.courses.sync import apply as applying

    real = applying._do

    def refusing(op: Op, *arguments: Any) -> bool:
        if op.path == "a.txt":
            raise PermissionError(13, "denied")
        return real(op, *arguments)

    monkeypatch.setattr(applying, "_do", refusing)
    result = room.pull()
    assert "a.txt could not be updated now" in result.message
    assert room.files() == {"a.txt": TEN, "b.txt": "b2\n"}
    monkeypatch.setattr(applying, "_do", real)
    assert kinds(room.pull()) == {"a.txt": "updated"}
    assert room.files()["a.txt"] == "a2\n"


def test_89_undo_and_undo_of_it(room: Classroom) -> None:
    from labext.courses import gitenv
    from labext.courses.address import parse
    from labext.courses.sync.repository import Repository
    from labext.courses.sync.undo import undo

    room.teacher.publish({"a.txt": TEN, "b.txt": TEN, "lab.ipynb": notebook(("a", "1\n"))})
    room.pull()
    room.write({"a.txt": "mine\n" + TEN, "new": "in the way\n"})
    before = room.files()
    room.teacher.publish({"a.txt": TEN + "course\n", "b.txt": None, "new/c.txt": "c\n"})
    room.pull()
    after = room.files()
    assert after != before
    env = gitenv.environment(room.environ, parse(room.url), room.course)
    repository = Repository(repository_of(room.state, room.course.resolve()), env)
    undo(repository, room.course, time.time)
    assert room.files() == before
    assert "sent the last update back" in room.pull().message
    assert room.files() == before
    undo(repository, room.course, time.time)
    assert room.files() == after
    undo(repository, room.course, time.time)
    room.teacher.publish({"d.txt": "d\n"})
    room.pull()
    assert room.files().keys() - {"d.txt"} == after.keys()


def test_90_the_engine_knows_whether_there_is_a_copy(room: Classroom) -> None:
    room.teacher.publish({"a.txt": TEN})
    engine = StateEngine(room.state)
    assert not engine.has_copy(room.course)
    room.pull()
    assert engine.has_copy(room.course.resolve())


def test_91_a_name_beside_is_never_one_that_is_taken(tmp_path: Path) -> None:
    disk = Disk(tmp_path, now=lambda: 0.0)
    taken: set[str] = set()
    first = disk.free_name("a/b.tar.gz", "yours", taken)
    (tmp_path / "a").mkdir()
    (tmp_path / first).write_text("x")
    names = {first, *(disk.free_name("a/b.tar.gz", "yours", taken) for _ in range(3))}
    assert len(names) == 4
