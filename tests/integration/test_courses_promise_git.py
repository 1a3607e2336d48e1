"""docs/courses/merging.md, cases 50 to 79: histories, servers, the student's own git."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.courses_classroom import Classroom, digest, kinds
from tests.integration.courses_upstream import git, silent_server, unused_url

TEN = "".join(f"line {n}\n" for n in range(10))
FIRST: dict[str, str | bytes | None] = {"a.txt": TEN, "lab/b.txt": "b\n"}


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish(FIRST)
    return room


def amend(room: Classroom) -> None:
    room.teacher.publish({"a.txt": TEN + "course\n"}, amend=True)


def squash(room: Classroom) -> None:
    git(room.teacher.work, "checkout", "-q", "--orphan", "fresh")
    room.teacher.publish({"a.txt": TEN + "course\n"})


@pytest.mark.parametrize("depth", [0, 1], ids=["whole-history", "newest-only"])
@pytest.mark.parametrize("rewrite", [amend, squash])
def test_50_history_rewritten(
    room: Classroom, rewrite: Callable[[Classroom], None], depth: int
) -> None:
    room.pull(depth=depth)
    room.write({"lab/b.txt": "mine\n", "a.txt": "mine\n" + TEN})
    rewrite(room)
    assert kinds(room.pull(depth=depth)) == {"a.txt": "merged"}
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "lab/b.txt": "mine\n"}
    room.teacher.publish({"lab/c.txt": "c\n"})
    assert kinds(room.pull(depth=depth)) == {"lab/c.txt": "new"}


def test_51_the_course_goes_back(room: Classroom) -> None:
    room.teacher.publish({"c.txt": "c\n", "a.txt": "new\n"})
    room.pull()
    git(room.teacher.work, "reset", "-q", "--hard", "HEAD~1")
    room.teacher.push()
    assert kinds(room.pull()) == {"a.txt": "updated", "c.txt": "deleted"}


@pytest.mark.parametrize("branch", [None, "master"])
def test_52_the_branch_was_renamed(room: Classroom, branch: str | None) -> None:
    git(room.teacher.bare, "branch", "-m", "main", "master")
    room.pull(branch=branch)
    room.write({"lab/b.txt": "mine\n"})
    git(room.teacher.bare, "update-ref", "-d", "refs/heads/master")
    git(room.teacher.bare, "symbolic-ref", "HEAD", "refs/heads/main")
    room.teacher.publish({"c.txt": "c\n"})
    assert kinds(room.pull(branch=branch)) == {"c.txt": "new"}
    assert room.files()["lab/b.txt"] == "mine\n"


def test_53_the_default_branch_leads_nowhere(room: Classroom) -> None:
    room.pull()
    git(room.teacher.bare, "symbolic-ref", "HEAD", "refs/heads/gone")
    room.teacher.publish({"c.txt": "c\n"})
    assert kinds(room.pull()) == {"c.txt": "new"}


def test_54_the_branch_is_gone(room: Classroom) -> None:
    room.teacher.push("fall")
    room.pull(branch="fall")
    git(room.teacher.bare, "branch", "-D", "fall")
    before = digest(room.course)
    result = room.try_pull(branch="fall")
    assert (result.state, result.code) == ("failed", "branch_not_found")
    assert digest(room.course) == before
    room.pull()


@pytest.mark.parametrize("kind", [[], ["-a", "-m", "tagged"]], ids=["light", "annotated"])
def test_55_a_tag(room: Classroom, kind: list[str]) -> None:
    git(room.teacher.work, "tag", *kind, "v1")
    git(room.teacher.work, "push", "-q", "origin", "v1")
    room.pull(branch="v1")
    assert room.pull(branch="v1").message == "Everything is up to date."
    git(room.teacher.work, "tag", "-f", *kind, "v1")
    room.teacher.publish({"c.txt": "c\n"})
    git(room.teacher.work, "tag", "-f", *kind, "v1")
    git(room.teacher.work, "push", "-qf", "origin", "v1")
    assert kinds(room.pull(branch="v1")) == {"c.txt": "new"}


def test_56_no_commits_yet(tmp_path: Path) -> None:
    room = Classroom(tmp_path)
    assert room.try_pull().code == "no_default_branch"
    room.teacher.publish(FIRST)
    room.pull()


def test_57_another_branch(room: Classroom) -> None:
    room.pull(branch="main")
    room.write({"a.txt": "mine\n" + TEN})
    git(room.teacher.work, "checkout", "-qb", "fall")
    room.teacher.publish({"a.txt": TEN + "fall\n"})
    room.teacher.push("fall")
    room.pull(branch="fall")
    assert room.files()["a.txt"] == f"mine\n{TEN}fall\n"


def clone(room: Classroom, *options: str) -> None:
    git(room.root, "clone", "-q", *options, room.url, "course")


@pytest.mark.parametrize("depth", [["--depth=1"], []], ids=["shallow", "whole"])
@pytest.mark.parametrize("rewritten", [False, True])
def test_58_a_clone_of_nbgitpullers_is_taken_over(
    room: Classroom, depth: list[str], rewritten: bool
) -> None:
    clone(room, *depth)
    room.write({"a.txt": "mine\n" + TEN, "own.txt": "own\n"})
    room.git("add", "-A")
    room.git("commit", "-qm", "Automatic commit by nbgitpuller")
    room.write({"lab/b.txt": "mine\n"})
    room.git("add", "lab/b.txt")
    before = digest(room.course / ".git")
    room.teacher.publish({"a.txt": TEN + "course\n", "c.txt": "c\n"}, amend=rewritten)
    assert kinds(room.pull()) == {"a.txt": "merged", "c.txt": "new"}
    assert room.files() == {
        "a.txt": f"mine\n{TEN}course\n",
        "lab/b.txt": "mine\n",
        "own.txt": "own\n",
        "c.txt": "c\n",
    }
    assert digest(room.course / ".git") == before


def student_conflict(room: Classroom) -> None:
    room.git("checkout", "-qb", "mine")
    room.write({"a.txt": "mine\n"})
    room.git("commit", "-qam", "mine")
    room.git("checkout", "-q", "main")
    room.write({"a.txt": "other\n"})
    room.git("commit", "-qam", "other")
    for arguments in (["merge", "mine"], ["rebase", "mine"]):
        try:
            room.git(*arguments)
        except Exception:  # noqa: BLE001 - a conflict is what is wanted
            return


def staged(room: Classroom) -> None:
    room.write({"a.txt": "staged\n" + TEN})
    room.git("add", "-A")
    room.write({"a.txt": "mine\n" + TEN})


def stashed(room: Classroom) -> None:
    room.write({"a.txt": "stashed\n" + TEN})
    room.git("stash")


def detached(room: Classroom) -> None:
    room.git("checkout", "-q", "--detach")


def hooked(room: Classroom) -> None:
    for name in ("pre-commit", "post-checkout", "post-merge", "reference-transaction"):
        hook = room.course / ".git/hooks" / name
        hook.write_text("#!/bin/sh\ntouch $HOME/hook-ran\nexit 1\n")
        hook.chmod(0o755)


def locked(room: Classroom) -> None:
    for name in ("index.lock", "HEAD.lock", "refs/heads/main.lock"):
        (room.course / ".git" / name).touch()


def emptied(room: Classroom) -> None:
    (room.course / ".git/index").write_bytes(b"")
    (room.course / ".git/refs/heads/main").write_bytes(b"")


def deleted(room: Classroom) -> None:
    shutil.rmtree(room.course / ".git")


def damaged(room: Classroom) -> None:
    for path in (room.course / ".git/objects").rglob("*"):
        if path.is_file():
            path.chmod(0o644)
            path.write_bytes(b"damaged")


def worktree(room: Classroom) -> None:
    (room.course / ".git").rename(room.root / "elsewhere")
    (room.course / ".git").write_text(f"gitdir: {room.root / 'elsewhere'}\n")


def lost(room: Classroom) -> None:
    shutil.rmtree(room.course / ".git")
    (room.course / ".git").write_text("gitdir: /nowhere\n")


STATES = [
    student_conflict,
    staged,
    stashed,
    detached,
    hooked,
    locked,
    emptied,
    deleted,
    damaged,
    worktree,
    lost,
]


@pytest.mark.parametrize("known", [False, True], ids=["adopted", "followed"])
@pytest.mark.parametrize("disturb", STATES)
def test_59_whatever_the_student_does_with_git(
    room: Classroom, disturb: Callable[[Classroom], None], known: bool
) -> None:
    clone(room, "--depth=1")
    if known:
        room.pull()
    disturb(room)
    mine = room.files()
    dot_git = room.course / ".git"
    before = digest(dot_git) if dot_git.is_dir() else ""
    room.teacher.publish({"lab/b.txt": "b2\n", "c.txt": "c\n"})
    room.pull()
    files = room.files()
    assert (files["lab/b.txt"], files["c.txt"]) == ("b2\n", "c\n")
    assert files["a.txt"] == mine["a.txt"]
    assert (digest(dot_git) if dot_git.is_dir() else "") == before
    assert not (room.root / "hook-ran").exists()
    room.teacher.publish({"lab/b.txt": "b3\n"}, amend=True)
    assert kinds(room.pull()) == {"lab/b.txt": "updated"}


CONFIGS = [
    "[commit]\n gpgsign = true\n[tag]\n gpgsign = true\n[merge]\n ff = only\n",
    "[color]\n ui = always\n[diff]\n renames = false\n mnemonicPrefix = true\n noprefix = true\n",
    "[core]\n quotepath = true\n autocrlf = true\n hooksPath = /hooks\n fsmonitor = /bin/false\n",
    "[core]\n bigFileThreshold = 1\n logAllRefUpdates = always\n bare = true\n worktree = /tmp\n",
    '[filter "x"]\n clean = false\n smudge = false\n required = 1\n[core]\nattributesFile = ~/at\n',
    "[transfer]\n fsckObjects = true\n[fetch]\n prune = true\n writeCommitGraph = true\n",
    "[init]\n templateDir = /nonexistent\n defaultObjectFormat = sha256\n[gc]\n auto = 1\n",
    "[protocol]\n allow = never\n[submodule]\n recurse = true\n[remote]\n pushDefault = x\n",
    "[broken\n",
    '[core]\n editor\n x = "\n',
]


@pytest.mark.parametrize("config", CONFIGS)
def test_60_any_git_config(room: Classroom, config: str) -> None:
    (room.root / ".gitconfig").write_text(config)
    (room.root / "at").write_text("* filter=x text eol=crlf\n")
    room.pull()
    room.write({"a.txt": "mine\n" + TEN})
    room.teacher.publish({"a.txt": TEN + "course\n", "lab/b.txt": "b2\n"})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "lab/b.txt": "b2\n"}


def test_61_any_git_variable(room: Classroom) -> None:
    room.environ |= {
        "GIT_DIR": "/nowhere",
        "GIT_WORK_TREE": "/nowhere",
        "GIT_INDEX_FILE": "/nowhere/index",
        "GIT_OBJECT_DIRECTORY": "/nowhere",
        "GIT_CONFIG_COUNT": "nonsense",
        "GIT_CONFIG_PARAMETERS": "nonsense",
        "GIT_NAMESPACE": "x",
        "GIT_EXTERNAL_DIFF": "/bin/false",
        "GIT_TRACE": str(room.root / "trace"),
    }
    room.pull()
    room.teacher.publish({"lab/b.txt": "b2\n"})
    assert kinds(room.pull()) == {"lab/b.txt": "updated"}
    assert sorted(path.name for path in room.root.iterdir()) == ["course"]


def test_62_attributes_and_filters_of_the_course(room: Classroom) -> None:
    attributes = (
        "*.txt filter=lfs diff=lfs merge=lfs -text ident\n*.md working-tree-encoding=UTF-16\n"
    )
    room.teacher.publish({".gitattributes": attributes, "i.txt": "$Id$\n"})
    room.pull()
    assert room.files()["i.txt"] == "$Id$\n"
    assert room.pull().message == "Everything is up to date."


def test_63_a_submodule_is_named(room: Classroom, tmp_path: Path) -> None:
    room.pull()
    commit = git(room.teacher.work, "rev-parse", "HEAD")
    git(room.teacher.work, "update-index", "--add", "--cacheinfo", f"160000,{commit},sub")
    git(room.teacher.work, "commit", "-qm", "sub")
    room.teacher.push()
    (room.teacher.work / "sub").mkdir()
    room.teacher.publish({"c.txt": "c\n"})
    result = room.pull()
    assert "sub" in result.message
    assert room.files()["c.txt"] == "c\n"
    room.write({"sub/mine.txt": "mine\n"})
    room.teacher.publish({"d.txt": "d\n"})
    room.pull()
    assert room.files()["sub/mine.txt"] == "mine\n"


def test_64_a_folder_of_handouts_that_came_by_mail(room: Classroom) -> None:
    room.write({"a.txt": "mine\n" + TEN, "lab/b.txt": "b\n", "own.txt": "own\n"})
    room.teacher.publish({"a.txt": TEN + "course\n", "lab/b.txt": "b2\n", "c.txt": "c\n"})
    assert kinds(room.pull()) == {"a.txt": "merged", "lab/b.txt": "updated", "c.txt": "new"}
    assert room.files()["a.txt"] == f"mine\n{TEN}course\n"
    assert room.pull().message == "Everything is up to date."


def test_65_a_plain_folder_with_names_of_the_course(room: Classroom) -> None:
    room.write({"a.txt": "something else\n", "own.txt": "own\n"})
    result = room.pull()
    assert kinds(result)["a.txt"] == "kept_yours"
    assert room.files()["a.txt"] == "something else\n"
    assert room.beside("a.txt", "course") == [TEN]
    assert room.files()["lab/b.txt"] == "b\n"
    room.teacher.publish({"a.txt": TEN + "2\n"})
    room.pull()
    assert room.files()["a.txt"] == "something else\n"


def test_66_the_private_repository_is_damaged(room: Classroom) -> None:
    room.pull()
    room.write({"a.txt": "mine\n" + TEN})
    for path in (room.repository / "objects").rglob("*.pack"):
        path.chmod(0o644)
        path.write_bytes(b"damaged")
    room.teacher.publish({"a.txt": TEN + "course\n", "lab/b.txt": "b2\n"})
    room.pull()
    assert room.files()["lab/b.txt"] == "b2\n"
    assert room.files()["a.txt"] == f"mine\n{TEN}course\n"


@pytest.mark.parametrize("name", ["HEAD", "config", "refs/samepage/base", "samepage-state.json"])
def test_67_a_file_of_the_private_repository_is_empty(room: Classroom, name: str) -> None:
    room.pull()
    (room.repository / name).write_bytes(b"")
    for lock in ("HEAD.lock", "config.lock", "refs/samepage/base.lock", "shallow.lock"):
        (room.repository / lock).touch()
    room.write({"a.txt": "mine\n" + TEN})
    room.teacher.publish({"a.txt": TEN + "course\n", "lab/b.txt": "b2\n"})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "lab/b.txt": "b2\n"}


def test_68_all_that_was_known_is_lost(room: Classroom) -> None:
    room.pull()
    room.write({"a.txt": "mine\n" + TEN})
    shutil.rmtree(room.state)
    room.teacher.publish({"a.txt": TEN + "course\n", "lab/b.txt": "b2\n"})
    room.pull()
    assert room.files() == {"a.txt": f"mine\n{TEN}course\n", "lab/b.txt": "b2\n"}


def test_69_the_folder_was_renamed(room: Classroom) -> None:
    room.pull()
    room.write({"a.txt": "mine\n"})
    room.course.rename(room.root / "old")
    room.pull()
    assert room.files() == FIRST
    assert (room.root / "old/a.txt").read_text() == "mine\n"
    room.teacher.publish({"a.txt": "new\n"})
    assert kinds(room.pull()) == {"a.txt": "updated"}


def test_70_the_address_leads_to_another_course(room: Classroom, tmp_path: Path) -> None:
    room.pull()
    (tmp_path / "other").mkdir()
    other = Classroom(tmp_path / "other")
    other.teacher.publish({"z.txt": "z\n"})
    before = digest(room.course)
    assert room.try_pull(url=other.url).code == "folder_occupied"
    assert digest(room.course) == before
    room.pull()


def raw_tree(room: Classroom, mode: bytes, name: str, child: str) -> str:
    """A tree that no git of a teacher would make."""
    done = subprocess.run(
        ["git", "hash-object", "-t", "tree", "-w", "--literally", "--stdin"],
        cwd=room.teacher.work,
        input=b"%b %b\0%b" % (mode, name.encode(), bytes.fromhex(child)),
        capture_output=True,
        check=True,
    )
    return done.stdout.decode().strip()


@pytest.mark.parametrize("name", [".git/config", ".GIT/x", "a/.git/hooks/post-checkout"])
def test_71_a_course_that_would_write_into_git_data(room: Classroom, name: str) -> None:
    blob = git(room.teacher.work, "rev-parse", "HEAD:a.txt")
    tree = raw_tree(room, b"100644", name.split("/")[-1], blob)
    for part in reversed(name.split("/")[:-1]):
        tree = raw_tree(room, b"40000", part, tree)
    commit = git(room.teacher.work, "commit-tree", tree, "-m", "evil")
    git(room.teacher.work, "push", "-qf", "origin", f"{commit}:refs/heads/main")
    result = room.try_pull()
    assert result.state in ("up_to_date", "failed")
    assert not list(room.root.rglob("config"))
    assert not list(room.root.rglob("post-checkout"))


def test_72_offline(room: Classroom) -> None:
    room.pull()
    before = digest(room.course)
    result = room.try_pull(url=unused_url())
    assert result.state == "offline"
    assert digest(room.course) == before
    room.pull()


def test_73_a_server_that_hangs(room: Classroom) -> None:
    room.pull()
    with silent_server() as url:
        begun = time.monotonic()
        assert room.try_pull(url=url, connect_timeout_seconds=0.3).state == "offline"
        assert time.monotonic() - begun < 5


def test_74_nothing_else_is_touched(room: Classroom) -> None:
    (room.root / "beside.txt").write_text("x\n")
    git(room.root, "init", "-q")
    room.pull()
    room.write({"a.txt": "mine\n"})
    room.teacher.publish({"a.txt": "b\n", "up.txt": "u\n"})
    before = digest(room.root / ".git")
    room.pull()
    assert digest(room.root / ".git") == before
    assert sorted(os.listdir(room.root)) == [".git", "beside.txt", "course"]  # noqa: PTH208
