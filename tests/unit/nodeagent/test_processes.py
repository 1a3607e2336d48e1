import os
import subprocess
import sys
from pathlib import Path

import pytest

from nodeagent.ksm.facts import KsmFacts
from nodeagent.ksm.local import LocalProcesses
from nodeagent.ksm.processes import (
    UNKNOWN,
    ProcessStat,
    ProcessWatch,
    _same_home,
    parse_ksm_stat,
)
from nodeagent.ksm.sysfs import KsmDir
from nodeagent.workloads.cgroup import parse_cgroup
from tests.unit.nodeagent.support import MIB, FakeRoot


@pytest.mark.parametrize(
    ("text", "stat"),
    [
        ("", None),
        ("ksm_rmap_items 0\n", ProcessStat(rmap_items=0, merge_any=None)),
        (
            "ksm_rmap_items 12\nksm_process_profit -4096\nksm_merge_any: no\nksm_mergeable: no\n",
            ProcessStat(rmap_items=12, merge_any=False),
        ),
        (
            "ksm_rmap_items 0\nksm_merge_any: no\nksm_mergeable: yes\n",
            ProcessStat(rmap_items=0, merge_any=True),
        ),
        ("ksm_rmap_items many\n", None),
    ],
)
def test_ksm_stat(text: str, stat: ProcessStat | None) -> None:
    assert parse_ksm_stat(text) == stat


def test_survey_counts_opted_in_memory_and_what_ksmd_has_not_met(root: FakeRoot) -> None:
    container = "0::/docker/" + "ab" * 32
    root.process(100, private_mib=100, rmap_items=256 * 60, cgroup=container)
    root.process(101, private_mib=50, cgroup=container)
    root.process(102, private_mib=900, merge_any=False)
    seen = ProcessWatch(root.proc, page_bytes=4096).survey(0.0)
    assert (seen.processes, seen.workloads, seen.visible) == (2, 1, True)
    assert seen.candidate_bytes == 150 * MIB
    assert seen.unseen_bytes == 90 * MIB


def test_the_user_is_who_runs_it_not_who_owns_its_folder(root: FakeRoot) -> None:
    root.process(100, private_mib=8, uid=1234)
    (member,) = ProcessWatch(root.proc, page_bytes=4096).survey(0.0).members
    assert member.uid == 1234
    assert (root.proc / "100").stat().st_uid != 1234
    # Gone between two reads: of nobody, and no error.
    root.process(101, private_mib=8, uid=1235)
    (root.proc / "101/status").unlink()
    seen = ProcessWatch(root.proc, page_bytes=4096).survey(0.0)
    assert [member.workload.key for member in seen.members] == [None, None]


@pytest.mark.skipif(os.geteuid() != 0, reason="another user's process needs root")
def test_a_program_with_the_rights_of_root_is_of_who_started_it() -> None:
    # As a program with the setuid bit has them; it may not be dumped either.
    borrowed = "import os, sys; os.setresuid(1234, 0, 0); print(flush=True); sys.stdin.read()"
    process = subprocess.Popen(
        [sys.executable, "-c", borrowed],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    try:
        assert process.stdout is not None
        process.stdout.readline()
        assert Path(f"/proc/{process.pid}").stat().st_uid == 0
        place = ProcessWatch(Path("/proc"), page_bytes=4096)._place(str(process.pid))
        assert place is not None
        assert place.uid == 1234
    finally:
        process.communicate(timeout=10)


def test_kernel_without_flags_is_not_visible(root: FakeRoot) -> None:
    root.process(100, private_mib=8, rmap_items=10, merge_any=None)
    root.process(101, private_mib=8, rmap_items=0, merge_any=None)
    seen = ProcessWatch(root.proc, page_bytes=4096).survey(0.0)
    assert (seen.processes, seen.visible) == (1, False)


def test_kernel_without_ksm_stat_is_unknown(root: FakeRoot) -> None:
    (root.proc / "37/ksm_stat").unlink()
    assert ProcessWatch(root.proc, page_bytes=4096).survey(0.0) == UNKNOWN


def test_a_number_that_another_process_has_got_is_that_processs(root: FakeRoot) -> None:
    """A donor's, say, which a student's process would inherit with all that it means."""
    fields = " ".join(["1"] * 18)

    def process(started: int, letter: str) -> None:
        root.process(100, private_mib=8, cgroup=f"0::/docker/{letter * 64}")
        (root.proc / "100/stat").write_text(f"100 (py (t)) S {fields} {started} 0 0\n")

    watch = ProcessWatch(root.proc, page_bytes=4096)
    seen = []
    # Where it belongs is read again while it is young, and then no more.
    for time, started, letter in ((0.0, 7, "a"), (60.0, 7, "b"), (120.0, 9, "c"), (180.0, 9, "d")):
        process(started, letter)
        (member,) = watch.survey(time).members
        seen.append(str(member.workload.container_id)[0])
    assert seen == ["a", "a", "c", "c"]


def test_arrival_is_seen_once_and_only_by_the_young(root: FakeRoot) -> None:
    watch = ProcessWatch(root.proc, page_bytes=4096)
    root.process(100, merge_any=False)
    watch.survey(0.0)
    assert not watch.arrivals(2.0)
    # The flag comes from the process itself, after it was first seen.
    root.process(100, private_mib=1)
    assert watch.arrivals(4.0)
    watch.survey(5.0)
    assert not watch.arrivals(6.0)
    root.process(101, merge_any=False)
    assert not watch.arrivals(7.0)
    root.process(101)
    assert not watch.arrivals(60.0)  # the next survey finds it


def test_facts_of_a_full_kernel(root: FakeRoot) -> None:
    root.set(
        pages_sharing=10, ksm_zero_pages=2, general_profit=-64, advisor_mode="none [scan-time]"
    )
    (root.proc / "pressure").mkdir()
    (root.proc / "pressure/memory").write_text("some avg10=12.50 avg60=0 avg300=0 total=1\n")
    taken = KsmFacts(KsmDir(root.sys), root.proc, clock=lambda: 5.0, page_bytes=4096).read()
    assert taken.saved_bytes == 12 * 4096
    assert (taken.general_profit, taken.advisor) == (-64, "scan-time")
    assert taken.ksmd_cpu_seconds == 2.0
    assert taken.memory_stall == 0.125
    assert taken.cpu_stall is None


def test_facts_of_an_old_kernel(root: FakeRoot) -> None:
    root.remove("smart_scan", "advisor_mode", "general_profit", "pages_scanned", "ksm_zero_pages")
    (root.proc / "37/schedstat").unlink()
    (root.proc / "37/stat").write_text("37 (ks md) S 2 0 0 0 -1 0 0 0 0 0 100 300 0 0 25 5 1 0 5\n")
    taken = KsmFacts(KsmDir(root.sys), root.proc, clock=lambda: 5.0, page_bytes=4096).read()
    assert taken.general_profit is None
    assert taken.smart_scan is None
    assert taken.ksmd_cpu_seconds == 4.0


def test_ksmd_that_is_not_visible(root: FakeRoot, tmp_path: Path) -> None:
    (root.proc / "37/comm").write_text("other\n")
    taken = KsmFacts(KsmDir(root.sys), root.proc, clock=lambda: 5.0, page_bytes=4096).read()
    assert taken.ksmd_cpu_seconds is None


def test_an_agent_of_a_user_does_not_take_that_users_processes_for_its_donors() -> None:
    home = parse_cgroup("0::/user.slice/user-1000.slice/user@1000.service/app.slice/agent.service")
    other = parse_cgroup("0::/user.slice/user-1000.slice/user@1000.service/app.slice/lab.service")
    assert not _same_home(other, home)
    service = parse_cgroup("0::/system.slice/samepage-agent.service")
    assert _same_home(service, service)


def test_what_students_write_of_their_kernels_does_not_stop_the_reading(
    root: FakeRoot, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fails(*_: object) -> None:
        raise RecursionError("nested too deeply")

    root.process(200, private_mib=100)
    source = LocalProcesses(root.proc, page_bytes=4096)
    whole = source.read(0.0, 2**34).opted_in
    monkeypatch.setattr(source._tables, "read", fails)
    for now in (20.0, 40.0):
        reading = source.read(now, 2**34)
        assert reading.opted_in == whole
        assert reading.kernels is None
    assert len(caplog.records) == 1
