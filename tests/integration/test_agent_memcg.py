"""Real memory cgroups under the real KSM: with donors no student is charged for another. Root."""

import contextlib
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.ksm.state import read_originals
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.workloads.memcg import detect
from tests.integration.agentrun import RunningAgent, agent, wait_for
from tests.integration.ksm_turn import ksm_turn as ksm_turn
from tests.integration.test_agent_ksm import pytestmark as on_real_ksm

CGROUPS = Path("/sys/fs/cgroup")
VERSION = detect(CGROUPS)
MIB = 40

pytestmark = [
    *on_real_ksm,
    pytest.mark.skipif(VERSION is None, reason="needs a memory cgroup hierarchy"),
]

# Equal pages in donor and students; `write` on standard input makes all of them its own again.
PROGRAM = f"""
import ctypes, os, random, sys
if len(sys.argv) > 1:
    open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
ctypes.CDLL(None).prctl(67, 1, 0, 0, 0)
held = bytearray(random.Random(31).randbytes({MIB} << 20))
print("ready", flush=True)
for line in sys.stdin:
    for place in range(0, len(held), 4096):
        held[place] ^= 1 + os.getpid() % 255
    print("written", flush=True)
"""


def charged(folder: Path) -> float:
    """MiB of private memory the cgroup is charged."""
    name = "total_rss" if VERSION == "v1" else "anon"
    for line in (folder / "memory.stat").read_text().splitlines():
        word, _, value = line.partition(" ")
        if word == name:
            return int(value) / 2**20
    raise AssertionError(f"{folder} has no {name}")


@pytest.fixture
def folders() -> Iterator[list[Path]]:
    """Three memory cgroups, as of three containers."""
    root = CGROUPS / "memory" if VERSION == "v1" else CGROUPS
    made = [root / f"samepage-test-{os.getpid()}-{random.getrandbits(24):x}" for _ in range(3)]
    try:
        for folder in made:
            try:
                folder.mkdir()
                (folder / "memory.stat").read_text()
            except OSError as err:
                pytest.skip(f"cannot make memory cgroups: {err}")
        yield made
    finally:
        for folder in made:
            with contextlib.suppress(OSError):
                folder.rmdir()


@contextlib.contextmanager
def students(folders: list[Path]) -> Iterator[list["subprocess.Popen[str]"]]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", PROGRAM, str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for folder in folders
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        yield started
    finally:
        for process in started:
            process.kill()
            process.communicate()


def saved(running: RunningAgent) -> float:
    return float(running.node()["ksm"]["saved_bytes"]) / 2**20


def test_the_node_is_charged_for_what_a_class_shares(folders: list[Path], tmp_path: Path) -> None:
    log = tmp_path / "log"
    donor = tmp_path / "donor.py"
    donor.write_text(f"{PROGRAM}\nimport time\ntime.sleep(3600)\n")
    flags = ("--mode", "tune", "--state-dir", str(tmp_path / "state"), "--interval", "2")
    command = ("--donor-command", f"{sys.executable} {donor}", "--cpu-budget", "0.5")
    before = read_originals(KsmDir())
    with agent(*flags, *command, log=log) as running:
        # The donors merge with each other before anybody comes.
        wait_for(lambda: running.node()["guards"]["donors"] == 2, log.read_text, seconds=90)
        wait_for(lambda: saved(running) > 0.9 * MIB, log.read_text, seconds=90)
        with students(folders) as started:
            assert all(charged(folder) > 0.9 * MIB for folder in folders)
            wait_for(
                lambda: all(charged(folder) < 0.3 * MIB for folder in folders),
                lambda: f"{[charged(f) for f in folders]} {log.read_text()}",
                seconds=120,
            )
            for process in started:
                assert process.stdin is not None
                assert process.stdout is not None
                process.stdin.write("write\n")
                process.stdin.flush()
                assert process.stdout.readline() == "written\n"
            # Their own copies, and nothing of the others'.
            assert all(charged(folder) < 1.3 * MIB for folder in folders)
        assert running.node()["students"]["students"] is not None
        assert running.stop() == 0
    assert read_originals(KsmDir()) == before
