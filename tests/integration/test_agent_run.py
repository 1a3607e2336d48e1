"""Real agents over real HTTP and signals, on a fake sysfs and procfs."""

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agentrun import REPO, RunningAgent, agent, command, wait_for
from tests.unit.nodeagent.support import FakeRoot, build_root


@pytest.fixture
def root(tmp_path: Path) -> FakeRoot:
    return build_root(tmp_path)


def flags(root: FakeRoot) -> list[str]:
    return [
        *("--sys-root", str(root.sys), "--proc-root", str(root.proc)),
        *("--state-dir", str(root.state)),
    ]


@pytest.fixture
def running(root: FakeRoot, tmp_path: Path) -> Iterator[RunningAgent]:
    root.process(100, private_mib=200)
    with agent(*flags(root), log=tmp_path / "log") as started:
        yield started


def test_node_and_history_have_the_agreed_shape(running: RunningAgent) -> None:
    node = running.node()
    assert set(node) == {
        *("version", "node", "time", "interval_seconds", "ksm", "memory", "gpus", "donors"),
        *("students", "guards", "kernels"),
    }
    assert set(node["students"]) == {
        *("students", "bytes_each", "unmerged_bytes_each", "room_for", "room_unmerged", "why"),
    }
    assert set(node["guards"]) == {
        *("donors", "limited_containers", "near_limit", "uninvited_processes", "cow_faults"),
    }
    assert set(node["ksm"]) == {
        *("supported", "mode", "running", "phase", "why", "saved_bytes", "profit_bytes"),
        *("metadata_bytes", "pages_shared", "pages_sharing", "pages_to_scan", "sleep_millisecs"),
        *("smart_scan", "full_scans", "ksmd_cpu_seconds", "ksmd_cpu_ratio", "opted_in_processes"),
        *("stale", "problem"),
    }
    assert (node["ksm"]["mode"], node["ksm"]["phase"]) == ("tune", "burst")
    assert node["ksm"]["running"] is True
    assert node["memory"] == {"total_bytes": 8 * 2**30, "available_bytes": 6 * 2**30}
    assert set(node["gpus"]) == {"state", "message", "age_seconds", "devices"}
    history = json.loads(running.get("/v1/history")[2])
    assert set(history) == {"interval_seconds", "points"}
    assert set(history["points"][0]) == {
        *("time", "saved_bytes", "available_bytes", "ksmd_cpu_ratio"),
    }


def test_why_no_password_loopback_and_node_totals_only(
    running: RunningAgent, root: FakeRoot
) -> None:
    """The handlers are not authenticated: they listen on loopback, read only, and tell node totals.

    A single process's KSM numbers would let a neighbour find out who else holds a guessed page; so
    nothing about process 100 or its container may be in any answer.
    """
    listening = subprocess.run(["ss", "-ltnH"], capture_output=True, text=True, check=False).stdout
    if listening:
        mine = [line for line in listening.splitlines() if f":{running.port} " in line]
        assert all("127.0.0.1:" in line for line in mine)
    container = "ab" * 32
    root.process(100, private_mib=200, cgroup=f"0::/docker/{container}")
    for path in ("/", "/metrics", "/v1/node", "/v1/history", "/healthz"):
        text = running.get(path)[2].decode()
        assert not re.search(r"\bpid\b|cgroup|python3|uid=", text)
        assert container not in text
    for verb in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS"):
        assert running.get("/v1/node", method=verb)[0] == 405


@pytest.mark.parametrize("path", ["/", "/metrics", "/healthz", "/v1/node", "/v1/history", "/x"])
def test_foreign_host_header_is_refused(running: RunningAgent, path: str) -> None:
    code, _, body = running.get(path, headers={"Host": "rebound.example"})
    assert code == 403
    answer = json.loads(body)
    assert answer["code"] == "host-refused"
    assert set(answer) == {"code", "message", "fix"}


def test_security_headers(running: RunningAgent) -> None:
    for path in ("/", "/v1/node", "/nowhere"):
        code, headers, _ = running.get(path)
        assert code == (404 if path == "/nowhere" else 200)
        assert headers["content-security-policy"].startswith("default-src 'none'")
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["x-frame-options"] == "DENY"
        assert headers["cache-control"] == "no-store"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers


def test_page_metrics_and_head(running: RunningAgent) -> None:
    code, headers, body = running.get("/")
    assert (code, headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert b"KSM: on, merging new memory" in body
    assert b"samepage_ksm_running 1.0" in running.get("/metrics")[2]
    code, _, body = running.get("/v1/node", method="HEAD")
    assert (code, body) == (200, b"")


def test_status_tells_and_a_clean_stop_restores(
    running: RunningAgent, root: FakeRoot, tmp_path: Path
) -> None:
    done = command("status", "--listen", f"127.0.0.1:{running.port}")
    assert done.returncode == 0
    assert "mode tune, burst: 200 MiB of new memory opted in" in done.stdout
    assert running.stop() == 0
    log = (tmp_path / "log").read_text()
    assert "KSM is as before the agent" in log
    assert "Traceback" not in log
    assert [root.ksm(name) for name in ("run", "pages_to_scan", "smart_scan")] == ["0", "100", "1"]
    assert not (root.state / "ksm-state.json").exists()


def test_killed_restarted_stopped_gives_the_originals(root: FakeRoot, tmp_path: Path) -> None:
    root.set(run=1, pages_to_scan=123, sleep_millisecs=45)
    before = root.values()
    root.process(100, private_mib=200)
    for _ in range(2):
        with agent(*flags(root), log=tmp_path / "log") as running:
            wait_for(lambda: root.ksm("pages_to_scan") != "123", lambda: "nothing written")
            running.kill()
        assert root.values() != before
        assert (root.state / "ksm-state.json").exists()
    with agent(*flags(root), log=tmp_path / "log") as running:
        assert running.stop() == 0
    assert root.values() == before | {"advisor_mode": root.ksm("advisor_mode")}


def test_restore_after_a_kill_but_not_under_a_running_agent(root: FakeRoot, tmp_path: Path) -> None:
    before = root.values()
    root.process(100, private_mib=200)
    with agent(*flags(root), log=tmp_path / "log") as running:
        refused = command("restore", *flags(root))
        assert refused.returncode == 5
        assert f"process {running.process.pid}" in refused.stderr
        assert "Traceback" not in refused.stderr
        running.kill()
    assert root.values() != before
    done = command("restore", *flags(root))
    assert done.returncode == 0, done.stderr
    assert root.values() == before
    assert "Nothing to restore" in command("restore", *flags(root)).stdout


def test_second_agent(running: RunningAgent, root: FakeRoot, tmp_path: Path) -> None:
    taken = command("run", "--listen", f"127.0.0.1:{running.port}", *flags(root))
    assert taken.returncode == 4
    assert "Address already in use" in taken.stderr
    held = command("run", "--mode", "tune", "--listen", "127.0.0.1:0", *flags(root))
    assert held.returncode == 5
    assert "Another program" in held.stderr
    with agent(*flags(root), log=tmp_path / "log2") as other:
        node = other.node()
        assert node["ksm"]["mode"] == "observe"
        assert node["ksm"]["problem"]["code"] == "second-agent"


def test_kernel_without_ksm_still_tells_memory(root: FakeRoot, tmp_path: Path) -> None:
    root.remove(*root.values())
    with agent(*flags(root), log=tmp_path / "log") as running:
        node = running.node()
        assert node["ksm"]["supported"] is False
        assert node["ksm"]["saved_bytes"] is None
        assert node["ksm"]["problem"]["code"] == "ksm-unsupported"
        assert node["memory"]["total_bytes"] == 8 * 2**30
        assert running.get("/")[0] == 200
    checked = command("check", "--listen", "127.0.0.1:0", *flags(root))
    assert checked.returncode == 0
    assert "warn kernel: no KSM" in checked.stdout


def test_state_folder_that_cannot_be(root: FakeRoot, tmp_path: Path) -> None:
    root.state.write_text("a file")
    refused = command("run", "--mode", "tune", "--listen", "127.0.0.1:0", *flags(root))
    assert refused.returncode == 6
    assert "is not a folder" in refused.stderr
    with agent(*flags(root), log=tmp_path / "log") as running:
        assert running.node()["ksm"]["problem"]["code"] == "state-dir"
    assert "fail state folder" in command("check", *flags(root)).stdout


def test_settings_and_absent_agent_are_sentences() -> None:
    bad = command("run", env={"NODEAGENT_INTERVAL": "soon"})
    assert (bad.returncode, bad.stdout) == (2, "")
    assert "NODEAGENT_INTERVAL is 'soon'" in bad.stderr
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        absent = command("status", "--listen", f"127.0.0.1:{taken.getsockname()[1]}")
    assert absent.returncode == 3
    assert "No agent answers" in absent.stderr
    assert "Traceback" not in bad.stderr + absent.stderr


def test_stops_with_its_parent(root: FakeRoot, tmp_path: Path) -> None:
    root.process(100, private_mib=200)
    code = (
        "import subprocess, sys, time\n"
        "child = subprocess.Popen([sys.executable, '-m', 'nodeagent', 'run', *sys.argv[1:]])\n"
        "time.sleep(600)"
    )
    log = tmp_path / "log"
    arguments = [*flags(root), "--listen", "127.0.0.1:0", "--exit-with-parent"]
    with log.open("w") as errors:
        parent = subprocess.Popen([sys.executable, "-c", code, *arguments], cwd=REPO, stderr=errors)
    try:
        wait_for(lambda: root.ksm("run") == "1", lambda: log.read_text())
    finally:
        parent.send_signal(signal.SIGKILL)
        parent.wait(timeout=20)
    wait_for(lambda: "stopped" in log.read_text(), lambda: log.read_text())
    assert root.ksm("run") == "0"
    assert not (root.state / "ksm-state.json").exists()
