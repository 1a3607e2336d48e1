"""Machines that are not as one would wish: each has a sentence that says so, and what to do."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.config import load
from nodeagent.host import read_pressure
from nodeagent.ksm.decide import (
    START,
    KsmGoal,
    KsmMemory,
    KsmPolicy,
    decide,
)
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.preflight import Finding, choose_mode, findings
from tests.unit.nodeagent.support import MIB, FakeRoot, opted, sample

REPO = Path(__file__).parents[3]


def said(root: FakeRoot, topic: str, **variables: str) -> Finding:
    settings = {"NODEAGENT_SYS_ROOT": str(root.sys), "NODEAGENT_PROC_ROOT": str(root.proc)}
    config = load(settings | variables | {"NODEAGENT_LISTEN": "127.0.0.1:0"}, {})
    found = findings(config, root.state, root.state / "lock")
    return next(finding for finding in found if finding.topic == topic)


def test_a_kernel_whose_processes_cannot_opt_in(root: FakeRoot) -> None:
    assert said(root, "kernel").verdict == "ok"
    root.remove("general_profit", "smart_scan", "pages_scanned")
    kernel = said(root, "kernel")
    assert kernel.verdict == "warn"
    assert "before 6.4" in kernel.text
    assert "Linux 6.4" in (kernel.fix or "")


def test_a_kernel_that_only_shows_less(root: FakeRoot) -> None:
    root.remove("smart_scan")
    kernel = said(root, "kernel")
    assert "without smart_scan" in kernel.text
    assert "before 6.4" not in kernel.text


def test_a_kernel_without_ksm(root: FakeRoot) -> None:
    shutil.rmtree(root.sys / "kernel/mm/ksm")
    kernel = said(root, "kernel")
    assert "no KSM" in kernel.text
    assert "CONFIG_KSM" in (kernel.fix or "")


def numa(root: FakeRoot, nodes: int, across: int) -> None:
    for number in range(nodes):
        (root.sys / f"devices/system/node/node{number}").mkdir(parents=True)
    root.set(merge_across_nodes=across)


def test_numa_merged_across_is_the_saving_way(root: FakeRoot) -> None:
    numa(root, 2, 1)
    finding = said(root, "NUMA")
    assert (finding.verdict, finding.text) == (
        "ok",
        "2 nodes, merged across: most is saved, some reads are farther",
    )


def test_numa_merged_within_each_node_is_said_with_its_price(root: FakeRoot) -> None:
    numa(root, 4, 0)
    finding = said(root, "NUMA")
    assert finding.verdict == "warn"
    assert "about 4 copies" in finding.text
    assert "merge_across_nodes" in (finding.fix or "")


@pytest.mark.parametrize(("nodes", "across"), [(1, 1), (1, 0), (0, 1)])
def test_numa_is_no_topic_of_one_node(root: FakeRoot, nodes: int, across: int) -> None:
    numa(root, nodes, across)
    with pytest.raises(StopIteration):
        said(root, "NUMA")


def test_a_node_that_is_switched_off_observes(root: FakeRoot) -> None:
    config = load({"NODEAGENT_MERGE": "no", "NODEAGENT_SYS_ROOT": str(root.sys)}, {})
    lock = KsmLock(root.state / "lock")
    choice = choose_mode(config, KsmDir(root.sys), lock, root.state)
    assert (choice.mode, choice.why) == (
        "observe",
        "merging is switched off for this node (--merge no)",
    )


@pytest.mark.skipif(
    os.geteuid() != 0 or shutil.which("unshare") is None, reason="mounts need root and unshare"
)
def test_a_read_only_sys(root: FakeRoot) -> None:
    """As a pod without a privileged mount has it: a real one, root or not."""
    script = (
        'mount --bind "$0" "$0" && mount -o remount,bind,ro "$0" && exec '
        '"$1" -m nodeagent check --sys-root "$0" --proc-root "$2" --state-dir "$3"'
        ' --listen 127.0.0.1:0 --lock-file "$3/lock"'
    )
    words = [str(root.sys), sys.executable, str(root.proc), str(root.state)]
    done = subprocess.run(
        ["unshare", "--mount", "--propagation", "private", "sh", "-c", script, *words],
        cwd=REPO,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    if "mount" in done.stderr and not done.stdout:
        pytest.skip(f"this sandbox does not mount: {done.stderr}")
    line = next(row for row in done.stdout.splitlines() if "permission:" in row)
    assert line.startswith("warn")
    assert "Read-only file system" in line
    assert "mounted read-write" in done.stdout


@pytest.mark.parametrize(
    ("text", "share"),
    [
        ("some avg10=12.50 avg60=1.00 avg300=0.50 total=1\nfull avg10=1.00 total=1\n", 0.125),
        ("some avg10=0.00 avg60=0.00 avg300=0.00 total=0\n", 0.0),
        ("full avg10=1.00 total=1\n", None),
        ("some\n", None),
        ("", None),
    ],
)
def test_pressure_as_linux_writes_it(root: FakeRoot, text: str, share: float | None) -> None:
    assert read_pressure(root.proc, "memory") is None
    (root.proc / "pressure").mkdir()
    (root.proc / "pressure/memory").write_text(text)
    assert read_pressure(root.proc, "memory") == share


def rate(goal: KsmGoal) -> float:
    assert goal.knobs is not None
    assert goal.knobs.run
    return (goal.knobs.pages_to_scan or 0) / max(goal.knobs.sleep_millisecs or 0, 1)


def test_stalls_count_as_short_memory_also_where_much_is_available() -> None:
    """PSI sees what MemAvailable does not, such as a container that thrashes at its limit."""
    arriving = sample(opted_in=opted(4, 300))
    calm = decide(arriving, START, KsmPolicy())
    stalled = decide(replace(arriving, memory_stall=0.2), START, KsmPolicy())
    without = decide(replace(arriving, memory_stall=None, cpu_stall=None), START, KsmPolicy())
    assert rate(stalled) > rate(calm)
    assert rate(without) == rate(calm)


def ending(**changes: object) -> KsmGoal:
    """The decision at the end of a third pass that gained nothing more."""
    memory = KsmMemory(
        settled_processes=2, pass_saved=1000, pass_scans=2, phase_since=900.0, event_scans=0
    )
    last = KsmGoal(phase="burst", why="new memory", knobs=None, memory=memory)
    values: dict[str, object] = {
        "full_scans": 3,
        "run": 1,
        "pages_sharing": 1000,
        "pages_shared": 100,
        "opted_in": opted(2, 600, 0),
    }
    return decide(sample(**(values | changes)), last, KsmPolicy())


def test_pages_that_change_too_fast_are_named_in_the_reason() -> None:
    goal = ending(pages_volatile=200 * MIB // 4096)
    assert goal.phase == "rest"
    assert goal.why.endswith("; 200 MiB change too fast to be merged")


@pytest.mark.parametrize("pages", [None, 0, 1000])
def test_a_few_of_them_are_not_worth_a_word(pages: int | None) -> None:
    goal = ending(pages_volatile=pages)
    assert goal.phase == "rest"
    assert "change" not in goal.why
