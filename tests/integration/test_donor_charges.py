"""Aligned kernels in memory cgroups: who is charged, without the node's donors and with. Root."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.memory_charges import CGROUPS
from benchmarks.memory_results import ChargeResult, load
from nodeagent.workloads.memcg import detect
from tests.integration.agentrun import REPO
from tests.integration.ksm_turn import ksm_turn as ksm_turn
from tests.integration.test_agent_ksm import pytestmark as on_real_ksm

pytestmark = [
    *on_real_ksm,
    pytest.mark.skipif(os.geteuid() != 0, reason="gives every student a user of its own"),
    pytest.mark.skipif(detect(CGROUPS) is None, reason="needs a memory cgroup hierarchy"),
    pytest.mark.timeout(800),
]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> dict[int, ChargeResult]:
    """By the number of donors."""
    folder = tmp_path_factory.mktemp("charges")
    file = folder / "results.json"
    command = [sys.executable, "-m", "benchmarks.memory_charges", "--students", "2"]
    done = subprocess.run(
        [*command, "--results", str(file), "--docs", str(folder)],
        cwd=REPO,
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
    )
    if "cannot be made here" in done.stderr:
        pytest.skip("memory cgroups cannot be made here")
    assert done.returncode == 0, done.stdout + done.stderr
    assert Path(folder / "memory.md").read_text().count("MB charged") == 1
    return {each.donors: each for each in load(file).charges}


def test_without_donors_one_student_pays_for_all(measured: dict[int, ChargeResult]) -> None:
    found = measured[0]
    one = found.restarted
    assert found.merged[one] > 0.8 * found.unmerged[one]
    assert found.merged[1 - one] < 0.4 * found.unmerged[1 - one]
    # What it kept for the other stays on its account, beside its new kernel's own pages.
    assert found.after_restart[one] > 1.4 * found.mapped[one]


def test_with_donors_the_node_pays(measured: dict[int, ChargeResult]) -> None:
    found = measured[2]
    assert max(found.merged) < 0.45 * min(found.unmerged)
    assert found.after_restart[found.restarted] < 1.15 * found.mapped[found.restarted]
    assert max(found.settled) < 0.45 * min(found.unmerged)
    assert found.donor_charge > 0.5 * min(found.unmerged)
