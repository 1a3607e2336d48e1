"""Reader and tuner as two processes with the rights that the manifests give them.

The reader is the students' user, the tuner root without any capability. KSM's folder is a made-up
one: what is tested is who may do what, not the kernel's merging.
"""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from nodeagent.status import OverSocket
from tests.integration.agentrun import REPO, wait_for
from tests.unit.nodeagent.support import FakeRoot, build_root

STUDENT = 23511
STRANGER = 23512

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to become other users"),
    pytest.mark.skipif(shutil.which("setpriv") is None, reason="needs setpriv (util-linux)"),
    pytest.mark.skipif(not Path("/proc/self/ksm_stat").exists(), reason="kernel without ksm_stat"),
]

# Another user may be unable to read this Python's own folder: all is imported before the change.
AS_USER = """
import ctypes, os, pkgutil, sys
import nodeagent
for module in pkgutil.walk_packages(nodeagent.__path__, "nodeagent."):
    if not module.name.endswith("__main__"):
        __import__(module.name)
import encodings.ascii, encodings.idna, encodings.latin_1, tornado.platform.asyncio
uid = int(sys.argv.pop(1))
os.setgroups([])
os.setgid(uid)
os.setuid(uid)
# A program started by another user's exec is dumpable; one that changed its user is not.
ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
from nodeagent.cli import main
sys.exit(main(sys.argv[1:]))
"""
OPTED_IN = f"""
import ctypes, os, sys, time
os.setgid({STUDENT})
os.setuid({STUDENT})
assert ctypes.CDLL(None).prctl(4, 1, 0, 0, 0) == 0
assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0
told = os.memfd_create("samepage-kernels")
kernel = b'{{"state": "off", "reason": "r", "dropped": []}}'
os.write(told, b'{{"format": 1, "image": "i", "kernels": [' + kernel + b']}}')
held = bytearray(os.urandom(4096)) * (64 * 256)
print("ready", flush=True)
sys.stdin.read()
"""
WITHOUT_RIGHTS = [
    "setpriv", "--bounding-set", "-all", "--inh-caps", "-all", "--no-new-privs",
]  # fmt: skip


@pytest.fixture
def folder() -> Iterator[Path]:
    """In /tmp, as pytest's own is closed to other users."""
    with tempfile.TemporaryDirectory() as made:
        place = Path(made)
        place.chmod(0o755)
        (place / "facts").mkdir()
        os.chown(place / "facts", STUDENT, STUDENT)
        yield place


@contextmanager
def started(log: Path, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("a") as errors:
        process = subprocess.Popen(
            command, cwd="/", env=os.environ | {"PYTHONPATH": str(REPO)}, stderr=errors
        )
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=30) == 0, log.read_text()


@contextmanager
def student() -> Iterator[int]:
    with subprocess.Popen(
        [sys.executable, "-c", OPTED_IN], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            pytest.skip("this kernel has no PR_SET_MEMORY_MERGE")
        yield process.pid
        assert process.stdin is not None
        process.stdin.close()


def reader(folder: Path, log: Path) -> Any:
    return started(
        log, sys.executable, "-c", AS_USER, str(STUDENT), "reader",
        "--facts-socket", str(folder / "facts/facts.sock"),
    )  # fmt: skip


def tuner(folder: Path, root: FakeRoot, log: Path) -> Any:
    bare = folder / "tuner-proc"
    (bare / "sys/kernel/random").mkdir(parents=True)
    for name in ("meminfo", "sys/kernel/random/boot_id"):
        (bare / name).write_bytes((Path("/proc") / name).read_bytes())
    return started(
        log, *WITHOUT_RIGHTS, sys.executable, "-m", "nodeagent", "run", "--mode", "tune",
        "--listen", "127.0.0.1:0", "--interval", "1", "--no-gpu",
        "--sys-root", str(root.sys), "--proc-root", str(bare), "--state-dir", str(folder / "state"),
        "--facts-socket", str(folder / "facts/facts.sock"), "--facts-uids", str(STUDENT),
        "--node-socket", str(folder / "node/node.sock"),
    )  # fmt: skip


def get(path: Path, page: str) -> tuple[int, Any]:
    import json

    connection = OverSocket(path)
    try:
        connection.request("GET", page)
        answer = connection.getresponse()
        return answer.status, json.loads(answer.read())
    finally:
        connection.close()


def test_each_with_its_own_rights(folder: Path, tmp_path: Path) -> None:
    root = build_root(folder)
    log = tmp_path / "log"
    node = folder / "node/node.sock"
    seen: dict[str, Any] = {}

    def ksm(**wanted: object) -> bool:
        try:
            status, found = get(node, "/v1/node")
        except OSError:
            return False
        seen.update(found.get("ksm", {}))
        return status == 200 and all(seen[name] == value for name, value in wanted.items())

    def told() -> str:
        return f"{seen}\n{log.read_text()}"

    with student(), tuner(folder, root, log) as tuning:
        wait_for(lambda: ksm(phase="hold", opted_in_processes=None), told)
        capabilities = Path(f"/proc/{tuning.pid}/status").read_text()
        assert "CapEff:\t0000000000000000" in capabilities
        assert seen["problem"]["code"] == "reader-away"
        assert root.ksm("run") == "0"
        with reader(folder, log):
            wait_for(lambda: ksm(phase="burst", opted_in_processes=1, problem=None), told)
            assert root.ksm("run") == "1"
            assert "of new memory opted in (1 process)" in seen["why"]
            refused = asked_by(STRANGER, folder / "facts/facts.sock")
            assert refused == b""
            assert asked_by(STUDENT, folder / "facts/facts.sock").startswith(b'{"format":3')
            # What the student's own server says of its kernels is for the reader, and counted.
            wait_for(lambda: get(node, "/v1/node")[1]["kernels"]["off"] == 1, told)
            assert get(node, "/v1/node")[1]["kernels"]["silent"] == 0
        assert f"refused user {STRANGER}" in log.read_text()
        # Any user may have the totals, and nobody the operator's pages.
        assert node.stat().st_mode & 0o777 == 0o666
        assert get(node, "/v1/workloads")[0] == 404
        assert not (folder / "facts/facts.sock").exists()
    assert root.ksm("run") == "0"
    assert root.ksm("smart_scan") == "1"
    assert not (folder / "state/ksm-state.json").exists()
    assert not node.exists()


def asked_by(uid: int, path: Path) -> bytes:
    """What a user gets who asks the reader."""
    code = (
        "import os, socket, sys\n"
        f"os.setgid({uid}); os.setuid({uid})\n"
        "one = socket.socket(socket.AF_UNIX)\n"
        "one.settimeout(20)\n"
        f"one.connect({str(path)!r})\n"
        "try:\n"
        "    one.sendall(b'facts\\n')\n"
        "    sys.stdout.buffer.write(one.recv(65536))\n"
        "except ConnectionError:\n"
        "    pass\n"
    )
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, check=True, timeout=60
    ).stdout


def test_a_second_agent_leaves_the_socket_alone(folder: Path, tmp_path: Path) -> None:
    from nodeagent.errors import PortError
    from nodeagent.http.app import bind_node_socket

    path = folder / "node/node.sock"
    with bind_node_socket(path) as first:
        first.listen()
        with pytest.raises(PortError, match="Another agent answers"):
            bind_node_socket(path)
    # A killed agent's socket is in nobody's way.
    with bind_node_socket(path) as second:
        assert second.family == socket.AF_UNIX


def test_a_reader_in_a_pid_namespace_knows_itself_in_the_hosts_procfs() -> None:
    """Or its own pod would not be known, and donors there would count as students."""
    code = (
        "import os; from pathlib import Path; from nodeagent.ksm.processes import pid_in;"
        "print(os.getpid(), pid_in('/proc'))"
    )
    done = subprocess.run(
        ["unshare", "--pid", "--fork", sys.executable, "-c", code],
        cwd=REPO, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    inside, outside = map(int, done.stdout.split())
    assert inside == 1
    assert outside > 1
