"""docs/courses/cache.md: one question per node, copies for all, nothing that pulls depend on."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from demo.git_server import Access, GitServer
from labext.courses.cache import CacheRefusedError, CacheSettings, find
from labext.courses.commands.cached import cache_note
from labext.courses.sync import fetch as fetching
from nodeagent.cli import main as agent_main
from nodeagent.coursecache import notice
from nodeagent.coursecache.folder import CacheBusyError, CacheFolder, CacheFolderError, locked
from nodeagent.coursecache.gitrun import Running
from nodeagent.coursecache.mirror import KEEP, Mirror
from nodeagent.coursecache.source import parse
from nodeagent.coursecache.sweep import prune_all
from tests.integration.agentrun import RunningAgent, wait_for
from tests.integration.courses_classroom import Classroom, kinds
from tests.integration.courses_upstream import git, unused_url

NOBODY = 65534
FORKS = pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
ROOT_ONLY = pytest.mark.skipif(os.geteuid() != 0, reason="needs root, to be somebody else")


class Node:
    """A class's git server, the cache of a node, and a student on it."""

    def __init__(self, base: Path) -> None:
        self.room = Classroom(base)
        self.room.teacher.publish({"a.txt": "one\n", "d/b.txt": "b\n"})
        self.accesses: list[Access] = []
        self.server = GitServer(self.room.teacher.served, on_access=self.accesses.append)
        self.url = self.room.url = self.server.url("course")
        self.folder = CacheFolder(path=base / "cache")
        self.room.environ = {
            **self.room.environ,
            "SAMEPAGE_COURSE_CACHE": str(self.folder.path),
            "SAMEPAGE_COURSE_CACHE_OWNER": str(os.geteuid()),
        }

    def mirror(self, url: str | None = None) -> Mirror:
        self.folder.prepare()
        source = parse(url or self.url)
        return Mirror(
            source=source, folder=self.folder.of(source), env=os.environ, running=Running()
        )

    def fetch(self, *, fresh: float = 600.0, ago: float = 0.0) -> Mirror:
        mirror = self.mirror()
        mirror.fetch(time.time() - ago, fresh)
        return mirror

    def asked(self) -> int:
        """How often the git server was asked since the last look."""
        # It writes down what it has answered a moment after git has it; then the connection goes.
        wait_for(lambda: not self.server._http._sockets, lambda: "connections stay open")
        count = len(self.accesses)
        self.accesses.clear()
        return count

    def close(self) -> None:
        self.server.close()


@pytest.fixture
def node(tmp_path: Path) -> Iterator[Node]:
    node = Node(tmp_path)
    try:
        yield node
    finally:
        node.close()


def test_a_pull_asks_the_node_and_nobody_else(node: Node) -> None:
    node.fetch()
    assert node.asked() > 0
    assert kinds(node.room.pull()) == {"a.txt": "new", "d/b.txt": "new"}
    assert node.room.pull().message == "Everything is up to date."
    node.room.teacher.publish({"a.txt": "two\n"})
    node.room.pull()
    assert node.asked() == 0
    assert node.room.files()["a.txt"] == "one\n"
    node.fetch()
    assert kinds(node.room.pull()) == {"a.txt": "updated"}
    assert node.room.files()["a.txt"] == "two\n"


def test_a_fetch_with_nothing_new_is_one_question_and_no_pack(node: Node) -> None:
    mirror = node.fetch()
    packs = set(mirror.repository.rglob("*.pack"))
    node.asked()
    assert not mirror.fetch(time.time(), 60.0).changed
    assert node.asked() == 2  # the protocol's greeting, and the list of branches
    assert set(mirror.repository.rglob("*.pack")) == packs


def test_what_a_student_has_does_not_depend_on_the_cache(node: Node) -> None:
    node.fetch()
    node.room.pull()
    shutil.rmtree(node.folder.path)
    git(node.room.repository, "fsck", "--strict")
    assert not (node.room.repository / "objects/info/alternates").exists()
    node.room.write({"a.txt": "mine\none\n"})
    node.room.teacher.publish({"a.txt": "one\ncourse\n"})
    node.room.pull()
    assert node.room.files()["a.txt"] == "mine\none\ncourse\n"


def test_news_are_asked_for_by_hand_and_come_from_the_node_when_it_has_them(node: Node) -> None:
    node.fetch()
    node.room.pull()
    node.room.teacher.publish({"a.txt": "two\n"})
    node.asked()
    assert kinds(node.room.pull(by_hand=True)) == {"a.txt": "updated"}
    assert any("upload-pack" in access.target for access in node.accesses)
    node.room.teacher.publish({"a.txt": "three\n"})
    node.fetch()
    node.asked()
    assert kinds(node.room.pull(by_hand=True)) == {"a.txt": "updated"}
    assert node.asked() == 2, "only asked where the branch is"


def test_what_the_node_knew_before_does_not_take_back_what_came_since(node: Node) -> None:
    node.fetch(ago=60.0)
    node.room.teacher.publish({"a.txt": "two\n"})
    node.room.pull(by_hand=True)
    assert node.room.files()["a.txt"] == "two\n"
    node.room.pull()
    assert node.room.files()["a.txt"] == "two\n"


def _absent(node: Node, mirror: Mirror) -> None:
    shutil.rmtree(node.folder.path)


def _stale(node: Node, mirror: Mirror) -> None:
    known = json.loads((mirror.folder / notice.FILE).read_text())
    (mirror.folder / notice.FILE).write_text(json.dumps({**known, "fetched_at": 1.0}))


def _from_the_future(node: Node, mirror: Mirror) -> None:
    known = json.loads((mirror.folder / notice.FILE).read_text())
    later = time.time() + 9000
    (mirror.folder / notice.FILE).write_text(json.dumps({**known, "fetched_at": later}))


def _no_json(node: Node, mirror: Mirror) -> None:
    (mirror.folder / notice.FILE).write_text("{")


def _no_objects(node: Node, mirror: Mirror) -> None:
    shutil.rmtree(mirror.repository / "objects" / "pack")


def _cut_pack(node: Node, mirror: Mirror) -> None:
    for pack in mirror.repository.rglob("*.pack"):
        os.truncate(pack, 40)


def _empty_refs(node: Node, mirror: Mirror) -> None:
    (mirror.repository / "packed-refs").write_text("")


@pytest.mark.parametrize(
    "harm",
    [_absent, _stale, _from_the_future, _no_json, _no_objects, _cut_pack, _empty_refs],
    ids=lambda harm: harm.__name__.strip("_"),
)
def test_without_a_sound_cache_the_git_server_is_asked(node: Node, harm: Any) -> None:
    mirror = node.fetch()
    harm(node, mirror)
    node.asked()
    node.room.pull()
    assert node.asked() > 0
    assert node.room.files() == {"a.txt": "one\n", "d/b.txt": "b\n"}


def test_another_course_is_not_taken_for_this_one(node: Node) -> None:
    node.fetch()
    other = node.url.replace("course.git", "other.git")
    assert node.room.try_pull(url=other).code == "repository_not_found"


def test_the_cache_dies_in_the_middle_of_a_pull(
    node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    mirror = node.fetch()
    real = fetching.from_node
    died: list[bool] = []

    def dying(*arguments: Any) -> bool:
        shutil.rmtree(mirror.repository / "objects")
        died.append(True)
        return real(*arguments)

    monkeypatch.setattr(fetching, "from_node", dying)
    node.room.pull()
    assert died
    assert node.room.files() == {"a.txt": "one\n", "d/b.txt": "b\n"}


def test_an_unreachable_server_and_a_cache_of_yesterday(node: Node) -> None:
    node.fetch(ago=86_400.0, fresh=60.0)
    node.close()
    result = node.room.pull()
    assert "cannot be reached; this is the course as of" in result.message
    assert node.room.files() == {"a.txt": "one\n", "d/b.txt": "b\n"}


def test_a_server_that_asked_to_be_left_alone_is(node: Node) -> None:
    mirror = node.fetch(ago=3600.0, fresh=60.0)
    mirror.throttled(time.time() + 300)
    node.asked()
    node.room.pull()
    assert node.asked() == 0


def test_rewritten_history_and_old_tips(node: Node) -> None:
    mirror = node.fetch(ago=10.0)
    old = git(mirror.repository, "rev-parse", "refs/heads/main")
    node.room.teacher.publish({"a.txt": "two\n"}, amend=True)
    git(node.room.teacher.work, "push", "-qf", "origin", "HEAD:exam")
    git(node.room.teacher.work, "push", "-q", "origin", ":exam")
    assert mirror.fetch(time.time(), 60.0).changed
    new = git(mirror.repository, "rev-parse", "refs/heads/main")
    assert new != old
    assert git(mirror.repository, "rev-parse", f"{KEEP}{old}") == old
    assert mirror.prune(time.time() + 100, retention=200.0) == 0
    assert mirror.prune(time.time() + 300, retention=200.0) == 1
    with pytest.raises(subprocess.CalledProcessError):
        git(mirror.repository, "cat-file", "-e", old)
    git(mirror.repository, "cat-file", "-e", new)
    assert node.room.pull().state == "up_to_date"


def test_pruning_and_repacking_while_students_pull(node: Node) -> None:
    mirror = node.fetch()
    stop = threading.Event()
    problems: list[BaseException] = []

    def until_free(act: Callable[[], object]) -> None:
        while True:
            with contextlib.suppress(CacheBusyError):
                act()
                return

    def keep() -> None:
        try:
            while not stop.is_set():
                until_free(lambda: mirror.prune(time.time() + 1e6, retention=1.0))
        except BaseException as err:  # noqa: BLE001 - shown below
            problems.append(err)

    def teach() -> None:
        try:
            for number in range(4):
                node.room.teacher.publish({"a.txt": f"{number}\n" * 500}, amend=True)
                until_free(lambda: mirror.fetch(time.time(), 600.0))
        except BaseException as err:  # noqa: BLE001 - shown below
            problems.append(err)

    threads = [threading.Thread(target=keep), threading.Thread(target=teach)]
    for thread in threads:
        thread.start()
    try:
        for _ in range(6):
            node.room.pull()
            shutil.rmtree(node.room.course)
    finally:
        threads[1].join()
        stop.set()
        threads[0].join()
    assert not problems
    mirror.fetch(time.time(), 600.0)
    node.room.pull()
    assert node.room.files()["a.txt"] == "3\n" * 500


def test_a_damaged_mirror_is_made_anew(node: Node) -> None:
    mirror = node.fetch()
    _cut_pack(node, mirror)
    mirror.fetch(time.time(), 600.0, verify=True)
    git(mirror.repository, "fsck")
    node.asked()
    node.room.pull()
    assert node.asked() == 0


def test_damage_that_a_fetch_meets_is_mended(node: Node) -> None:
    mirror = node.fetch()
    _cut_pack(node, mirror)
    node.room.teacher.publish({"a.txt": "two\n"})
    mirror.fetch(time.time(), 600.0)
    node.asked()
    node.room.pull()
    assert node.asked() == 0
    assert node.room.files()["a.txt"] == "two\n"


def test_what_a_killed_fetch_left_does_not_disturb(node: Node) -> None:
    mirror = node.fetch()
    (mirror.repository / "packed-refs.lock").touch()
    (mirror.repository / "objects/pack/tmp_pack_x").write_bytes(b"x")
    node.room.teacher.publish({"a.txt": "two\n"})
    assert mirror.fetch(time.time(), 600.0).changed
    assert not list(mirror.repository.rglob("tmp_*"))


def test_one_fetch_of_a_course_at_a_time(node: Node) -> None:
    mirror = node.fetch()
    with locked(mirror.folder), pytest.raises(CacheBusyError):
        mirror.fetch(time.time(), 60.0)


def test_a_course_that_is_not_listed_any_more_goes_in_the_end(node: Node) -> None:
    mirror = node.fetch()
    now = time.time()
    pruned = prune_all(node.folder, [], 100.0, os.environ, now + 50, Running())
    assert (pruned, mirror.folder.exists()) == ((0, 0), True)
    pruned = prune_all(node.folder, [], 100.0, os.environ, now + 150, Running())
    assert (pruned, mirror.folder.exists()) == ((0, 1), False)


@pytest.mark.parametrize("where", ["", "mirror.git", "mirror.git/objects/pack", notice.FILE])
def test_what_others_could_have_written_is_refused(node: Node, where: str) -> None:
    mirror = node.fetch()
    place = mirror.folder / where
    place.chmod(place.stat().st_mode | 0o002)
    with pytest.raises(CacheRefusedError, match="written by others"):
        _found(node)
    node.asked()
    node.room.pull()
    assert node.asked() > 0


def test_a_link_in_the_cache_is_refused(node: Node) -> None:
    mirror = node.fetch()
    packs = mirror.repository / "objects" / "pack"
    packs.rename(mirror.folder.parent / "elsewhere")
    packs.symlink_to(mirror.folder.parent / "elsewhere")
    with pytest.raises(CacheRefusedError, match="is a link"):
        _found(node)


def test_the_agent_does_not_fetch_into_what_others_can_write(node: Node) -> None:
    node.folder.prepare()
    node.folder.path.chmod(0o777)
    with pytest.raises(CacheFolderError, match="can be written by others"):
        node.fetch()


@ROOT_ONLY
def test_a_mirror_of_another_user_is_refused(node: Node) -> None:
    mirror = node.fetch()
    (pack,) = mirror.repository.rglob("*.pack")
    os.chown(pack, NOBODY, -1)
    with pytest.raises(CacheRefusedError, match=f"belongs to user {NOBODY}"):
        _found(node)


def _found(node: Node) -> object:
    from labext.courses.address import parse as address

    settings = CacheSettings(folder=node.folder.path, owner=os.geteuid())
    return find(settings, address(node.url))


@pytest.fixture
def open_node() -> Iterator[Node]:
    """One in a folder that others can enter."""
    base = Path(tempfile.mkdtemp(prefix="course-cache-"))
    base.chmod(0o755)
    node = Node(base)
    try:
        yield node
    finally:
        node.close()
        shutil.rmtree(base)


def as_nobody(act: Callable[[], str]) -> str:
    """What `act` returns in a process of another user."""
    receiver, sender = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setgid(NOBODY)
            os.setuid(NOBODY)
            os.write(sender, act().encode())
        finally:
            os._exit(0)
    os.close(sender)
    with os.fdopen(receiver) as stream:
        said = stream.read()
    os.waitpid(child, 0)
    return said


def _hold(lock: Path) -> None:
    with lock.open() as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)


def vandalize(folder: Path) -> str:
    """Try everything; what worked."""
    done = []
    for place in [folder, *folder.rglob("*")]:
        acts: list[Callable[[], object]] = [
            partial(place.open, "r+b"),
            place.unlink,
            partial(place.rename, f"{place}x"),
            partial(place.chmod, 0o777),
            partial((place / "fresh").write_text, "x"),
            partial((place / "link").symlink_to, "/etc"),
        ]
        if place.name == "lock":
            acts.append(partial(_hold, place))
        for number, act in enumerate(acts):
            with contextlib.suppress(OSError):
                act()
                done.append(f"{number} {place}")
    return repr(done)


@ROOT_ONLY
@FORKS
def test_a_student_cannot_poison_it(open_node: Node) -> None:
    mirror = open_node.fetch()
    assert as_nobody(lambda: vandalize(open_node.folder.path)) == "[]"
    (mirror.folder / "lock").chmod(0o666)
    assert "6 " in as_nobody(lambda: vandalize(mirror.folder)), "it would be seen"


@ROOT_ONLY
@FORKS
def test_a_student_with_another_user_id_pulls_from_it(open_node: Node) -> None:
    open_node.fetch()
    open_node.asked()
    room = open_node.room
    room.state.mkdir()
    for folder in (room.root, room.state):
        os.chown(folder, NOBODY, NOBODY)
    assert as_nobody(lambda: room.try_pull().state) == "up_to_date"
    assert room.files() == {"a.txt": "one\n", "d/b.txt": "b\n"}
    assert open_node.asked() == 0


def test_private_courses_are_kept_apart(tmp_path: Path, node: Node) -> None:
    secret = node.url.replace("http://", "http://reader:s3cretword@")
    node.folder.prepare()
    private = node.mirror(secret)
    private.fetch(time.time(), 60.0)
    assert private.folder.parent == node.folder.path / "private"
    assert (node.folder.path / "private").stat().st_mode & 0o777 == 0o700
    for file in private.folder.rglob("*"):
        if file.is_file():
            assert b"s3cretword" not in file.read_bytes()
    node.asked()
    node.room.pull()
    assert node.asked() == 0, "whoever has it mounted may use it"


def test_no_cache_at_all_costs_nothing(node: Node) -> None:
    node.room.environ.pop("SAMEPAGE_COURSE_CACHE")
    node.room.pull()
    result = node.room.pull(cache="relative/folder")
    assert result.state == "up_to_date"
    assert node.room.try_pull(url=unused_url(), cache="").state == "offline"


def test_the_doctor_tells_what_is_with_the_cache(node: Node) -> None:
    environ = node.room.environ
    now = time.time()
    assert cache_note(node.url, {}, now) is None
    assert "does not have this course" in (cache_note(node.url, environ, now) or "")
    mirror = node.fetch()
    assert "that is fresh" in (cache_note(node.url, environ, now) or "")
    assert "too old" in (cache_note(node.url, environ, now + 7200) or "")
    mirror.repository.chmod(0o777)
    assert "cannot be trusted" in (cache_note(node.url, environ, now) or "")


def test_the_agent_keeps_it_and_tells_how_much(node: Node, tmp_path: Path) -> None:
    agent = RunningAgent(
        *("--mode", "off", "--no-gpu", "--state-dir", str(tmp_path / "agent")),
        *("--course-cache", str(node.folder.path), "--course-cache-urls", node.url),
        *("--course-cache-interval", "10"),
        log=tmp_path / "agent.log",
    )
    try:
        wait_for(
            lambda: b"samepage_course_cache_fetches_total 1.0" in agent.get("/metrics")[2],
            lambda: agent.log.read_text(),
        )
        metrics = agent.get("/metrics")[2].decode()
    finally:
        assert agent.stop() == 0
    assert "samepage_course_cache_failing 0.0" in metrics
    assert 'samepage_collector_success{collector="course_cache"} 1.0' in metrics
    node.asked()
    node.room.pull()
    assert node.asked() == 0


def test_once_from_cron(
    node: Node, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NODEAGENT_COURSE_CACHE", str(node.folder.path))
    assert agent_main(["course-cache", "fetch", "--course-cache-urls", node.url]) == 0
    assert "new, " in capsys.readouterr().out
    gone = node.url.replace("course.git", "gone.git")
    assert agent_main(["course-cache", "fetch", "--course-cache-urls", gone]) == 1
    assert "failed" in capsys.readouterr().out
    assert agent_main(["course-cache", "status", "--course-cache-urls", node.url]) == 0
    assert node.url in capsys.readouterr().out
    assert agent_main(["course-cache", "prune", "--course-cache-urls", node.url]) == 0
    monkeypatch.delenv("NODEAGENT_COURSE_CACHE")
    assert agent_main(["course-cache", "status"]) == 2
