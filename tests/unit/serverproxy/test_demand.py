"""Processor time an application asks for."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from serverproxy.jupyter.demand import demand_seconds


def test_a_computation_below_a_resting_process(tmp_path: Path) -> None:
    program = (
        "import subprocess, sys, time; "
        "one = subprocess.Popen([sys.executable, '-ISc', 'while True: pass']); "
        "print(one.pid, flush=True); sys.stdin.read(); one.kill()"
    )
    with subprocess.Popen(
        [sys.executable, "-ISc", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        before, began = demand_seconds(process.pid), time.monotonic()
        assert before is not None
        deadline = began + 20
        # However crowded this machine is: what it does not get, it waits for.
        while (demand_seconds(process.pid) or 0.0) - before < 0.5:
            assert time.monotonic() < deadline
        assert time.monotonic() - began < 10
        process.communicate()
    assert demand_seconds(process.pid) is None


def test_a_kernel_that_does_not_tell_the_wait(tmp_path: Path) -> None:
    found = demand_seconds(os.getpid(), tmp_path)
    assert found is not None
    assert found > 0
