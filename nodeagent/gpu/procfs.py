"""Who a pid of the driver's list is, from procfs. A process is told by (pid, start time)."""

import os
import re
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.workloads.cgroup import Workload, parse_cgroup
from nodeagent.workloads.namespace import from_root

TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")

_READ_BYTES = 8192
_GENERATIONS = 24
_SETTLED_SECONDS = 30.0
_KERNEL = re.compile(r"kernel-([0-9A-Za-z-]{8,64})\.json")
_NOTEBOOK = re.compile(r"ipykernel|jupyter|jupyverse|xeus|irkernel|ijulia", re.IGNORECASE)
_ODD_PLACES = ("/tmp/", "/dev/shm/", "/var/tmp/", "/run/user/")
_INIT_PID_NAMESPACE = "pid:[4026531836]"
"""The number the kernel gives to the first pid namespace (PROC_PID_INIT_INO)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """`started`: ticks after boot; `cpu_ticks`: used so far."""

    pid: int
    started: int
    zombie: bool
    cpu_ticks: int
    uid: int
    workload: Workload
    name: str
    kernel_id: str | None
    inner_pid: int | None
    """As its own container numbers it; None: not told."""


class ProcessTable:
    """Reads below `proc`; what cannot change in a process's life is read once. `now`: monotonic."""

    def __init__(self, proc: Path, *, cgroup_root: str = "/") -> None:
        self._proc = str(proc)
        self._cgroup_root = cgroup_root
        self._known: dict[int, tuple[float, Seen]] = {}

    def look(self, pids: set[int], now: float) -> dict[int, Seen]:
        """Those that are there. A pid that is missing has ended (or is not visible here)."""
        found: dict[int, tuple[float, Seen]] = {}
        for pid in pids:
            text = self._read(pid, "stat")
            seen = None if text is None else self._seen(pid, text, now)
            if seen is not None:
                found[pid] = seen
        self._known = found
        return {pid: each for pid, (_, each) in found.items()}

    def one(self, pid: int) -> Seen | None:
        """A process that is on no GPU, such as who asks on a socket."""
        text = self._read(pid, "stat")
        return None if text is None else self._fresh(pid, text)

    def notebook_parent(self, pid: int) -> bool | None:
        """Whether it or one above it is a kernel, a Jupyter server or its terminal; None: a command
        line cannot be read."""
        for _ in range(_GENERATIONS):
            line = self._read(pid, "cmdline")
            if line is None:
                return None
            if _NOTEBOOK.search(line):
                return True
            fields = (self._read(pid, "stat") or "").rpartition(")")[2].split()
            if len(fields) < 2:
                return None
            pid = int(fields[1])
            if pid <= 1:
                return False
        return False

    def odd_program(self, pid: int) -> bool | None:
        """Whether its program was deleted or is where programs are not kept; None: not told."""
        try:
            target = os.readlink(f"{self._proc}/{pid}/exe")  # noqa: PTH115  # a link's text
        except OSError:
            return None
        return target.endswith(" (deleted)") or target.startswith(_ODD_PLACES)

    def disk_bytes(self, pid: int) -> int | None:
        """Read and written so far; None: not told (it takes the right to trace the process)."""
        numbers = {
            name: int(value)
            for name, _, value in (
                line.partition(": ") for line in (self._read(pid, "io") or "").splitlines()
            )
            if value.isdigit()
        }
        if "read_bytes" not in numbers or "write_bytes" not in numbers:
            return None
        return numbers["read_bytes"] + numbers["write_bytes"]

    def _seen(self, pid: int, text: str, now: float) -> tuple[float, Seen] | None:
        fields = text.rpartition(")")[2].split()
        if len(fields) < 20:
            return None
        started, cpu = int(fields[19]), int(fields[11]) + int(fields[12])
        known = self._known.get(pid)
        if known is not None and known[1].started == started:
            first, before = known
            # Runtimes move a young process into its container's cgroup after the fork.
            if now - first > _SETTLED_SECONDS or before.zombie:
                return first, replace(before, zombie=fields[0] == "Z", cpu_ticks=cpu)
        fresh = self._fresh(pid, text)
        if fresh is None:
            return None
        return (known[0] if known and known[1].started == started else now), fresh

    def _fresh(self, pid: int, text: str) -> Seen | None:
        head, _, rest = text.rpartition(")")
        fields = rest.split()
        if len(fields) < 20:
            return None
        status = self._read(pid, "status")
        if status is None:
            return None
        uid, inner = _status(status)
        workload = parse_cgroup(self._read(pid, "cgroup") or "")
        if self._cgroup_root != "/" and workload.memory_path is not None:
            path = from_root(workload.memory_path, self._cgroup_root)
            workload = replace(workload, memory_path=path)
        kernel = _KERNEL.search(self._read(pid, "cmdline") or "")
        return Seen(
            pid=pid,
            started=int(fields[19]),
            zombie=fields[0] == "Z",
            cpu_ticks=int(fields[11]) + int(fields[12]),
            uid=uid,
            workload=workload,
            name=head.partition("(")[2],
            kernel_id=kernel[1] if kernel else None,
            inner_pid=inner,
        )

    def _read(self, pid: int, name: str) -> str | None:
        # os.open: a third of the cost of a file object, and this runs for every process.
        try:
            handle = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(handle, _READ_BYTES).decode("utf-8", "replace")
            finally:
                os.close(handle)
        except OSError:
            return None


def _status(text: str) -> tuple[int, int | None]:
    """(real user, innermost pid). Not the folder's owner, which is the effective user."""
    uid, inner = 0, None
    for line in text.splitlines():
        if line.startswith("Uid:"):
            uid = int(line.split()[1])
        elif line.startswith("NSpid:"):
            inner = int(line.split()[-1])
    return uid, inner


def boot_epoch(proc: Path) -> float | None:
    """When this machine was booted; None: not told."""
    try:
        with (proc / "stat").open(encoding="ascii") as lines:
            return next(float(line.split()[1]) for line in lines if line.startswith("btime "))
    except (OSError, ValueError, IndexError, StopIteration):
        return None


def in_host_pid_namespace() -> bool:
    """Whether this process has the pids of the host, as the driver's lists do."""
    try:
        return Path("/proc/self/ns/pid").readlink().name == _INIT_PID_NAMESPACE
    except OSError:
        return False


def count_pci_gpus(sys_root: Path) -> int | None:
    """NVIDIA's display and 3D controllers as the kernel counts them; None: no PCI to be seen."""
    devices = sys_root / "bus/pci/devices"
    found = 0
    try:
        for device in devices.iterdir():
            try:
                vendor = (device / "vendor").read_text(encoding="ascii").strip()
                kind = (device / "class").read_text(encoding="ascii").strip()
            except OSError:
                continue
            found += vendor == "0x10de" and kind[:6] in ("0x0300", "0x0302")
    except OSError:
        return None
    return found
