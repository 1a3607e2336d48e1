"""What can be told about processes by reading procfs and the memory cgroups oneself."""

import logging
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from nodeagent.errors import Problem
from nodeagent.host import find_process
from nodeagent.kernels.count import KernelCount
from nodeagent.kernels.find import Tables
from nodeagent.ksm.processes import OptedIn, ProcessWatch, pid_in
from nodeagent.workloads.invite import Invitation
from nodeagent.workloads.memcg import Charge, Memcgs, Merged, detect
from nodeagent.workloads.namespace import Lodgers, is_namespaced, namespace_root

log = logging.getLogger("nodeagent.ksm")

_CHARGES_SECONDS = 4.0
_KERNELS_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class ProcessReading:
    """Everything a decision needs to know about processes."""

    opted_in: OptedIn
    charges: tuple[Charge, ...]
    """Memory cgroups with a limit that have opted-in processes."""
    ksmd_cpu_seconds: float | None
    """Counter since boot; None: ksmd is not visible."""
    blind: Problem | None = None
    """Why nothing is known; the rest is then empty."""
    kernels: KernelCount | None = None
    """What the students' servers say of their kernels; None: not known."""


class ProcessFacts(Protocol):
    """Where readings come from: this process, or the reader beside it."""

    def arrivals(self, now: float) -> bool:
        """Whether a process has opted in since the last reading. `now`: monotonic seconds."""

    def read(self, now: float, total_bytes: int) -> ProcessReading:
        """All of it. `total_bytes`: the machine's memory."""


class LocalProcesses:
    """Reads below `proc` and `cgroups` (/sys/fs/cgroup). Not safe for two threads.

    `own_user`: as in ProcessWatch. `own_cgroups`: the hierarchy as this process has it mounted,
    which in a container is another view of `cgroups`.
    """

    def __init__(
        self,
        proc: Path,
        *,
        page_bytes: int,
        cgroups: Path | None = None,
        invitation: Invitation | None = None,
        own_user: bool = False,
        own_cgroups: Path = Path("/sys/fs/cgroup"),
    ) -> None:
        self._proc = proc
        self._tick_hz = os.sysconf("SC_CLK_TCK")
        self._ksmd: int | None = None
        root: str | None = "/"
        if cgroups is not None and is_namespaced(proc):
            part = "memory" if detect(cgroups) == "v1" else ""
            root = namespace_root(cgroups / part, own_cgroups / part)
        # Without knowing where the namespace begins a path would be looked up in the wrong place.
        self._cgroups = None if root is None else cgroups
        self._watch = ProcessWatch(
            proc,
            page_bytes=page_bytes,
            invitation=invitation,
            own_user=own_user,
            cgroup_root=root or "/",
        )
        # cgroup.procs leaves out processes that this one's pid namespace has no number for.
        foreign = pid_in(str(proc)) != os.getpid()
        self._lodgers = Lodgers(proc, root or "/") if foreign else None
        self._memcgs: Memcgs | None = None
        self._charges: tuple[Charge, ...] = ()
        self._charges_read = -_CHARGES_SECONDS
        self._tables = Tables(proc)
        self._kernels: KernelCount | None = None
        self._kernels_read: float | None = None
        self._kernels_failed = False

    def arrivals(self, now: float) -> bool:
        """A quick look at new and young processes only."""
        return self._watch.arrivals(now)

    def read(self, now: float, total_bytes: int) -> ProcessReading:
        """Survey every process; limits are kept for some seconds."""
        opted_in = self._watch.survey(now)
        return ProcessReading(
            opted_in=opted_in,
            charges=self._read_charges(opted_in, total_bytes, now),
            ksmd_cpu_seconds=self._ksmd_cpu(),
            kernels=self._read_kernels(opted_in, now),
        )

    def _read_kernels(self, seen: OptedIn, now: float) -> KernelCount | None:
        """Kept for some seconds: notebooks are opened by hand."""
        if seen.processes is None:
            return None
        if self._kernels_read is None or now - self._kernels_read >= _KERNELS_SECONDS:
            self._kernels_read = now
            try:
                self._kernels = self._tables.read(seen.members, now)
                self._kernels_failed = False
            except Exception:  # students write these tables; KSM is steered whatever is in them
                self._kernels = None
                if not self._kernels_failed:
                    log.exception("what servers say of their kernels cannot be counted")
                self._kernels_failed = True
        return self._kernels

    def _read_charges(self, seen: OptedIn, total: int, now: float) -> tuple[Charge, ...]:
        """Kept for some seconds: with a hundred containers a reading is no trifle."""
        if self._cgroups is None or now - self._charges_read < _CHARGES_SECONDS:
            return self._charges
        if self._memcgs is None:
            self._memcgs = Memcgs(
                self._cgroups,
                total_bytes=total,
                private=self._watch.private_bytes,
                merged_now=self._watch.merged_now,
                within=None if self._lodgers is None else self._lodgers.within,
            )
        if self._lodgers is not None:
            self._lodgers.renew()
        self._charges_read = now
        self._charges = self._memcgs.charges(
            (
                Merged(
                    path=member.workload.memory_path,
                    pid=member.pid,
                    merged_bytes=member.merged_bytes or 0,
                )
                for member in seen.members
                if member.workload.memory_path is not None and not member.donor
            ),
            now,
        )
        return self._charges

    def _ksmd_cpu(self) -> float | None:
        if self._ksmd is None:
            self._ksmd = find_process(self._proc, "ksmd")
        if self._ksmd is None:
            return None
        folder = self._proc / str(self._ksmd)
        try:
            # Nanoseconds; needs CONFIG_SCHED_INFO. Source: Documentation/scheduler/sched-stats.
            return int((folder / "schedstat").read_text(encoding="ascii").split()[0]) / 1e9
        except (OSError, ValueError, IndexError):
            pass
        try:
            fields = (folder / "stat").read_text(encoding="ascii").rpartition(")")[2].split()
            return (int(fields[11]) + int(fields[12])) / self._tick_hz
        except (OSError, ValueError, IndexError):
            self._ksmd = None
            return None
