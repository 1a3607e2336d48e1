from dataclasses import dataclass, field

import pytest

from nodeagent.config import Mode
from nodeagent.ksm.control import KsmController
from nodeagent.ksm.decide import KsmPolicy
from nodeagent.ksm.facts import KsmFacts
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.state import StateFile
from nodeagent.ksm.sysfs import KsmDir
from tests.unit.nodeagent.support import BOOT, FakeRoot


@dataclass
class Bench:
    root: FakeRoot
    now: float = 1000.0
    dry_run: bool = False
    mode: Mode = "tune"
    controller: KsmController = field(init=False)

    def __post_init__(self) -> None:
        ksm = KsmDir(self.root.sys, dry_run=self.dry_run)
        self.controller = KsmController(
            ksm=ksm,
            facts=KsmFacts(ksm, self.root.proc, clock=lambda: self.now, page_bytes=4096),
            state=StateFile(self.root.state, boot_id=BOOT, sys_root=self.root.sys),
            lock=KsmLock(self.root.state / "ksm.lock"),
            policy=KsmPolicy(),
            mode=self.mode,
            mode_why="the test says so",
            mode_problem=None,
            clock=lambda: self.now,
        )


def test_writes_what_was_decided_and_puts_it_back(root: FakeRoot) -> None:
    root.set(advisor_mode="none [scan-time]", pages_to_scan=777)
    before = root.values()
    bench = Bench(root)
    root.process(100, private_mib=200)
    report = bench.controller.step()
    assert (report.phase, bench.controller.scanning) == ("burst", True)
    assert (root.ksm("run"), root.ksm("smart_scan")) == ("1", "0")
    assert root.ksm("advisor_mode") == "none"
    assert report.sample is not None
    assert report.sample.run == 1
    assert (root.state / "ksm-state.json").exists()
    bench.controller.stop()
    assert root.values() == before | {"advisor_mode": "scan-time"}
    assert not (root.state / "ksm-state.json").exists()


def test_dry_run_leaves_no_trace(root: FakeRoot) -> None:
    before = root.values()
    bench = Bench(root, dry_run=True)
    root.process(100, private_mib=200)
    assert bench.controller.step().phase == "burst"
    bench.controller.stop()
    assert root.values() == before
    assert not (root.state / "ksm-state.json").exists()


def test_a_killed_agents_originals_win(root: FakeRoot) -> None:
    before = root.values()
    root.process(100, private_mib=200)
    Bench(root).controller.step()  # killed here: no stop
    bench = Bench(root)
    bench.controller.step()
    bench.controller.stop()
    assert root.values() == before


def test_yields_when_the_advisor_comes_on_and_leaves_it_on(root: FakeRoot) -> None:
    bench = Bench(root)
    root.process(100, private_mib=200)
    bench.controller.step()
    root.set(advisor_mode="none [scan-time]", pages_to_scan=500)
    report = bench.controller.step()
    assert report.phase == "yield"
    assert report.problem is not None
    assert report.problem.code == "ksm-conflict"
    assert "advisor_mode is scan-time" in report.problem.message
    assert (root.ksm("pages_to_scan"), report.conflicts) == ("500", 1)
    bench.controller.stop()
    assert root.ksm("advisor_mode") == "none [scan-time]"
    assert root.ksm("pages_to_scan") == "500"
    assert root.ksm("smart_scan") == "1"


def test_an_emergency_stop_by_hand_is_respected(root: FakeRoot) -> None:
    bench = Bench(root)
    root.process(100, private_mib=200)
    bench.controller.step()
    root.set(run=0)
    assert bench.controller.step().phase == "yield"
    assert root.ksm("run") == "0"
    root.set(run=1)
    assert bench.controller.step().phase == "burst"


def test_a_failing_read_is_shown_and_heals(root: FakeRoot) -> None:
    bench = Bench(root)
    assert bench.controller.step().problem is None
    root.set(full_scans="?")
    report = bench.controller.step()
    assert report.stale
    assert report.problem is not None
    assert report.problem.code == "ksm-read"
    root.set(full_scans=1)
    assert bench.controller.step().problem is None


def test_state_that_cannot_be_kept_leaves_ksm_untouched(root: FakeRoot) -> None:
    before = root.values()
    root.state.write_text("a file in the way")
    root.process(100, private_mib=200)
    report = Bench(root).controller.step()
    assert report.problem is not None
    assert report.problem.code == "state-file"
    assert root.values() == before


def test_kernel_without_ksm(root: FakeRoot) -> None:
    root.remove(*root.values())
    report = Bench(root).controller.step()
    assert (report.supported, report.sample, report.phase) == (False, None, "off")
    assert report.problem is not None
    assert report.problem.code == "ksm-unsupported"


@pytest.mark.parametrize("mode", ["observe", "off"])
def test_other_modes_write_nothing(root: FakeRoot, mode: Mode) -> None:
    before = root.values()
    root.process(100, private_mib=200)
    bench = Bench(root, mode=mode)
    report = bench.controller.step()
    bench.controller.stop()
    assert (report.mode, report.sample is None) == (mode, mode == "off")
    assert root.values() == before


def test_numbers_of_a_long_stopped_ksmd_are_stale(root: FakeRoot) -> None:
    root.set(pages_sharing=100)
    bench = Bench(root, mode="observe")
    assert not bench.controller.step().stale
    bench.now += 901
    assert bench.controller.step().stale


def test_cpu_ratio_is_between_two_readings(root: FakeRoot) -> None:
    bench = Bench(root, mode="observe")
    assert bench.controller.step().cpu_ratio is None
    (root.proc / "37/schedstat").write_text("2500000000 5 9\n")
    bench.now += 10
    assert bench.controller.step().cpu_ratio == pytest.approx(0.05)


# What each kernel lacks of a Linux 6.18; the last word: what /proc/PID/ksm_stat tells.
KERNELS = {
    "5.4": (
        *("smart_scan", "advisor_mode", "general_profit", "pages_scanned", "ksm_zero_pages"),
        "no-ksm-stat",
    ),
    "5.15": (
        *("smart_scan", "advisor_mode", "general_profit", "pages_scanned", "ksm_zero_pages"),
        "no-ksm-stat",
    ),
    "6.1": (
        *("smart_scan", "advisor_mode", "general_profit", "pages_scanned", "ksm_zero_pages"),
        "no-flags",
    ),
    "6.4": ("smart_scan", "advisor_mode", "pages_scanned", "ksm_zero_pages", "no-flags"),
    "6.6": ("smart_scan", "advisor_mode", "no-flags"),
    "6.7": ("advisor_mode", "no-flags"),
    "6.8": ("no-flags",),
    "6.12": ("no-flags",),
    "6.14": ("flags",),
    "6.18": ("flags",),
}


@pytest.mark.parametrize("kernel", KERNELS)
def test_every_kernel_is_steered_as_far_as_it_goes_and_put_back(
    root: FakeRoot, kernel: str
) -> None:
    *missing, told = KERNELS[kernel]
    root.set(use_zero_pages=0)
    root.remove(*missing)
    root.process(100, private_mib=200, rmap_items=10, merge_any=True if told == "flags" else None)
    if told == "no-ksm-stat":
        for path in root.proc.glob("*/ksm_stat"):
            path.unlink()
    before = root.values()
    bench = Bench(root)
    for scans in range(12):
        root.set(full_scans=scans, pages_sharing=1000)
        report = bench.controller.step()
        assert report.problem is None, report.problem
        assert report.room is not None
        bench.now += 2
    assert report.phase == "rest"
    written = {name for name, value in root.values().items() if value != before[name]}
    assert written - {"full_scans", "pages_sharing"} <= {
        *("run", "pages_to_scan", "sleep_millisecs", "smart_scan", "use_zero_pages"),
    }
    # Where nobody can see who opts in, ksmd must go on slowly.
    assert root.ksm("run") == ("0" if told == "flags" else "1")
    if "ksm_zero_pages" in missing:
        assert root.ksm("use_zero_pages") == "0"
    bench.controller.stop()
    after = root.values()
    for name in ("run", "pages_to_scan", "sleep_millisecs", "use_zero_pages", "smart_scan"):
        assert after.get(name) == before.get(name)
