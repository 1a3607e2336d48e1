"""Numbers of single students: for the operator, on a socket of the agent's user or with a token."""

import json
import os
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.config import Address
from nodeagent.status import ask_workloads, room_text, workload_lines
from tests.integration.agentrun import RunningAgent, agent, command
from tests.unit.nodeagent.support import MIB, FakeRoot, build_root

A, B = "a1" * 32, "b2" * 32
TOKEN = "0123456789abcdef0123456789abcdef"
PRIVATE = ("/v1/workloads", "/metrics/workloads")


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    built = build_root(tmp_path, pages_sharing=256 * 40)
    for pid, container in ((100, A), (101, A), (102, B)):
        built.process(pid, private_mib=100, rmap_items=25600, cgroup=f"0::/docker/{container}")
        kept = built.proc / str(pid) / "ksm_stat"
        kept.write_text(kept.read_text() + "ksm_merging_pages 5120\nksm_zero_pages 0\n")
    limits = built.sys / "fs/cgroup"
    limits.mkdir(parents=True)
    (limits / "cgroup.controllers").write_text("memory\n")
    folder = limits / "docker" / A
    folder.mkdir(parents=True)
    for name, text in {
        "memory.max": f"{220 * MIB}",
        "memory.current": f"{190 * MIB}",
        "memory.stat": f"anon {190 * MIB}\ninactive_file 0",
        "cgroup.procs": "100\n101",
    }.items():
        (folder / name).write_text(f"{text}\n")
    return built


def flags(root: FakeRoot) -> list[str]:
    return [
        *("--sys-root", str(root.sys), "--proc-root", str(root.proc)),
        *("--state-dir", str(root.state)),
    ]


@pytest.fixture
def running(root: FakeRoot, tmp_path: Path) -> Iterator[RunningAgent]:
    with agent(*flags(root), log=tmp_path / "log") as started:
        yield started


def test_the_open_address_has_no_such_page(running: RunningAgent) -> None:
    for path in PRIVATE:
        assert running.get(path)[0] == 404
    for path in ("/", "/metrics", "/v1/node", "/v1/history", "/healthz"):
        text = running.get(path)[2].decode()
        assert A not in text
        assert "/docker" not in text


def test_the_socket_is_the_agents_users_alone(running: RunningAgent, root: FakeRoot) -> None:
    path = root.state / "agent.sock"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.stat().st_uid == os.geteuid()
    found = ask_workloads(root.state)
    assert found is not None
    assert [each["name"] for each in found["workloads"]] == [A, B]
    saved = sum(each["saved_bytes"] for each in found["workloads"])
    assert saved == pytest.approx(40 * MIB, abs=2)
    assert sorted(each["pid"] for each in found["processes"]) == [100, 101, 102]
    (limit,) = found["limits"]
    assert (limit["cgroup"], limit["near"]) == (f"/docker/{A}", True)
    text = workload_lines(found)
    assert f"near its limit: /docker/{A}" in text
    assert "would be safe" in text
    assert running.stop() == 0
    assert not path.exists()
    assert ask_workloads(root.state) is None


def test_a_container_near_its_limit_holds_ksmd_and_is_named_to_the_operator_only(
    running: RunningAgent, root: FakeRoot
) -> None:
    node = running.node()
    assert node["ksm"]["phase"] == "hold"
    assert node["guards"]["near_limit"] == 1
    assert root.ksm("run") == "0"
    assert b"close to the memory limit" in running.get("/")[2]
    done = command("check", *flags(root), "--listen", "127.0.0.1:0")
    assert f"/docker/{A} is charged 190 of 220 MiB" in done.stdout
    assert "MiB is safe" in done.stdout


@pytest.fixture
def token_file(tmp_path: Path) -> Path:
    path = tmp_path / "token"
    path.write_text(f"{TOKEN}\n")
    path.chmod(0o600)
    return path


def test_over_http_with_the_token(root: FakeRoot, tmp_path: Path, token_file: Path) -> None:
    with agent(*flags(root), "--token-file", str(token_file), log=tmp_path / "log") as running:
        for path in PRIVATE:
            for headers in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": TOKEN[:-1]}):
                code, found, body = running.get(path, headers=headers)
                assert (code, found["www-authenticate"]) == (401, "Bearer")
                assert A.encode() not in body
            allowed = {"Authorization": f"Bearer {TOKEN}"}
            assert running.get(path, headers=allowed)[0] == 200
            assert running.get(path, headers=allowed | {"Host": "rebound.example"})[0] == 403
        code, _, body = running.get("/metrics/workloads", headers=allowed)
        line = f'samepage_workload_private_bytes{{donor="false",kind="container",name="{A}"}}'
        assert line in body.decode()


@pytest.mark.parametrize(
    ("text", "mode"), [("short", 0o600), (TOKEN, 0o644), (None, 0)], ids=["short", "open", "none"]
)
def test_a_bad_token_file_is_named(
    root: FakeRoot, tmp_path: Path, text: str | None, mode: int
) -> None:
    path = tmp_path / "token"
    if text is not None:
        path.write_text(text)
        path.chmod(mode)
    done = command("run", *flags(root), "--listen", "127.0.0.1:0", "--token-file", str(path))
    assert done.returncode == 2
    assert str(path) in done.stderr


def test_a_second_agent_is_refused_politely(running: RunningAgent, root: FakeRoot) -> None:
    before = root.values()
    done = command("run", "--mode", "tune", *flags(root), "--listen", "127.0.0.1:0")
    assert done.returncode == 5
    assert "already steers KSM" in done.stderr
    assert root.values() == before
    assert running.node()["ksm"]["mode"] == "tune"


def test_an_observing_agent_leaves_the_socket_to_the_first(
    running: RunningAgent, root: FakeRoot, tmp_path: Path
) -> None:
    with agent("--mode", "observe", *flags(root), log=tmp_path / "second") as second:
        assert second.node()["ksm"]["mode"] == "observe"
    assert ask_workloads(root.state) is not None


def test_status_says_it_in_words(running: RunningAgent, root: FakeRoot) -> None:
    listen = str(Address(host="127.0.0.1", port=running.port))
    done = command("status", "--listen", listen, "--state-dir", str(root.state))
    assert done.returncode == 0, done.stderr
    assert "guards   0 donors, 1 of 1 memory limits close, 0 uninvited processes" in done.stdout
    assert f"container {A[:20]}" in done.stdout
    assert json.loads(running.get("/v1/node")[2])["students"]["students"] == 2


def test_room_in_words() -> None:
    known = {
        "students": 4,
        "bytes_each": 300 * MIB,
        "unmerged_bytes_each": 50 * MIB,
        "room_for": 60,
        "room_unmerged": 10,
        "why": "",
    }
    assert room_text(known) == (
        "4 here, room for 60 more, 64 in all (without merging 14 in all); "
        "each 300 MiB, of it 50.0 MiB unshared"
    )
    assert "not known: no" in room_text(known | {"room_for": None, "why": "no"})
    assert room_text(known | {"students": None, "why": "no"}) == "not known: no"
