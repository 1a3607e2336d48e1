"""docs/courses/merging.md, cases 92 to 98: servers that lie or are busy, folders of other users."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path

import pytest

from demo.git_server import GitServer
from labext.courses import throttle
from labext.courses.protocol import Result, parse, result_line
from tests.integration.courses_classroom import Classroom, digest
from tests.integration.courses_gate import Rule, gate

pytestmark = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
TEN = "".join(f"line {n}\n" for n in range(10))
NOBODY = 65534


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return Classroom(tmp_path)


@pytest.mark.parametrize("cut", [0, 11, 40, 3000])
def test_92_a_pack_that_breaks_off(room: Classroom, cut: int) -> None:
    rule = Rule()
    room.teacher.publish({"a.txt": TEN, "b.txt": TEN, "big.bin": os.urandom(9000)})
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        rule.cut = cut
        first = room.try_pull(url=url)
        assert first.state == "failed"
        assert not room.course.exists()
        rule.cut = None
        room.pull(url=url)
        room.write({"a.txt": f"mine\n{TEN}"})
        before = digest(room.course)
        room.teacher.publish({"a.txt": f"{TEN}course\n", "more.bin": os.urandom(9000)})
        rule.cut = cut
        result = room.try_pull(url=url)
        assert result.state in ("offline", "failed")
        assert result.message
        assert digest(room.course) == before
        rule.cut = None
        room.pull(url=url)
    assert room.files()["a.txt"] == f"mine\n{TEN}course\n"
    room.nothing_left()


def asked(rule: Rule) -> int:
    return len(rule.seen)


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_93_a_server_that_asks_to_wait_is_left_alone(
    room: Classroom, form: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [time.time()]
    monkeypatch.setattr("tests.integration.courses_classroom.time.time", lambda: now[0])
    room.teacher.publish({"a.txt": "a\n"})
    rule = Rule()
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        room.pull(url=url)
        room.teacher.publish({"a.txt": "a2\n"})
        rule.busy = "120" if form == "seconds" else formatdate(now[0] + 120, usegmt=True)
        result = room.try_pull(url=url)
        assert (result.state, result.code) == ("offline", "throttled")
        assert result.wait_seconds == pytest.approx(120, abs=3)
        count = asked(rule)
        rule.busy = None
        now[0] += 60
        again = room.try_pull(url=url)
        assert (again.state, again.code) == ("offline", "throttled")
        assert asked(rule) == count
        now[0] += 70
        room.pull(url=url)
    assert room.files() == {"a.txt": "a2\n"}


def test_94_busy_at_the_first_pull(room: Classroom) -> None:
    room.teacher.publish({"a.txt": "a\n"})
    with gate(room.teacher.served, Rule(busy="")) as address:
        result = room.try_pull(url=f"{address}/course.git")
    assert (result.state, result.code) == ("failed", "throttled")
    assert result.wait_seconds == throttle.USUAL_SECONDS


needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="another user needs root to be tried")


@pytest.fixture
def open_room() -> Iterator[Classroom]:
    """In a folder that every user can get to, unlike pytest's; from a server."""
    with tempfile.TemporaryDirectory(prefix="samepage-test-") as name:
        Path(name).chmod(0o755)
        room = Classroom(Path(name))
        with GitServer(room.teacher.served) as server:
            room.url = server.url("course")
            yield room


def pull_as_nobody(room: Classroom) -> Result:
    """In a process without rights. Everything is imported already: it may not be readable then."""
    room.try_pull(url="http://127.0.0.1:1/x.git", target="nowhere", state_dir=str(room.root / ".s"))
    shutil.rmtree(room.root / ".s")
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        with contextlib.suppress(BaseException):
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.chdir("/")
            os.write(writing, result_line(room.try_pull()).encode())
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as stream:
        said = parse(stream.read())
    os.waitpid(child, 0)
    assert isinstance(said, Result)
    return said


def hand_over(*folders: Path) -> None:
    for folder in folders:
        folder.mkdir(exist_ok=True)
        for path in [folder, *folder.rglob("*")]:
            os.lchown(path, NOBODY, NOBODY)


@needs_root
def test_95_a_folder_of_another_user(open_room: Classroom) -> None:
    room = open_room
    room.teacher.publish({"a.txt": TEN, "b.txt": TEN})
    hand_over(room.root, room.state)
    first = pull_as_nobody(room)
    assert first.state == "up_to_date", first.message
    # The home was moved, and now belongs to root; its group, or everybody, may write.
    for path in [room.course, *room.course.rglob("*")]:
        os.lchown(path, 0, 0)
        path.chmod(0o777 if path.is_dir() else 0o666)
    room.write({"a.txt": f"mine\n{TEN}"})
    room.teacher.publish({"a.txt": f"{TEN}course\n"})
    assert pull_as_nobody(room).state == "up_to_date"
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "b.txt": TEN}


@needs_root
def test_96_a_folder_without_write_permission(open_room: Classroom) -> None:
    room = open_room
    room.teacher.publish({"a.txt": TEN})
    hand_over(room.root, room.state)
    assert pull_as_nobody(room).state == "up_to_date"
    room.teacher.publish({"a.txt": "new\n"})
    room.course.chmod(0o555)
    result = pull_as_nobody(room)
    assert (result.state, result.code) == ("failed", "cannot_write")
    assert "Permission denied" in result.message
    assert room.files() == {"a.txt": TEN}
    room.course.chmod(0o755)
    assert pull_as_nobody(room).state == "up_to_date"
    assert room.files() == {"a.txt": "new\n"}


@pytest.fixture
def quota() -> Iterator[Path]:
    """A folder that may hold 3 MB, on a disk with room for more."""
    if os.geteuid() != 0 or shutil.which("mkfs.btrfs") is None:
        pytest.skip("a quota needs root and btrfs-progs")
    with tempfile.TemporaryDirectory(prefix="samepage-test-") as name:
        image, place = Path(name, "image"), Path(name, "disk")
        place.mkdir()
        with image.open("wb") as file:
            file.truncate(160 << 20)
        subprocess.run(["mkfs.btrfs", "-q", str(image)], check=True, capture_output=True)
        mounted = subprocess.run(
            ["mount", "-o", "loop", str(image), str(place)], capture_output=True, text=True
        )
        if mounted.returncode != 0:
            pytest.skip(f"no file system in a file here: {mounted.stderr.strip()}")
        try:
            for command in (
                ["quota", "enable", str(place)],
                ["subvolume", "create", str(place / "home")],
                ["qgroup", "limit", "3M", str(place / "home")],
            ):
                done = subprocess.run(["btrfs", *command], capture_output=True, text=True)
                if done.returncode != 0:
                    pytest.skip(f"quotas do not work here: {done.stderr.strip()}")
            yield place / "home"
        finally:
            subprocess.run(["umount", "-l", str(place)], check=True)


def test_97_the_quota_is_used_up(room: Classroom, quota: Path) -> None:
    room.root, room.course, room.state = quota, quota / "course", quota / "state"
    room.teacher.publish({"a.txt": TEN})
    room.pull()
    room.write({"a.txt": f"mine\n{TEN}"})
    room.teacher.publish({"a.txt": f"{TEN}course\n", "big.bin": os.urandom(4 << 20)})
    before = digest(room.course)
    result = room.try_pull()
    assert (result.state, result.code) == ("failed", "no_space"), result.message
    assert digest(room.course) == before
    room.teacher.publish({"big.bin": None})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n"}


def test_98_a_killed_merge_leaves_nothing_in_the_temporary_folder(
    room: Classroom, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nor does a merge need a place for temporary files."""
    room.teacher.publish({"a.txt": TEN})
    room.pull()
    room.write({"a.txt": f"mine\n{TEN}"})
    room.teacher.publish({"a.txt": f"{TEN}course\n"})
    nowhere = tmp_path / "nowhere"
    monkeypatch.setenv("TMPDIR", str(nowhere))
    monkeypatch.setattr(tempfile, "tempdir", str(nowhere))
    with contextlib.suppress(FileNotFoundError):
        room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n"}
