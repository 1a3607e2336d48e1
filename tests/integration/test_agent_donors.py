"""Real donor processes, kept by the real command."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.agentrun import REPO, command, wait_for

DONORS = (sys.executable, "-m", "nodeagent", "donors")
DONOR = """
import sys, time
held = bytearray(b"x" * (2 << 20))
print(sys.argv[1], flush=True)
time.sleep(600)
"""


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def state(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return "gone"


@contextlib.contextmanager
def donors(log: Path, *flags: str, say: str = "ready") -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nodeagent",
                "donors",
                *flags,
                "--",
                sys.executable,
                "-c",
                DONOR,
                say,
            ],
            cwd=REPO,
            stderr=output,
        )
    try:
        yield keeper
    finally:
        keeper.terminate()
        assert keeper.wait(20) == 0


def frozen(keeper: int) -> list[int]:
    return [pid for pid in children(keeper) if state(pid) == "T"]


def test_two_are_kept_frozen_and_replaced(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with donors(log) as keeper:
        wait_for(lambda: len(frozen(keeper.pid)) == 2, log.read_text)
        first = frozen(keeper.pid)
        os.kill(first[0], signal.SIGKILL)
        wait_for(
            lambda: len(frozen(keeper.pid)) == 2 and first[0] not in frozen(keeper.pid),
            log.read_text,
        )
        last = frozen(keeper.pid)
        opted = Path(f"/proc/{last[0]}/ksm_stat")
        if opted.exists() and "ksm_merge_any" in opted.read_text():
            assert "ksm_merge_any: yes" in opted.read_text()
    wait_for(lambda: all(state(pid) == "gone" for pid in last), log.read_text)


def test_one_that_never_says_ready_is_taken_as_it_is(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with donors(log, "--count", "1", "--donor-warm", "1", say="hello") as keeper:
        wait_for(lambda: len(frozen(keeper.pid)) == 1, log.read_text)
        assert "taken as it is after 1 s" in log.read_text()


def test_one_that_asks_to_go_on_is_not_stopped(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with donors(log, "--count", "1", say="ready awake") as keeper:
        wait_for(lambda: "is ready" in log.read_text(), log.read_text)
        (donor,) = children(keeper.pid)
        assert state(donor) in "SR"
        # So it can end by itself, and the keeper sees to another.
        os.kill(donor, signal.SIGTERM)
        wait_for(lambda: log.read_text().count("is ready") == 2, log.read_text)
        assert children(keeper.pid) != [donor]


def test_none_outlives_a_killed_keeper(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "nodeagent",
                "donors",
                "--",
                sys.executable,
                "-c",
                DONOR,
                "ready",
            ],
            cwd=REPO,
            stderr=output,
        )
    wait_for(lambda: len(frozen(keeper.pid)) == 2, log.read_text)
    left = frozen(keeper.pid)
    keeper.kill()
    keeper.wait(20)
    wait_for(lambda: all(state(pid) in ("gone", "Z") for pid in left), log.read_text)


def test_a_donor_that_fails_is_told_and_tried_again(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as output:
        keeper = subprocess.Popen(
            [*DONORS, "--count", "1", "--", "false"],
            cwd=REPO,
            stderr=output,
        )
    try:
        wait_for(
            lambda: "ended with status 1 before it was ready" in log.read_text(), log.read_text
        )
    finally:
        keeper.terminate()
        assert keeper.wait(20) == 0


@pytest.mark.parametrize("flags", [(), ("--count", "0", "--", "true")])
def test_bad_calls_are_named(flags: tuple[str, ...]) -> None:
    begun = time.monotonic()
    done = command("donors", *flags)
    assert done.returncode == 2
    assert "samepage-agent donors:" in done.stderr
    assert time.monotonic() - begun < 30
