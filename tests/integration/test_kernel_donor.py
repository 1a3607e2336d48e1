"""The donor program: an aligned kernel nobody uses, as the node agent keeps it."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from nodeagent.kernels.find import NAME
from nodeagent.kernels.table import parse
from tests.integration.agentrun import REPO, wait_for


def children(pid: int) -> list[int]:
    text = Path(f"/proc/{pid}/task/{pid}/children").read_text()
    return [int(word) for word in text.split()]


def running(pid: int) -> bool:
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except FileNotFoundError:
        return False
    return text.rpartition(")")[2].split()[0] not in "ZX"


@pytest.mark.timeout(180)
def test_says_ready_and_takes_its_kernel_along(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with log.open("wb") as errors:
        donor = subprocess.Popen(
            [sys.executable, "-m", "labext.kernels.donor"],
            cwd=REPO,
            stdout=subprocess.PIPE,
            stderr=errors,
            env=os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path)},
        )
    try:
        assert donor.stdout is not None
        assert donor.stdout.readline() == b"ready awake\n", log.read_text()
        kernels = children(donor.pid)
        assert len(kernels) == 1
        # What remains tells the agent of its kernel, to be compared with the students'.
        line = Path(f"/proc/{donor.pid}/cmdline")
        wait_for(lambda: b"waitpid" in line.read_bytes(), lambda: "it does not become small")
        held = Path(f"/proc/{donor.pid}/fd")
        (told,) = [each for each in held.iterdir() if NAME in str(each.readlink())]
        assert len(parse(told.read_bytes()).kernels) == 1
        os.kill(kernels[0], signal.SIGKILL)
        # A donor without its kernel ends, so that the keeper starts another.
        assert donor.wait(30) == 1
        assert "kernel ended" in log.read_text()
    finally:
        donor.kill()
        donor.communicate()


@pytest.mark.timeout(180)
def test_the_kernel_ends_with_a_killed_donor(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "labext.kernels.donor"],
        cwd=REPO,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env=os.environ | {"JUPYTER_RUNTIME_DIR": str(tmp_path)},
    ) as donor:
        assert donor.stdout is not None
        assert donor.stdout.readline() == b"ready awake\n"
        (kernel,) = children(donor.pid)
        donor.kill()
    begun = time.monotonic()
    wait_for(lambda: not running(kernel), lambda: "the kernel goes on", seconds=60)
    assert time.monotonic() - begun < 60


def test_an_unknown_kernelspec_is_named() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "labext.kernels.donor", "--kernel", "no-such-kernel"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "no-such-kernel" in done.stderr
