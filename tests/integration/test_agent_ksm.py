"""The real agent on the machine's real KSM, with the machine's real lock. Root only."""

import contextlib
import ctypes
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodeagent.ksm.sysfs import KsmDir
from tests.integration.agentrun import agent, command, wait_for
from tests.integration.ksm_turn import ksm_turn as ksm_turn

KSM = KsmDir()
MIB = 48

pytestmark = [
    pytest.mark.ksm,
    pytest.mark.xdist_group("ksm"),
    pytest.mark.skipif(
        not KSM.supported or not KSM.writable, reason="needs root and a kernel with KSM"
    ),
    pytest.mark.skipif(
        ctypes.CDLL(None).prctl(68, 0, 0, 0, 0) < 0, reason="needs prctl(PR_SET_MEMORY_MERGE)"
    ),
    # A turn may be long in coming.
    pytest.mark.timeout(600),
]

SETTINGS = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan")

# Equal pages in every such process, different from each other.
HOLDER = f"""
import ctypes, random, sys
assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0
source = random.Random(20)
memory = [bytearray(source.randbytes(1 << 20)) for _ in range({MIB})]
print("ready", flush=True)
sys.stdin.read()
"""


def settings() -> dict[str, int | str | None]:
    found: dict[str, int | str | None] = {name: KSM.read(name) for name in SETTINGS}
    return found | {"advisor_mode": KSM.read_word("advisor_mode")}


@contextlib.contextmanager
def holders(count: int) -> Iterator[None]:
    started = [
        subprocess.Popen(
            [sys.executable, "-c", HOLDER], stdin=subprocess.PIPE, stdout=subprocess.PIPE
        )
        for _ in range(count)
    ]
    try:
        for process in started:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
        yield
    finally:
        for process in started:
            process.communicate()


def test_saves_memory_and_puts_ksm_back(tmp_path: Path) -> None:
    before = settings()
    flags = ("--mode", "tune", "--state-dir", str(tmp_path / "state"), "--interval", "2")
    with agent(*flags, log=tmp_path / "log") as running, holders(2):
        # Others on this machine can only add to it.
        def merged() -> bool:
            ksm = running.node()["ksm"]
            return bool(
                (ksm["opted_in_processes"] or 0) >= 2 and ksm["saved_bytes"] > 0.9 * MIB * 2**20
            )

        wait_for(merged, lambda: (tmp_path / "log").read_text(), seconds=90)
        wait_for(
            lambda: running.node()["ksm"]["phase"] == "rest",
            lambda: (tmp_path / "log").read_text(),
            seconds=120,
        )
        assert running.stop() == 0
    assert settings() == before
    # What was spent of the budget stays for the next start; nothing else does.
    assert [file.name for file in (tmp_path / "state").iterdir()] == ["ksm-spent.json"]


def test_restore_after_kill(tmp_path: Path) -> None:
    before = settings()
    state = ("--state-dir", str(tmp_path / "state"))
    with holders(2), agent("--mode", "tune", *state, log=tmp_path / "log") as running:
        wait_for(lambda: KSM.read("smart_scan") == 0, lambda: (tmp_path / "log").read_text())
        running.kill()
    assert settings() != before
    done = command("restore", *state)
    assert done.returncode == 0, done.stderr
    assert settings() == before
