"""A fake sysfs and procfs in a real folder, samples, and a ksmd simulated page by page."""

import os
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodeagent.gpu.model import GpuReport, GpuSample
from nodeagent.host import HostMemory
from nodeagent.ksm.control import KsmReport
from nodeagent.ksm.decide import Knobs
from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.processes import OptedIn
from nodeagent.view import NodeStatus

MIB = 2**20
BOOT = "11111111-2222-3333-4444-555555555555"

KSM_FILES: dict[str, int | str] = {
    "run": 0,
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "smart_scan": 1,
    "advisor_mode": "[none] scan-time",
    "pages_shared": 0,
    "pages_sharing": 0,
    "pages_unshared": 0,
    "pages_volatile": 0,
    "pages_scanned": 0,
    "full_scans": 0,
    "general_profit": 0,
    "ksm_zero_pages": 0,
}


@dataclass
class FakeRoot:
    """`sys` and `proc` folders with the files the agent reads."""

    sys: Path
    proc: Path
    state: Path

    def ksm(self, name: str) -> str:
        return (self.sys / "kernel/mm/ksm" / name).read_text().strip()

    def set(self, **files: int | str) -> None:
        for name, value in files.items():
            (self.sys / "kernel/mm/ksm" / name).write_text(f"{value}\n")

    def remove(self, *names: str) -> None:
        for name in names:
            (self.sys / "kernel/mm/ksm" / name).unlink()

    def values(self) -> dict[str, str]:
        folder = self.sys / "kernel/mm/ksm"
        return {path.name: path.read_text().strip() for path in sorted(folder.iterdir())}

    def process(
        self,
        pid: int,
        *,
        private_mib: int = 0,
        rmap_items: int = 0,
        merge_any: bool | None = True,
        cgroup: str = "0::/",
        uid: int | None = None,
    ) -> None:
        folder = self.proc / str(pid)
        folder.mkdir(exist_ok=True)
        flag = {True: "ksm_merge_any: yes\n", False: "ksm_merge_any: no\n", None: ""}[merge_any]
        (folder / "ksm_stat").write_text(f"ksm_rmap_items {rmap_items}\n{flag}")
        (folder / "statm").write_text(f"9999999 {private_mib * 256 + 50} 50 1 0 2 0\n")
        (folder / "cgroup").write_text(f"{cgroup}\n")
        (folder / "comm").write_text("python3\n")
        user = os.geteuid() if uid is None else uid
        (folder / "status").write_text(f"Name:\tpython3\nUid:\t{user}\t0\t0\t0\nGid:\t0\t0\t0\t0\n")


def build_root(folder: Path, **files: int | str) -> FakeRoot:
    ksm = folder / "sys/kernel/mm/ksm"
    ksm.mkdir(parents=True)
    proc = folder / "proc"
    (proc / "sys/kernel/random").mkdir(parents=True)
    (proc / "sys/kernel/random/boot_id").write_text(f"{BOOT}\n")
    (proc / "meminfo").write_text("MemTotal: 8388608 kB\nMemFree: 1 kB\nMemAvailable: 6291456 kB\n")
    (proc / "37").mkdir()
    (proc / "37/comm").write_text("ksmd\n")
    (proc / "37/schedstat").write_text("2000000000 5 9\n")
    (proc / "37/ksm_stat").write_text("")
    root = FakeRoot(sys=folder / "sys", proc=proc, state=folder / "state")
    root.set(**(KSM_FILES | files))
    return root


def sample(**changes: object) -> KsmSample:
    base = KsmSample(
        time=1000.0,
        run=0,
        pages_to_scan=100,
        sleep_millisecs=20,
        smart_scan=True,
        advisor="none",
        pages_shared=0,
        pages_sharing=0,
        zero_pages=0,
        pages_unshared=0,
        pages_volatile=0,
        pages_scanned=0,
        full_scans=0,
        general_profit=0,
        ksmd_cpu_seconds=5.0,
        total_bytes=16 * 1024 * MIB,
        available_bytes=12 * 1024 * MIB,
        memory_stall=0.0,
        cpu_stall=0.0,
        opted_in=OptedIn(processes=0, workloads=0, candidate_bytes=0, unseen_bytes=0, visible=True),
        page_bytes=4096,
    )
    return replace(base, **changes)  # type: ignore[arg-type]  # the tests name real fields


def opted(processes: int, mib: int, unseen_mib: int | None = None) -> OptedIn:
    return OptedIn(
        processes=processes,
        workloads=processes,
        candidate_bytes=mib * MIB,
        unseen_bytes=(mib if unseen_mib is None else unseen_mib) * MIB,
        visible=True,
    )


@dataclass
class SimulatedKsmd:
    """ksmd over equal processes: a pass for checksums, a pass to merge; costs CPU per page."""

    page_us: float = 5.6
    knobs: Knobs = field(default_factory=lambda: Knobs(run=False))
    processes: list[int] = field(default_factory=list)
    """Pages of each."""
    seen: int = 0
    merged: int = 0
    cursor: float = 0.0
    scanned: int = 0
    full_scans: int = 0
    cpu: float = 100.0
    now: float = 1000.0
    passes_of_oldest: int = 0

    def arrive(self, pages: int) -> None:
        self.processes.append(pages)
        self.passes_of_oldest = -1

    def leave(self) -> None:
        pages = self.processes.pop()
        self.seen = max(0, min(self.seen, sum(self.processes)))
        self.merged = max(0, min(self.merged, sum(self.processes) - pages))

    def set(self, knobs: Knobs | None) -> None:
        if knobs is not None:
            given = {name: value for name, value in vars(knobs).items() if value is not None}
            self.knobs = replace(self.knobs, **given)

    def advance(self, seconds: float) -> None:
        self.now += seconds
        total = sum(self.processes)
        if not self.knobs.run or not total:
            return
        batch, sleep = self.knobs.pages_to_scan or 100, (self.knobs.sleep_millisecs or 20) / 1000
        page_us = self._page_us(total)
        busy = batch * page_us / 1e6
        pages = batch * seconds / (busy + sleep)
        self.cpu += pages * page_us / 1e6
        self.scanned += int(pages)
        self.cursor += pages
        while self.cursor >= total:
            self.cursor -= total
            self.full_scans += 1
            self.passes_of_oldest += 1
            if self.passes_of_oldest >= 1:
                self.seen = total
            if self.passes_of_oldest >= 2:
                self.merged = total - max(self.processes)

    def _page_us(self, total: int) -> float:
        """Cheap at the first visit, dear where pages are compared, and cheap once merged."""
        merged = self.merged / total
        first = max(total - self.seen, 0) / total if self.passes_of_oldest < 1 else 0.0
        return self.page_us * (0.04 * merged + (1 - merged) * (0.23 if first else 1.0))

    def sample(self, **changes: object) -> KsmSample:
        total = sum(self.processes)
        values: dict[str, object] = {
            "time": self.now,
            "run": int(self.knobs.run),
            "full_scans": self.full_scans,
            "pages_scanned": self.scanned,
            "pages_sharing": self.merged,
            "pages_shared": min(self.merged, 1000),
            "ksmd_cpu_seconds": self.cpu,
            "opted_in": OptedIn(
                processes=len(self.processes),
                workloads=len(self.processes),
                candidate_bytes=total * 4096,
                unseen_bytes=(total - self.seen) * 4096,
                visible=True,
            ),
        }
        return sample(**(values | changes))


NO_GPU = GpuReport(
    state="no_driver", message="No NVIDIA driver on this node.", age_seconds=None, devices=()
)

TWO_GPUS = GpuReport(
    state="ok",
    message="2 GPUs.",
    age_seconds=1.5,
    devices=(
        GpuSample(
            uuid="GPU-aaaa",
            index=0,
            name="Card <A>",
            memory_used_bytes=3 * 2**30,
            memory_total_bytes=16 * 2**30,
            memory_free_bytes=13 * 2**30,
            busy_percent=40,
            processes=2,
        ),
        GpuSample(
            uuid="GPU-bbbb",
            index=1,
            name=None,
            memory_used_bytes=None,
            memory_total_bytes=None,
            memory_free_bytes=None,
            busy_percent=None,
            processes=None,
        ),
    ),
)


def status(
    *, gpus: GpuReport = NO_GPU, taken: KsmSample | None = None, **ksm: object
) -> NodeStatus:
    report = KsmReport(
        supported=True,
        mode="tune",
        phase="rest",
        why="all merged: 200 MiB saved after 3 passes",
        sample=taken or sample(pages_sharing=51200, pages_shared=100, general_profit=200_000_000),
        cpu_ratio=0.021,
        stale=False,
        problem=None,
        knob_writes=7,
        conflicts=0,
    )
    return NodeStatus(
        version="0.1.0",
        node="node1",
        time=1_700_000_000.0,
        interval_seconds=10.0,
        ksm=replace(report, **ksm),  # type: ignore[arg-type]  # the tests name real fields
        memory=HostMemory(total_bytes=16 * 2**30, available_bytes=12 * 2**30),
        gpus=gpus,
    )
