"""A running agent with GPUs of the stand-in: who may ask what, and what they are told."""

import http.client
import json
import os
import pty
import re
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.gpu.canonical import decode
from nodeagent.gpu.compact import expand
from nodeagent.gpu.history import read_rows
from nodeagent.gpu.snapshot import Snapshot
from tests.integration.agentrun import REPO, RunningAgent, agent, command, wait_for
from tests.unit.nodeagent.gpu_rig import library, needs_cc, scenario

pytestmark = [
    needs_cc,
    pytest.mark.skipif(os.geteuid() != 0, reason="becomes another user"),
]
TOKEN = "0123456789abcdef-token"
NOBODY = 65534
# Becomes nobody when it has what only root may read: this Python.
CLIENT = """
import http.client, json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
class Over(http.client.HTTPConnection):
    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(sys.argv[1])
asked = Over("localhost")
asked.request(sys.argv[2], sys.argv[3], sys.argv[4] if len(sys.argv) > 4 else None)
answer = asked.getresponse()
print(json.dumps([answer.status, answer.read().decode()]))
"""


class Site:
    """An agent, its places, and two processes on the GPU: root's and nobody's."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.state = folder / "state"
        self.node = folder / "node.sock"
        self.data = folder / "data"
        self.token = folder / "token"
        self.token.write_text(TOKEN)
        self.token.chmod(0o600)
        self.driver = folder / "nvml.txt"
        sleep = "import os, time; os.setuid(int({})); print(flush=True); time.sleep(600)"
        self.mine, self.theirs = (
            subprocess.Popen(
                [sys.executable, "-c", sleep.format(uid)], stdout=subprocess.PIPE, text=True
            )
            for uid in (0, NOBODY)
        )
        for process in (self.mine, self.theirs):
            assert process.stdout is not None
            process.stdout.readline()
        self.running: RunningAgent | None = None

    def write(self, *more: str) -> None:
        text = scenario("t4").replace("1001", str(self.mine.pid))
        text = text.replace("1002", str(self.theirs.pid)).replace("gpu0.procs 4", "gpu0.procs 2")
        fresh = self.driver.with_suffix(".new")
        fresh.write_text("\n".join([text, *more, ""]))
        fresh.replace(self.driver)

    def ask(
        self, path: str, method: str = "GET", body: Any = None, *, place: Path | None = None
    ) -> tuple[int, Any]:
        connection = http.client.HTTPConnection("localhost", timeout=20)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(place or self.state / "agent.sock"))
        try:
            text = body if isinstance(body, (str, type(None))) else json.dumps(body)
            connection.request(method, path, text)
            answer = connection.getresponse()
            return answer.status, json.loads(answer.read())
        finally:
            connection.close()

    def ask_as_nobody(self, place: Path, path: str, method: str = "GET") -> tuple[int, Any]:
        told = subprocess.run(
            [sys.executable, "-c", CLIENT, str(place), method, path],
            capture_output=True,
            text=True,
            timeout=30,
            cwd="/",
        )
        if told.returncode:
            return 0, told.stderr
        status, text = json.loads(told.stdout)
        return status, json.loads(text)


@pytest.fixture(scope="module")
def site() -> Iterator[Site]:
    # Not in pytest's own folder, whose parent other runs shut again: nobody must reach the socket.
    with (
        tempfile.TemporaryDirectory(prefix="samepage-gpu-") as name,
        pytest.MonkeyPatch.context() as patch,
    ):
        folder = Path(name)
        folder.chmod(0o755)
        site = Site(folder)
        site.write()
        patch.setenv("LD_LIBRARY_PATH", str(library()))
        patch.setenv("SAMEPAGE_NVML_STANDIN", str(site.driver))
        flags = ["--mode", "off", "--state-dir", str(site.state), "--interval", "1"]
        flags += ["--node-socket", str(site.node), "--gpu-interval", "1", "--gpu-timeout", "20"]
        flags += ["--gpu-data", str(site.data), "--token-file", str(site.token)]
        try:
            with agent(*flags, log=folder / "log") as running:
                site.running = running
                wait_for(
                    lambda: bool(site.ask("/v1/gpu/snapshot")[1].get("gpus")),
                    lambda: f"no snapshot: {(folder / 'log').read_text()}",
                )
                yield site
        finally:
            for process in (site.mine, site.theirs):
                process.kill()
                process.communicate()


def test_the_snapshot_is_one_that_consumers_read(site: Site) -> None:
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(socket.AF_UNIX)
    connection.sock.connect(str(site.state / "agent.sock"))
    connection.request("GET", "/v1/gpu/snapshot")
    snapshot = decode(Snapshot, connection.getresponse().read().decode())
    connection.request("GET", "/v1/gpu/snapshot?compact=1")
    small = expand(connection.getresponse().read().decode())
    connection.close()
    assert [gpu.uuid for gpu in snapshot.gpus] == [gpu.uuid for gpu in small.gpus] == ["GPU-t4"]
    owners = {each.owner.known for each in snapshot.gpus[0].processes.known or ()}
    assert owners == {"user/0", f"user/{NOBODY}"}


@pytest.mark.parametrize("path", ["snapshot", "report"])
def test_facts_of_others_need_the_token(site: Site, path: str) -> None:
    assert site.running is not None
    assert site.running.get(f"/v1/gpu/{path}")[0] == 401
    wrong = {"Authorization": "Bearer 0123456789abcdef-wrong"}
    assert site.running.get(f"/v1/gpu/{path}", headers=wrong)[0] == 401
    right = {"Authorization": f"Bearer {TOKEN}"}
    assert site.running.get(f"/v1/gpu/{path}", headers=right)[0] == 200
    # Students' socket has none of it, and the operator's cannot be opened by them.
    assert site.ask(f"/v1/gpu/{path}", place=site.node)[0] == 404
    status, said = site.ask_as_nobody(site.state / "agent.sock", f"/v1/gpu/{path}")
    assert (status, "PermissionError" in said) == (0, True)


@pytest.mark.parametrize("path", ["decide", "release", "snooze", "pause"])
def test_nothing_is_changed_without_the_token(site: Site, path: str) -> None:
    assert site.running is not None
    assert site.running.get(f"/v1/gpu/{path}", method="POST")[0] == 401
    assert site.ask(f"/v1/gpu/{path}", "POST", {}, place=site.node)[0] in (404, 405)
    assert site.ask_as_nobody(site.node, f"/v1/gpu/{path}", "POST")[0] in (404, 405)


def test_a_decision_and_its_reservation(site: Site) -> None:
    asked = {"request": {"pod": "hub/jupyter-ada", "memory_bytes": 2**30}, "reserve": True}
    status, first = site.ask("/v1/gpu/decide", "POST", asked)
    assert (status, first["reserved"], first["decision"]["verdict"]) == (200, True, "share")
    again = site.ask("/v1/gpu/decide", "POST", asked)[1]
    assert again["decision"]["devices"] == first["decision"]["devices"]
    assert again["ledger_version"] == first["ledger_version"]
    entries = site.ask("/v1/gpu/report")[1]["ledger"]["entries"]
    assert [each["pod"] for each in entries] == ["hub/jupyter-ada"]
    site.ask("/v1/gpu/release", "POST", {"pod": "hub/jupyter-ada"})
    assert site.ask("/v1/gpu/report")[1]["ledger"]["entries"] == []
    done = command("gpu", "replay", str(site.data / "records" / "gpu-000001.jsonl"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert "decisions came out as recorded" in done.stdout


@pytest.mark.parametrize(
    ("body", "place"),
    [
        pytest.param("{", "cannot be used", id="no-json"),
        pytest.param([], "no object", id="no-object"),
        pytest.param({"request": {}}, "'pod' is missing", id="no-pod"),
        pytest.param({"request": {"pod": "a", "gpus": "2"}}, "$.request.gpus", id="wrong-type"),
        pytest.param({"request": {"pod": "a"}, "reserve": 1}, "$.reserve", id="no-bool"),
        pytest.param({"request": {"pod": "a"}, "more": 1}, "$.more", id="unknown"),
        pytest.param({"request": {"pod": "a", "memory_bytes": -1}}, "-1 bytes", id="refused"),
    ],
)
def test_a_bad_request_names_its_place(site: Site, body: Any, place: str) -> None:
    status, said = site.ask("/v1/gpu/decide", "POST", body)
    assert (status, said["code"]) == (400, "bad-request")
    assert place in said["message"]


def test_everybody_sees_their_own_processes_only(site: Site) -> None:
    status, mine = site.ask("/v1/gpu/me", place=site.node)
    assert status == 200
    assert mine["gpus"][0]["memory_total_bytes"]["value"] == 15 * 2**30
    assert mine["gpus"][0]["sharers"] == 2
    status, theirs = site.ask_as_nobody(site.node, "/v1/gpu/me")
    assert (status, theirs["owner"], mine["owner"]) == (200, f"user/{NOBODY}", "user/0")
    assert [each["pid"] for each in theirs["processes"]] == [site.theirs.pid]
    assert [each["pid"] for each in mine["processes"]] == [site.mine.pid]
    assert theirs["processes"][0]["memory_bytes"]["value"] == 2**30


def test_a_connection_whose_process_has_ended_sees_nothing(site: Site) -> None:
    """Its number could be a neighbour's by now."""
    held, given = socket.socketpair()
    script = (
        "import array, socket, sys\n"
        "line = socket.socket(socket.AF_UNIX); line.connect(sys.argv[1])\n"
        "line.sendall(b'GET /healthz HTTP/1.1\\r\\nHost: localhost\\r\\n\\r\\n')\n"
        "line.recv(10000)\n"
        "out = socket.socket(fileno=int(sys.argv[2]))\n"
        "socket.send_fds(out, [b'x'], [line.fileno()])\n"
    )
    subprocess.run(
        [sys.executable, "-c", script, str(site.node), str(given.fileno())],
        pass_fds=[given.fileno()],
        check=True,
        timeout=30,
    )
    _, handles, _, _ = socket.recv_fds(held, 1, 1)
    held.close()
    given.close()
    connection = http.client.HTTPConnection("localhost")
    connection.sock = socket.socket(fileno=handles[0])
    connection.request("GET", "/v1/gpu/me")
    said = json.loads(connection.getresponse().read())
    connection.close()
    assert (said["owner"], said["processes"], said["flags"]) == (None, [], [])
    assert "ended" in said["why"]


def test_metrics_name_no_person(site: Site) -> None:
    assert site.running is not None
    text = site.running.get("/metrics")[2].decode()
    assert 'samepage_gpu_power_watts{name="Tesla T4",uuid="GPU-t4"} 31.0' in text
    assert 'samepage_gpu_tenants{name="Tesla T4",uuid="GPU-t4"} 2.0' in text
    assert 'samepage_gpu_flags{stage="notice",what="idle"} 0.0' in text
    assert re.search(r"user/\d", text) is None
    assert "samepage_gpu_workload" not in text
    right = {"Authorization": f"Bearer {TOKEN}"}
    mine = site.running.get("/metrics/workloads", headers=right)[2].decode()
    assert "samepage_gpu_workload_memory_bytes{" in mine


def test_top_once_and_as_json(site: Site) -> None:
    done = command("gpu", "top", "--once", "--state-dir", str(site.state))
    assert done.returncode == 0, done.stderr
    assert "Tesla T4" in done.stdout
    assert "\x1b" not in done.stdout
    assert max(map(len, done.stdout.splitlines())) <= 80
    assert site.running is not None
    listen = ["--listen", f"127.0.0.1:{site.running.port}", "--token-file", str(site.token)]
    done = command("gpu", "top", "--json", *listen)
    assert json.loads(done.stdout)["snapshot"]["gpus"][0]["uuid"] == "GPU-t4"
    nobody = command("gpu", "top", "--once", "--state-dir", str(site.folder / "elsewhere"))
    assert (nobody.returncode, "No agent answers" in nobody.stderr) == (3, True)


def test_top_live_in_a_terminal(site: Site) -> None:
    pid, terminal = pty.fork()
    if pid == 0:
        os.chdir(REPO)
        place = ["--state-dir", str(site.state), "--seconds", "0.3"]
        os.execv(sys.executable, [sys.executable, "-m", "nodeagent", "gpu", "top", *place])
    shown = b""
    try:
        until = time.monotonic() + 30
        # Two pictures, so that it is live.
        while shown.count(b"q quits") < 2 and time.monotonic() < until:
            if select.select([terminal], [], [], 1)[0]:
                shown += os.read(terminal, 65536)
        os.write(terminal, b"q")
        while time.monotonic() < until:
            try:
                shown += os.read(terminal, 65536)
            except OSError:
                break
        _, status = os.waitpid(pid, 0)
        pid = 0
    finally:
        os.close(terminal)
        if pid:
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
    assert os.waitstatus_to_exitcode(status) == 0
    assert shown.count(b"q quits") >= 2
    assert b"Tesla T4" in shown
    # The terminal is given back as it was.
    assert shown.endswith(b"\x1b[?25h\x1b[?1049l")


def test_a_snooze_by_command(site: Site) -> None:
    place = ["--state-dir", str(site.state)]
    done = command("gpu", "snooze", "hub/jupyter-ada", "--hours", "2", "--by", "tutor", *place)
    assert done.returncode == 0, done.stderr
    kept = json.loads((site.data / "snoozes.json").read_text())
    assert [(each["owner"], each["by"]) for each in kept] == [("hub/jupyter-ada", "tutor")]
    done = command("gpu", "snooze", "hub/jupyter-ada", "--hours", "9999", *place)
    assert (done.returncode, "90 days" in done.stderr) == (2, True)


def test_a_pause_by_command(site: Site) -> None:
    place = ["--state-dir", str(site.state)]
    done = command("gpu", "pause", "--seconds", "600", *place)
    assert done.returncode == 0, done.stderr
    try:
        wait_for(
            lambda: "paused" in site.ask("/v1/gpu/report")[1]["message"], lambda: "it reads on"
        )
    finally:
        done = command("gpu", "pause", "--seconds", "0", *place)
    assert done.returncode == 0, done.stderr
    wait_for(
        lambda: site.ask("/v1/gpu/report")[1]["state"] == "ok", lambda: "it does not read again"
    )


def test_a_stopped_agent_has_written_its_history(site: Site, tmp_path: Path) -> None:
    flags = ["--mode", "off", "--interval", "1", "--gpu-interval", "1", "--gpu-timeout", "20"]
    flags += ["--state-dir", str(tmp_path / "state"), "--gpu-data", str(tmp_path / "data")]
    place = tmp_path / "state" / "agent.sock"
    with agent(*flags, log=tmp_path / "log") as running:
        seen = set()

        def three() -> bool:
            seen.add(site.ask("/v1/gpu/snapshot", place=place)[1].get("taken"))
            return len(seen) > 3

        wait_for(three, lambda: (tmp_path / "log").read_text())
        assert running.stop() == 0
    rows = read_rows(tmp_path / "data" / "history.jsonl")
    assert sum(row.seconds for row in rows) > 1
    assert {row.uuid for row in rows} == {"GPU-t4"}


def test_an_agent_without_gpus_says_so(tmp_path: Path) -> None:
    flags = ["--mode", "off", "--no-gpu", "--state-dir", str(tmp_path / "state")]
    with agent(*flags, "--token-file", str(_token(tmp_path)), log=tmp_path / "log") as running:
        right = {"Authorization": f"Bearer {TOKEN}"}
        assert running.get("/v1/gpu/snapshot", headers=right)[0] == 404


def _token(folder: Path) -> Path:
    path = folder / "token"
    path.write_text(TOKEN)
    path.chmod(0o600)
    return path
