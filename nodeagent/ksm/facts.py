"""All facts of one moment about KSM, for the decision and for the numbers shown."""

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.errors import KsmUnsupportedError, Problem
from nodeagent.host import read_memory, read_pressure, read_vmstat
from nodeagent.kernels.count import KernelCount
from nodeagent.ksm.local import LocalProcesses, ProcessFacts
from nodeagent.ksm.processes import OptedIn
from nodeagent.ksm.sysfs import ADVISOR, KsmDir
from nodeagent.workloads.invite import Invitation
from nodeagent.workloads.memcg import Charge


@dataclass(frozen=True, kw_only=True)
class KsmSample:
    """One reading. None: this kernel does not have it, or this agent may not see it."""

    time: float
    """Monotonic seconds."""
    run: int
    """0 stopped, 1 running, 2 stopped and unmerged."""
    pages_to_scan: int
    """Pages per batch."""
    sleep_millisecs: int
    """Rest between two batches."""
    smart_scan: bool | None
    advisor: str | None
    """none, scan-time: the kernel's own tuner."""
    pages_shared: int
    """Pages kept once for many."""
    pages_sharing: int
    """Further users of those pages: the pages saved. Not updated while ksmd is stopped."""
    zero_pages: int | None
    """Further pages saved by mapping the kernel's zero page."""
    pages_unshared: int | None
    pages_volatile: int | None
    pages_scanned: int | None
    """Counter; smart-skipped pages are not in it."""
    full_scans: int
    """Counter; advances at the end of a pass over everything."""
    general_profit: int | None
    """Bytes, may be negative: saved less KSM's own tables."""
    ksmd_cpu_seconds: float | None
    """Counter since boot."""
    total_bytes: int
    available_bytes: int
    memory_stall: float | None
    """Share of the last 10 s in which some task waited for memory, 0..1."""
    cpu_stall: float | None
    """The same for the CPU."""
    opted_in: OptedIn
    page_bytes: int
    use_zero_pages: bool | None = None
    """Whether pages of zeros are given the kernel's own zero page, which no cgroup is charged."""
    cow_faults: int | None = None
    """Counter: copies made because a merged page was written to (vmstat cow_ksm)."""
    charges: tuple[Charge, ...] = field(default=(), repr=False)
    """Memory cgroups with a limit that have opted-in processes."""
    blind: Problem | None = None
    """Why nothing is known of processes and limits (the reader is away); None: it is."""
    kernels: KernelCount | None = field(default=None, repr=False)
    """How many kernels of each image are aligned alike; None: not known."""

    @property
    def limit_ratio(self) -> float | None:
        """The worst of `charges`: what it could be charged, to its limit; None: no limits."""
        return max((charge.worst_ratio for charge in self.charges), default=None)

    @property
    def donors(self) -> int:
        """Opted-in processes that belong to the node itself."""
        return sum(member.donor for member in self.opted_in.members)

    @property
    def uninvited(self) -> int:
        """Opted-in processes the operator did not expect."""
        return sum(not member.invited for member in self.opted_in.members)

    @property
    def saved_pages(self) -> int:
        """Pages that would be needed in addition without KSM, those of zeros among them."""
        return self.pages_sharing + (self.zero_pages or 0)

    @property
    def saved_bytes(self) -> int:
        """The same in bytes."""
        return self.saved_pages * self.page_bytes


class KsmFacts:
    """Reads KsmSample from sysfs and procfs. Not safe for two threads.

    `processes`: who tells about processes; None: procfs is read here.
    """

    def __init__(
        self,
        ksm: KsmDir,
        proc: Path,
        *,
        clock: Callable[[], float],
        page_bytes: int | None = None,
        cgroups: Path | None = None,
        invitation: Invitation | None = None,
        processes: ProcessFacts | None = None,
    ) -> None:
        self._ksm = ksm
        self._proc = proc
        self._clock = clock
        self._page_bytes = page_bytes or os.sysconf("SC_PAGESIZE")
        self._processes = processes or LocalProcesses(
            proc, page_bytes=self._page_bytes, cgroups=cgroups, invitation=invitation
        )

    def arrivals(self) -> bool:
        """A quick look: has a process opted in since the last reading?"""
        return self._processes.arrivals(self._clock())

    def read(self) -> KsmSample:
        """Everything. KsmUnsupportedError, KsmReadError or HostReadError when it cannot be told."""
        now = self._clock()
        memory = read_memory(self._proc)
        smart = self._ksm.read("smart_scan")
        zero = self._ksm.read("use_zero_pages")
        reading = self._processes.read(now, memory.total_bytes)
        return KsmSample(
            time=now,
            run=self._need("run"),
            pages_to_scan=self._need("pages_to_scan"),
            sleep_millisecs=self._need("sleep_millisecs"),
            smart_scan=None if smart is None else smart == 1,
            advisor=self._ksm.read_word(ADVISOR),
            pages_shared=self._need("pages_shared"),
            pages_sharing=self._need("pages_sharing"),
            zero_pages=self._ksm.read("ksm_zero_pages"),
            pages_unshared=self._ksm.read("pages_unshared"),
            pages_volatile=self._ksm.read("pages_volatile"),
            pages_scanned=self._ksm.read("pages_scanned"),
            full_scans=self._need("full_scans"),
            general_profit=self._ksm.read("general_profit"),
            ksmd_cpu_seconds=reading.ksmd_cpu_seconds,
            total_bytes=memory.total_bytes,
            available_bytes=memory.available_bytes,
            memory_stall=read_pressure(self._proc, "memory"),
            cpu_stall=read_pressure(self._proc, "cpu"),
            opted_in=reading.opted_in,
            page_bytes=self._page_bytes,
            use_zero_pages=None if zero is None else zero == 1,
            cow_faults=read_vmstat(self._proc, "cow_ksm"),
            charges=reading.charges,
            blind=reading.blind,
            kernels=reading.kernels,
        )

    def _need(self, name: str) -> int:
        value = self._ksm.read(name)
        if value is None:
            raise KsmUnsupportedError(
                f"This kernel has no KSM: {self._ksm.path / name} does not exist",
                fix="Use a kernel with CONFIG_KSM. Memory and GPUs are reported all the same.",
            )
        return value
