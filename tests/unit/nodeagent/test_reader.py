"""Reader and tuner: the wire between them, and what a tuner does without its reader."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.config import load
from nodeagent.errors import AgentError, ConfigError, PortError
from nodeagent.kernels.count import DonorKernel, ImageCount, KernelCount, Told, UnlikeKernels
from nodeagent.ksm.decide import START, KsmPolicy, decide
from nodeagent.ksm.facts import KsmFacts
from nodeagent.ksm.local import LocalProcesses, ProcessReading
from nodeagent.ksm.processes import UNKNOWN
from nodeagent.ksm.sources import facts_of
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.ksm.unmerge import objection
from nodeagent.preflight import findings
from nodeagent.reader import client
from nodeagent.reader.client import RemoteProcesses, ask
from nodeagent.reader.peer import is_trusted
from nodeagent.reader.serve import Reader, bind_facts, check_reader, socket_of
from nodeagent.reader.wire import decode, decode_arrivals, encode, encode_arrivals
from nodeagent.workloads.memcg import Charge
from tests.unit.nodeagent.support import FakeRoot, build_root, opted, sample

POD = "0::/kubepods/pod12345678-1234-1234-1234-123456789abc/" + "a" * 64


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    made = build_root(tmp_path)
    made.process(200, private_mib=100, cgroup=POD)
    made.process(201, private_mib=20, rmap_items=512, cgroup=POD)
    made.process(300, private_mib=7, merge_any=False)
    return made


def local(root: FakeRoot) -> LocalProcesses:
    return LocalProcesses(root.proc, page_bytes=4096)


KERNELS = KernelCount(
    images=(ImageCount(image="course:1", alike=12, drifted=2, causes=("/home/a/lib", "b")),),
    silent=1,
    unlike=(
        UnlikeKernels(
            kind="pod", name="p", image="course:1", state="drifted", kernels=2, cause="/home/a/lib"
        ),
    ),
    told=(Told(asker="ab", kernel="k", code="folder", name="/home/a/lib"),),
    donors=(DonorKernel(pid=3, state="alike", image="course:1", cause="", students=4, asked="0f"),),
)
CHARGE = Charge(
    path="/kubepods/a",
    limit_bytes=100,
    working_bytes=50,
    anon_bytes=40,
    mapped_bytes=30,
    merged_bytes=20,
)


@contextmanager
def reader(root: FakeRoot, path: Path) -> Iterator[None]:
    """A reader in a thread of its own."""
    ready = threading.Event()
    ended: list[asyncio.Event] = []
    loops: list[asyncio.AbstractEventLoop] = []

    async def serve() -> None:
        one = Reader(local(root), total_bytes=2**33, allowed=(), clock=lambda: 5.0)
        server = await asyncio.start_unix_server(one.answer, sock=bind_facts(path))
        ended.append(asyncio.Event())
        loops.append(asyncio.get_running_loop())
        ready.set()
        async with server:
            await ended[0].wait()

    thread = threading.Thread(target=lambda: asyncio.run(serve()))
    thread.start()
    assert ready.wait(10)
    try:
        yield
    finally:
        loops[0].call_soon_threadsafe(ended[0].set)
        thread.join()
        path.unlink()


def test_the_wire_keeps_every_value(root: FakeRoot) -> None:
    taken = replace(local(root).read(5.0, 2**33), charges=(CHARGE,), kernels=KERNELS)
    assert len(taken.opted_in.members) == 2
    assert decode(encode(taken)) == taken
    nothing = ProcessReading(opted_in=UNKNOWN, charges=(), ksmd_cpu_seconds=None)
    assert decode(encode(nothing)) == nothing
    assert decode_arrivals(encode_arrivals(True)) is True


@pytest.mark.parametrize(
    "change",
    [
        {"format": 1},
        {"kernels": {"images": [{}], "silent": 0}},
        {"kernels": 5},
        {"ksmd_cpu_seconds": "5"},
        {"charges": [{"path": "/a"}]},
        {"charges": 5},
        {"opted_in": None},
        {"opted_in": {}},
    ],
)
def test_what_is_no_reading_is_refused(root: FakeRoot, change: dict[str, object]) -> None:
    good = json.loads(encode(local(root).read(5.0, 2**33)))
    with pytest.raises(ValueError, match=r".+"):
        decode(json.dumps(good | change).encode())


def test_a_number_that_is_none_is_refused(root: FakeRoot) -> None:
    good = json.loads(encode(local(root).read(5.0, 2**33)))
    good["opted_in"]["members"][0]["private_bytes"] = True
    with pytest.raises(ValueError, match=r"Member.private_bytes is True"):
        decode(json.dumps(good).encode())


def test_the_tuner_knows_what_the_reader_reads(root: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "run/facts.sock"
    ksm = KsmDir(root.sys)
    alone = KsmFacts(ksm, root.proc, clock=lambda: 5.0, page_bytes=4096)
    bare = tmp_path / "bare"
    bare.mkdir()
    # The tuner's own procfs has the machine's numbers and none of the processes.
    for name in ("meminfo", "sys"):
        (bare / name).symlink_to(root.proc / name)
    apart = KsmFacts(ksm, bare, clock=lambda: 5.0, page_bytes=4096, processes=RemoteProcesses(path))
    with reader(root, path):
        assert apart.read() == alone.read()
        assert apart.arrivals() is False
        root.process(400, private_mib=50)
        assert apart.arrivals() is True


def test_a_short_absence_is_bridged_then_said(root: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    remote = RemoteProcesses(path)
    with reader(root, path):
        known = remote.read(100.0, 2**33)
    assert known.opted_in.processes == 2
    assert remote.read(109.0, 2**33) == known
    gone = remote.read(111.0, 2**33)
    assert gone.opted_in == UNKNOWN
    assert gone.blind is not None
    assert gone.blind.code == "reader-away"
    assert str(path) in gone.blind.message
    assert remote.arrivals(111.0) is False
    with reader(root, path):
        assert remote.read(112.0, 2**33).blind is None


def test_without_its_reader_ksmd_stands() -> None:
    away = RemoteProcesses(Path("/nonexistent/facts.sock")).read(0.0, 1).blind
    seen = sample(time=1002.0, run=1, pages_sharing=500, opted_in=UNKNOWN, blind=away)
    running = decide(sample(opted_in=opted(3, 300)), START, KsmPolicy())
    assert running.phase == "burst"
    for guard in (True, False):
        goal = decide(seen, running, KsmPolicy(limit_guard=guard))
        assert goal.phase == "hold"
        assert goal.knobs is not None
        assert goal.knobs.run is False


def test_a_stranger_is_not_believed(
    root: FakeRoot, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "facts.sock"
    with reader(root, path):
        monkeypatch.setattr(client, "peer_uid", lambda connection: 4242)
        blind = RemoteProcesses(path).read(0.0, 2**33).blind
        assert blind is not None
        assert "user 4242" in blind.message
        assert RemoteProcesses(path, allowed=((4000, 5000),)).read(0.0, 2**33).blind is None


def test_who_is_trusted() -> None:
    assert is_trusted(0, ())
    assert is_trusted(os.geteuid(), ())
    assert not is_trusted(4242, ())
    assert is_trusted(4242, ((4242, 4242),))


def test_an_unknown_question_gets_no_answer(root: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    with reader(root, path), pytest.raises(ConnectionError, match="without a whole answer"):
        ask(path, b"environ 1\n", ())


def test_an_answer_without_end_is_cut(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client, "MOST_BYTES", 1000)
    path = tmp_path / "facts.sock"
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(path))
        opened.listen()

        def flood() -> None:
            peer, _ = opened.accept()
            with peer:
                peer.recv(100)
                peer.sendall(b"x" * 5000)

        thread = threading.Thread(target=flood)
        thread.start()
        with pytest.raises(ValueError, match="does not end"):
            ask(path, b"facts\n", ())
        thread.join()


def test_settings_and_probe(root: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    with pytest.raises(ConfigError, match="--facts-socket"):
        socket_of(load({}, {}))
    config = load({"NODEAGENT_FACTS_SOCKET": str(path), "NODEAGENT_FACTS_UIDS": "1000"}, {})
    assert config.facts_uids == ((1000, 1000),)
    with pytest.raises(AgentError, match="No reader answers"):
        check_reader(config)
    with reader(root, path):
        assert check_reader(config) == 0


def test_a_file_in_the_sockets_place_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    path.write_text("mine")
    with pytest.raises(PortError, match="no socket"):
        bind_facts(path)
    assert path.read_text() == "mine"


def test_a_counter_that_comes_into_sight_uses_up_no_budget() -> None:
    away = RemoteProcesses(Path("/nonexistent/facts.sock")).read(0.0, 1).blind
    first = sample(time=1000.0, ksmd_cpu_seconds=None, opted_in=UNKNOWN, blind=away)
    goal = decide(first, START, KsmPolicy())
    goal = decide(
        sample(time=1002.0, ksmd_cpu_seconds=125.0, opted_in=opted(3, 300)), goal, KsmPolicy()
    )
    assert goal.phase == "burst"
    assert goal.knobs is not None
    assert goal.knobs.run is True


def test_a_readers_user_sees_its_own_and_no_more(root: FakeRoot) -> None:
    for own_user, processes in ((True, 1), (False, None)):
        source = LocalProcesses(root.proc, page_bytes=4096, own_user=own_user)
        watch = source._watch
        read = watch._read

        def guarded(pid: str, name: str, read: object = read) -> str | None:
            if pid == "201":
                raise PermissionError(13, "Permission denied")
            assert callable(read)
            return str(read(pid, name))

        watch._read = guarded  # type: ignore[method-assign]  # root may read everything here
        assert source.read(5.0, 2**33).opted_in.processes == processes


def test_nothing_is_unmerged_blindly_and_check_says_why(root: FakeRoot, tmp_path: Path) -> None:
    path = tmp_path / "facts.sock"
    config = load(
        {
            "NODEAGENT_FACTS_SOCKET": str(path),
            "NODEAGENT_SYS_ROOT": str(root.sys),
            "NODEAGENT_PROC_ROOT": str(root.proc),
            "NODEAGENT_LISTEN": "127.0.0.1:0",
            "NODEAGENT_GPU": "no",
        },
        {},
    )
    reason = objection(facts_of(config, KsmDir(root.sys)).read())
    assert reason is not None
    assert str(path) in reason
    said = {one.topic: one for one in findings(config, tmp_path, tmp_path / "lock")}
    assert said["opted in"].verdict == "warn"
    assert str(path) in said["opted in"].text
    with reader(root, path):
        assert objection(facts_of(config, KsmDir(root.sys)).read()) is None
        said = {one.topic: one for one in findings(config, tmp_path, tmp_path / "lock")}
    assert said["opted in"].text.startswith("2 processes with 120 MiB")
