"""run=2 only on command and only when memory suffices."""

import pytest

from nodeagent.errors import LockHeldError
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.ksm.unmerge import UnmergeRefusedError, objection, unmerge
from nodeagent.workloads.memcg import Charge
from tests.unit.nodeagent.support import MIB, FakeRoot, sample


def limited(*, merged: int, limit: int) -> Charge:
    return Charge(
        path="/pod",
        limit_bytes=limit * MIB,
        working_bytes=10 * MIB,
        anon_bytes=0,
        mapped_bytes=merged * MIB,
        merged_bytes=merged * MIB,
    )


def test_enough_memory() -> None:
    assert objection(sample(pages_sharing=256 * 1000)) is None


def test_too_little_memory_is_refused(root: FakeRoot) -> None:
    scarce = sample(pages_sharing=256 * 1000, available_bytes=1200 * MIB)
    assert "needs 1,250 MiB" in (objection(scarce) or "")
    with pytest.raises(UnmergeRefusedError):
        unmerge(KsmDir(root.sys), scarce)
    assert root.ksm("run") == "0"


def test_a_container_that_would_not_fit_is_named() -> None:
    assert objection(sample(charges=(limited(merged=80, limit=100),))) is None
    assert "/pod" in (objection(sample(charges=(limited(merged=90, limit=100),))) or "")


def test_ends_stopped(root: FakeRoot) -> None:
    root.set(run=1)
    assert unmerge(KsmDir(root.sys), sample(pages_sharing=256)).saved_bytes == MIB
    assert root.ksm("run") == "0"


def test_a_dry_run_writes_nothing(root: FakeRoot) -> None:
    root.set(run=1)
    KsmDir(root.sys, dry_run=True).unmerge()
    assert root.ksm("run") == "1"


def test_not_while_an_agent_runs(root: FakeRoot) -> None:
    from tests.integration.agentrun import command

    with KsmLock(root.state / "ksm.lock"):
        done = command(
            *("unmerge", "--sys-root", str(root.sys), "--proc-root", str(root.proc)),
            *("--state-dir", str(root.state)),
        )
    assert done.returncode == LockHeldError.exit_code
    assert "already steers KSM" in done.stderr
