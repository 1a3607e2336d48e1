"""docs/courses.md, what an operator asks of a course: parts of it, dates, data, submodules, LFS."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from labext.courses.rules import ReadOnly, Rules, Window
from tests.integration.courses_classroom import Classroom, kinds
from tests.integration.courses_gate import Rule, gate
from tests.integration.courses_upstream import Teacher, git

TEN = "".join(f"line {n}\n" for n in range(10))


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    return Classroom(tmp_path)


def size_of(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


@pytest.mark.parametrize("able", [True, False], ids=["server-filters", "server-does-not"])
def test_a_part_of_a_course(room: Classroom, able: bool) -> None:
    git(room.teacher.bare, "config", "uploadpack.allowFilter", str(able).lower())
    git(room.teacher.bare, "config", "uploadpack.allowAnySHA1InWant", str(able).lower())
    big = os.urandom(2 << 20)
    room.teacher.publish({"labs/a.txt": TEN, "labs/b.txt": "b\n", "big.bin": big, "top.md": "t\n"})
    rules = Rules(include=("labs", "top.md"))
    room.pull(rules=rules)
    assert room.files() == {"labs/a.txt": TEN, "labs/b.txt": "b\n", "top.md": "t\n"}
    if able:
        assert size_of(room.repository) < 200_000
    room.write({"labs/a.txt": f"mine\n{TEN}"})
    room.teacher.publish(
        {
            "labs/a.txt": f"{TEN}course\n",
            "labs/b.txt": None,
            "labs/c.txt": "b\n",
            "big.bin": big[1:],
        }
    )
    room.pull(rules=rules)
    assert room.files() == {
        "labs/a.txt": f"mine\n{TEN}course\n",
        "labs/c.txt": "b\n",
        "top.md": "t\n",
    }
    assert room.pull(rules=rules).message == "Everything is up to date."
    # All of it from now on.
    room.pull()
    assert (room.course / "big.bin").read_bytes() == big[1:]
    assert room.files()["labs/a.txt"] == f"mine\n{TEN}course\n"


def test_a_server_that_filters_but_gives_no_single_file(room: Classroom) -> None:
    room.teacher.publish({"labs/a.txt": "a\n", "b.txt": "b\n"})
    git(room.teacher.bare, "config", "uploadpack.allowFilter", "true")
    # The old protocol, in which only what a branch leads to can be asked for.
    (room.root / ".gitconfig").write_text("[protocol]\nversion = 0\n")
    room.pull(rules=Rules(include=("labs",)))
    assert room.files() == {"labs/a.txt": "a\n"}


def test_a_folder_that_is_there_already_is_taken_over_in_part(room: Classroom) -> None:
    room.teacher.publish({"labs/a.txt": TEN, "b.txt": "b\n"})
    git(room.root, "clone", "-q", room.url, "course")
    room.write({"labs/a.txt": f"mine\n{TEN}"})
    room.teacher.publish({"labs/a.txt": f"{TEN}course\n"})
    room.pull(rules=Rules(include=("labs",)))
    assert room.files() == {"labs/a.txt": f"mine\n{TEN}course\n"}


class At:
    """A clock that is set."""

    def __init__(self, room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr("tests.integration.courses_classroom.time.time", lambda: self.now)


def test_release_and_close(room: Classroom, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = At(room, monkeypatch)
    rules = Rules(
        release=(
            Window(path="lab1", closes=3000.0),
            Window(path="lab2", opens=2000.0),
            Window(path="lab2/extra", opens=4000.0),
        )
    )
    room.teacher.publish(
        {"lab1/a.txt": "1\n", "lab2/b.txt": "2\n", "lab2/extra/c.txt": "3\n", "d.txt": "4\n"}
    )
    room.pull(rules=rules)
    assert room.files() == {"lab1/a.txt": "1\n", "d.txt": "4\n"}
    assert room.pull(rules=rules).message == "Everything is up to date."
    clock.now = 2000.0
    assert kinds(room.pull(rules=rules)) == {"lab2/b.txt": "new"}
    room.write({"lab1/a.txt": "mine\n"})
    clock.now = 3000.0
    room.teacher.publish({"lab1/a.txt": "solution\n", "lab1/new.txt": "n\n", "lab2/b.txt": "22\n"})
    assert kinds(room.pull(rules=rules)) == {"lab2/b.txt": "updated"}
    assert room.files() == {"lab1/a.txt": "mine\n", "lab2/b.txt": "22\n", "d.txt": "4\n"}
    room.teacher.publish({"lab1/a.txt": None})
    room.pull(rules=rules)
    assert room.files()["lab1/a.txt"] == "mine\n"
    clock.now = 4000.0
    assert kinds(room.pull(rules=rules)) == {"lab2/extra/c.txt": "new"}
    # The dates go: what was put off comes.
    room.teacher.publish({"lab1/new.txt": "n2\n"})
    room.pull()
    assert room.files()["lab1/new.txt"] == "n2\n"


def test_read_only_data(room: Classroom) -> None:
    rules = Rules(readonly=(ReadOnly(path="data"),))
    room.teacher.publish({"data/d.csv": "1\n", "a.txt": "a\n"})
    room.pull(rules=rules)
    file = room.course / "data/d.csv"
    assert stat.S_IMODE(file.stat().st_mode) & 0o222 == 0
    assert stat.S_IMODE((room.course / "a.txt").stat().st_mode) & 0o200
    file.chmod(0o644)
    room.write({"data/d.csv": "mine\n"})
    room.teacher.publish({"data/e.csv": "e\n"})
    room.pull(rules=rules)
    assert room.files()["data/d.csv"] == "1\n"
    assert room.beside("data/d.csv", "yours") == ["mine\n"]
    room.teacher.publish({"data/d.csv": "2\n"})
    assert kinds(room.pull(rules=rules)) == {"data/d.csv": "updated"}
    assert stat.S_IMODE(file.stat().st_mode) & 0o222 == 0
    room.teacher.publish({"data/d.csv": None})
    room.pull(rules=rules)
    assert "data/d.csv" not in room.files()


def test_data_that_the_node_has(room: Classroom, tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    (shared / "big.csv").write_text("big\n")
    room.teacher.publish({"data/small.csv": "s\n", "a.txt": "a\n"})
    room.pull()
    room.write({"data/mine.txt": "mine\n"})
    rules = Rules(readonly=(ReadOnly(path="data", link=str(shared)),))
    room.pull(rules=rules)
    assert (room.course / "data/big.csv").read_text() == "big\n"
    assert room.files()["data"] == f"-> {shared}"
    aside = next(path for path in room.course.iterdir() if path.name.startswith("data__yours_"))
    assert (aside / "mine.txt").read_text() == "mine\n"
    assert room.pull(rules=rules).message == "Everything is up to date."
    assert (shared / "big.csv").read_text() == "big\n"


def test_what_was_deleted_may_stay_away(room: Classroom) -> None:
    rules = Rules(deleted="keep")
    room.teacher.publish({"a.txt": "a\n", "b.txt": "b\n"})
    room.pull(rules=rules)
    room.write({"a.txt": None})
    assert room.pull(rules=rules).message == "Everything is up to date."
    room.teacher.publish({"a.txt": "a2\n", "b.txt": "b2\n"})
    room.pull(rules=rules)
    assert room.files() == {"b.txt": "b2\n"}
    # All of it deleted is how people start over.
    room.write({"b.txt": None})
    room.pull(rules=rules)
    assert room.files() == {"a.txt": "a2\n", "b.txt": "b2\n"}


def add_submodule(teacher: Teacher, path: str, url: str, commit: str) -> None:
    with (teacher.work / ".gitmodules").open("a") as file:
        file.write(f'[submodule "{path}"]\n\tpath = {path}\n\turl = {url}\n')
    git(teacher.work, "add", ".gitmodules")
    git(teacher.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},{path}")
    git(teacher.work, "commit", "-qm", f"submodule {path}")
    teacher.push()


def head(teacher: Teacher) -> str:
    return git(teacher.work, "rev-parse", "HEAD")


def bump(teacher: Teacher, path: str, commit: str) -> None:
    git(teacher.work, "update-index", "--cacheinfo", f"160000,{commit},{path}")
    git(teacher.work, "commit", "-qm", "bump")
    teacher.push()


def test_submodules_are_part_of_the_course(room: Classroom, tmp_path: Path) -> None:
    inner, sub = Teacher(tmp_path, "inner"), Teacher(tmp_path, "sub")
    inner.publish({"i.txt": "i\n"})
    sub.publish({"s.txt": TEN})
    add_submodule(sub, "in", "./../inner.git", head(inner))
    room.teacher.publish({"a.txt": "a\n"})
    add_submodule(room.teacher, "lib/sub", "../sub.git", head(sub))
    room.pull()
    assert room.files() | {".gitmodules": "", "lib/sub/.gitmodules": ""} == {
        "a.txt": "a\n",
        "lib/sub/s.txt": TEN,
        "lib/sub/in/i.txt": "i\n",
        ".gitmodules": "",
        "lib/sub/.gitmodules": "",
    }
    room.write({"lib/sub/s.txt": f"mine\n{TEN}"})
    (sub.work / "in").mkdir()
    sub.publish({"s.txt": f"{TEN}course\n"})
    # Only the commit that the course names counts.
    assert room.pull().message == "Everything is up to date."
    bump(room.teacher, "lib/sub", head(sub))
    assert kinds(room.pull()) == {"lib/sub/s.txt": "merged"}
    assert room.files()["lib/sub/s.txt"] == f"mine\n{TEN}course\n"
    assert room.pull().message == "Everything is up to date."
    room.nothing_left()


def test_a_submodule_that_is_out_of_reach_comes_later(room: Classroom, tmp_path: Path) -> None:
    sub = Teacher(tmp_path, "sub")
    sub.publish({"s.txt": "s\n"})
    room.teacher.publish({"a.txt": "a\n"})
    add_submodule(room.teacher, "sub", "../sub.git", head(sub))
    hidden = sub.bare.rename(tmp_path / "hidden")
    result = room.pull()
    assert "Not included: sub" in result.message
    assert room.files().keys() == {"a.txt", ".gitmodules"}
    hidden.rename(sub.bare)
    assert kinds(room.pull()) == {"sub/s.txt": "new"}
    # And when it is gone again, what is there stays.
    sub.publish({"s.txt": "s2\n"})
    bump(room.teacher, "sub", head(sub))
    sub.bare.rename(hidden)
    result = room.pull()
    assert "Not included: sub" in result.message
    assert room.files()["sub/s.txt"] == "s\n"


def test_a_submodule_in_itself_ends(room: Classroom) -> None:
    room.teacher.publish({"a.txt": "a\n"})
    add_submodule(room.teacher, "me", "../course.git", head(room.teacher))
    room.pull()
    assert room.files()["me/a.txt"] == "a\n"
    for _ in range(3):
        bump(room.teacher, "me", head(room.teacher))
    room.pull()


def test_a_submodule_of_this_machine_is_not_read(room: Classroom, tmp_path: Path) -> None:
    sub = Teacher(tmp_path / "other", "sub")
    sub.publish({"s.txt": "s\n"})
    room.teacher.publish({"a.txt": "a\n"})
    add_submodule(room.teacher, "sub", sub.bare.as_uri(), head(sub))
    with gate(room.teacher.served, Rule()) as address:
        result = room.pull(url=f"{address}/course.git")
    assert "a folder of this machine" in result.message
    assert "sub/s.txt" not in room.files()


def test_submodules_may_be_left_out(room: Classroom, tmp_path: Path) -> None:
    sub = Teacher(tmp_path, "sub")
    sub.publish({"s.txt": "s\n"})
    room.teacher.publish({"a.txt": "a\n"})
    add_submodule(room.teacher, "sub", "../sub.git", head(sub))
    result = room.pull(rules=Rules(submodules=False))
    assert "Not included: sub: another repository" in result.message


def with_lfs(room: Classroom, rule: Rule, name: str, content: bytes) -> None:
    room.teacher.publish(
        {".gitattributes": "*.bin filter=lfs diff=lfs merge=lfs -text\n", name: rule.keep(content)}
    )


needs_lfs = pytest.mark.skipif(shutil.which("git-lfs") is None, reason="git-lfs is not installed")


@needs_lfs
def test_large_files_have_their_content(room: Classroom) -> None:
    rule = Rule()
    first, second = os.urandom(300_000), os.urandom(300_000)
    with_lfs(room, rule, "data/x.bin", first)
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        room.pull(url=url)
        assert (room.course / "data/x.bin").read_bytes() == first
        assert room.pull(url=url).message == "Everything is up to date."
        with_lfs(room, rule, "data/x.bin", second)
        assert kinds(room.pull(url=url)) == {"data/x.bin": "updated"}
        assert (room.course / "data/x.bin").read_bytes() == second
        asked = len([path for path, _ in rule.seen if path.endswith("/batch")])
        room.teacher.publish({"b.txt": "b\n"})
        room.pull(url=url)
        assert len([path for path, _ in rule.seen if path.endswith("/batch")]) == asked
        room.write({"data/x.bin": b"mine"})
        with_lfs(room, rule, "data/x.bin", first)
        room.pull(url=url)
        assert (room.course / "data/x.bin").read_bytes() == b"mine"
        assert not (room.repository / "lfs").exists()


@needs_lfs
@pytest.mark.parametrize("lie", [b"", b"something else"], ids=["gone", "wrong"])
def test_a_large_file_that_does_not_arrive(room: Classroom, lie: bytes) -> None:
    rule = Rule()
    content = os.urandom(14)
    with_lfs(room, rule, "x.bin", content)
    true = dict(rule.large)
    rule.large = dict.fromkeys(true, lie) if lie else {}
    with gate(room.teacher.served, rule) as address:
        url = f"{address}/course.git"
        result = room.pull(url=url)
        assert "Not included: x.bin" in result.message
        assert room.files().keys() == {".gitattributes"}
        rule.large = true
        assert kinds(room.pull(url=url)) == {"x.bin": "new"}
        assert (room.course / "x.bin").read_bytes() == content


def test_without_git_lfs_no_pointer_replaces_data(
    room: Classroom, monkeypatch: pytest.MonkeyPatch
) -> None:
    rule = Rule()
    room.teacher.publish({"x.bin": b"real data"})
    room.pull()
    with_lfs(room, rule, "x.bin", os.urandom(1000))
    monkeypatch.setattr("labext.courses.sync.large.shutil.which", _without("git-lfs"))
    result = room.pull()
    assert "needs git-lfs" in result.message
    assert (room.course / "x.bin").read_bytes() == b"real data"
    assert room.pull().message == "Everything is up to date."
    # Unless the pointers are what is wanted.
    room.pull(rules=Rules(lfs=False))
    assert b"git-lfs" in (room.course / "x.bin").read_bytes()


def _without(name: str) -> Callable[[str], Any]:
    real = shutil.which
    return lambda asked: None if asked == name else real(asked)


def test_a_partial_repository_asks_nobody_behind_our_back(room: Classroom) -> None:
    """What is missing is named, not fetched: every network call is one that has its limits."""
    git(room.teacher.bare, "config", "uploadpack.allowFilter", "true")
    git(room.teacher.bare, "config", "uploadpack.allowAnySHA1InWant", "true")
    room.teacher.publish({"labs/a.txt": "a\n", "b.txt": "b\n"})
    room.pull(rules=Rules(include=("labs",)))
    from labext.courses.commands.choose import local_environment
    from labext.courses.sync.repository import UPSTREAM, Repository

    repository = Repository(room.repository, local_environment(room.course))
    assert repository.is_partial()
    done = subprocess.run(
        ["git", "cat-file", "-p", f"{UPSTREAM}:b.txt"],
        cwd=repository.path,
        env=repository.local_env,
        capture_output=True,
    )
    assert done.returncode != 0
