"""Processes that end with the server, tried on real processes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from serverproxy.host import Host
from serverproxy.launch import ends_with_parent, literal
from tests.standins.machine import Machine

REPOSITORY = Path(__file__).parents[3]


def wait_gone(pid: int, seconds: float = 10) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE:
            return True
        time.sleep(0.02)
    return False


def test_braces_survive_the_formatting_of_the_proxy() -> None:
    command = ["a{b}", "{port}", "plain", "{{"]
    assert [part.format(port=1) for part in literal(command)] == command


def test_without_setpriv_the_command_is_unchanged(machine: Machine) -> None:
    assert ends_with_parent(["java", "-x"], machine.host()) == ["java", "-x"]
    busybox = machine.program(machine.root / "busybox")
    (machine.bin / "setpriv").symlink_to(busybox)
    assert ends_with_parent(["java", "-x"], machine.host()) == ["java", "-x"]


@pytest.mark.skipif(Host().which("setpriv") is None, reason="util-linux setpriv is not installed")
def test_a_killed_server_leaves_nothing_behind() -> None:
    program = (
        "import subprocess, sys, time\n"
        "from serverproxy.host import Host\n"
        "from serverproxy.launch import ends_with_parent\n"
        "child = subprocess.Popen(ends_with_parent(['sleep', '120'], Host()))\n"
        "print(child.pid, flush=True)\n"
        "time.sleep(120)\n"
    )
    server = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, text=True, cwd=REPOSITORY
    )
    assert server.stdout is not None
    with server, server.stdout:
        pid = int(server.stdout.readline())
        try:
            deadline = time.monotonic() + 10
            while psutil.Process(pid).name() != "sleep" and time.monotonic() < deadline:
                time.sleep(0.02)  # until setpriv has become the command, under the same pid
            server.kill()
            assert wait_gone(pid)
        finally:
            if psutil.pid_exists(pid):
                os.kill(pid, signal.SIGKILL)


STUBBORN = "trap '' TERM; echo ready; while :; do sleep 0.05; done"
SAVING = (
    """trap 'sleep 0.5; echo saved > "$0"; exit' TERM; echo ready; while :; do sleep 0.05; done"""
)
SERVER = """
import subprocess, sys
from serverproxy.launch import stop_at_exit

for _ in range(2):
    stop_at_exit("marker-of-the-test", 2.0)
shell = ["sh", "-c", sys.argv[1], sys.argv[2], "marker-of-the-test"]
child = subprocess.Popen(shell, stdout=subprocess.PIPE)
other = subprocess.Popen(["sleep", "30"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
child.stdout.readline()
print(child.pid, other.pid, flush=True)
"""


@pytest.mark.parametrize(
    ("script", "saved"), [pytest.param(SAVING, True, id="saves"), pytest.param(STUBBORN, False)]
)
def test_leaving_waits_for_the_save_and_then_insists(
    tmp_path: Path, script: str, saved: bool
) -> None:
    file = tmp_path / "saved"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", SERVER, script, str(file)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=REPOSITORY,
        timeout=20,
    )
    child, other = (int(part) for part in done.stdout.split())
    try:
        assert wait_gone(child)
        assert file.exists() is saved
        assert psutil.pid_exists(other), "a child of somebody else was stopped"
    finally:
        os.kill(other, signal.SIGKILL)
