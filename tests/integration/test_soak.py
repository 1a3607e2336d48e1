"""Half a minute of the soak: students come, work, are killed and go, on the real KSM. Root."""

import os
import re
import subprocess
import sys

import pytest

from tests.integration.agentrun import REPO
from tests.integration.ksm_turn import ksm_turn as ksm_turn
from tests.integration.test_agent_ksm import pytestmark as on_real_ksm

pytestmark = [
    *on_real_ksm,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives every student a user of its own"),
    pytest.mark.timeout(700),
]


def test_half_a_minute_of_coming_and_going() -> None:
    command = [sys.executable, "-m", "benchmarks.soak", "--minutes", "0.5", "--students", "3"]
    done = subprocess.run(
        [*command, "--settle", "20", "--way", "stock"],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=400,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.search(r"^\| deeds \| \d+ come, ", done.stdout, re.MULTILINE), done.stdout
    assert "| faults | 0 |" in done.stdout
