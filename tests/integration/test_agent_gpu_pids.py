"""The agent with the rights of its container on a GPU node: what it knows with the host's pids, and
what without. A student is in a pid namespace of their own, as in a pod."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.integration.agentrun import RunningAgent, wait_for
from tests.unit.nodeagent.gpu_rig import library, needs_cc, scenario


def can_unshare() -> bool:
    tried = [
        "unshare",
        "--pid",
        "--fork",
        "--mount-proc",
        "setpriv",
        "--bounding-set",
        "-all",
        "true",
    ]
    try:
        return subprocess.run(tried, capture_output=True, timeout=20).returncode == 0
    except OSError:
        return False


pytestmark = [
    needs_cc,
    pytest.mark.skipif(
        os.geteuid() != 0 or not can_unshare(), reason="makes pid namespaces, which needs root"
    ),
]
NOBODY = 65534
# daemonset-gpu.yaml: runAsUser 0, no capability, no privilege escalation.
AS_THE_TUNER = ["setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs"]
NO_HOST_PIDS = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child", *AS_THE_TUNER]
STUDENT = """
import http.client, json, os, socket, sys
os.setgroups([]); os.setgid(65534); os.setuid(65534)
print(os.getpid(), flush=True)
for line in sys.stdin:
    asked = http.client.HTTPConnection("localhost", timeout=20)
    asked.sock = socket.socket(socket.AF_UNIX)
    asked.sock.connect(sys.argv[1])
    asked.request("GET", line.strip())
    print(json.dumps(json.loads(asked.getresponse().read())), flush=True)
    asked.close()
"""


class Student:
    """Holds memory of the GPU, as the stand-in's file says, and asks on the node's socket."""

    def __init__(self, socket: Path) -> None:
        self.process = subprocess.Popen(
            ["unshare", "--pid", "--fork", "--kill-child", sys.executable, "-c", STUDENT, socket],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.read() == 1
        (inner,) = psutil.Process(self.process.pid).children()
        self.pid = inner.pid

    def read(self) -> Any:
        assert self.process.stdout is not None
        return json.loads(self.process.stdout.readline())

    def ask(self, path: str) -> Any:
        assert self.process.stdin is not None
        self.process.stdin.write(f"{path}\n")
        self.process.stdin.flush()
        return self.read()

    def end(self) -> None:
        self.process.kill()
        self.process.communicate(timeout=20)


@pytest.fixture
def folder() -> Iterator[Path]:
    # Not in pytest's own folder, whose parent nobody may enter.
    with tempfile.TemporaryDirectory(prefix="samepage-gpu-pids-") as name:
        Path(name).chmod(0o755)
        yield Path(name)


def seen_by_the_student(folder: Path, through: Sequence[str]) -> tuple[Student, Any]:
    """The student, ended, and what /v1/gpu/me told them."""
    node, driver, log = folder / "node.sock", folder / "nvml.txt", folder / "log"
    flags = ["--mode", "off", "--state-dir", str(folder / "state"), "--interval", "1"]
    flags += ["--node-socket", str(node), "--gpu-interval", "1", "--gpu-timeout", "20"]
    student = Student(node)
    try:
        text = scenario("t4").replace("1001", str(student.pid))
        driver.write_text(text.replace("gpu0.procs 4", "gpu0.procs 1"))
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("LD_LIBRARY_PATH", str(library()))
            patch.setenv("SAMEPAGE_NVML_STANDIN", str(driver))
            running = RunningAgent(*flags, log=log, through=through)
        try:
            told: dict[str, Any] = {}

            def has_gpus() -> bool:
                told.update(student.ask("/v1/gpu/me"))
                return bool(told.get("gpus"))

            wait_for(has_gpus, lambda: f"{told}: {log.read_text()}")
            return student, told
        finally:
            running.kill()
    finally:
        student.end()


def test_with_the_pids_of_the_host_a_student_sees_their_own_use(folder: Path) -> None:
    student, told = seen_by_the_student(folder, AS_THE_TUNER)
    assert (told["owner"], told["why"]) == (f"user/{NOBODY}", None)
    (process,) = told["processes"]
    assert (process["pid"], process["inner_pid"]) == (student.pid, 1)
    assert process["memory_bytes"]["value"]


def test_without_them_totals_only_and_the_reason(folder: Path) -> None:
    _, told = seen_by_the_student(folder, NO_HOST_PIDS)
    assert (told["owner"], told["processes"], told["flags"]) == (None, [], [])
    assert told["why"]
    assert told["gpus"][0]["memory_total_bytes"]["value"] == 15 * 2**30
