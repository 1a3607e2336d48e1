"""Which processes have opted in to KSM, and how much memory they bring. Reads cheap files only."""

import os
from dataclasses import dataclass
from pathlib import Path

from nodeagent.workloads.cgroup import parse_cgroup

_YOUNG_SECONDS = 30.0
_READ_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class OptedIn:
    """Totals over all opted-in processes; None: not known to this agent (no permission)."""

    processes: int | None
    """Processes with prctl(PR_SET_MEMORY_MERGE) or MADV_MERGEABLE memory."""
    workloads: int | None
    """Pods or containers among them."""
    candidate_bytes: int | None
    """Their private memory, upper bound of what ksmd will look at (statm: resident - shared)."""
    unseen_bytes: int | None
    """The part that ksmd has not met yet: private memory without a KSM item."""
    visible: bool
    """Whether this kernel shows an opt-in before the first scan (ksm_merge_any, Linux 6.14)."""


UNKNOWN = OptedIn(
    processes=None, workloads=None, candidate_bytes=None, unseen_bytes=None, visible=False
)


@dataclass(frozen=True, kw_only=True)
class ProcessStat:
    """One process's ksm_stat."""

    rmap_items: int
    merge_any: bool | None
    """None: this kernel does not tell."""

    @property
    def opted_in(self) -> bool:
        """Flagged now, or holding KSM items from a scan."""
        return bool(self.merge_any) or self.rmap_items > 0


def parse_ksm_stat(text: str) -> ProcessStat | None:
    """From /proc/PID/ksm_stat; None for a kernel thread (empty) or an unknown form. Pure.

    `ksm_merge_any: yes` is the prctl flag, `ksm_mergeable: yes` any madvised or flagged mapping.
    """
    items: int | None = None
    flags: list[bool] = []
    for line in text.splitlines():
        name, _, value = line.replace(":", " ").partition(" ")
        value = value.strip()
        if name == "ksm_rmap_items" and value.isdigit():
            items = int(value)
        elif name in ("ksm_merge_any", "ksm_mergeable"):
            flags.append(value == "yes")
    if items is None:
        return None
    return ProcessStat(rmap_items=items, merge_any=any(flags) if flags else None)


class ProcessWatch:
    """Looks at the processes below `proc`, cheaply and repeatedly.

    `survey` reads every process; `arrivals` only those that are new or young, for the quick look
    between two surveys. Not safe for two threads.
    """

    def __init__(self, proc: Path, *, page_bytes: int) -> None:
        self._proc = str(proc)
        self._page_bytes = page_bytes
        self._first_seen: dict[str, float] = {}
        self._opted_in: dict[str, str | None] = {}

    def survey(self, now: float) -> OptedIn:
        """Read all. `now`: monotonic seconds."""
        pids = self._pids(now)
        found: dict[str, str | None] = {}
        candidate = unseen = 0
        readable = denied = False
        visible = True
        for pid in pids:
            try:
                text = self._read(pid, "ksm_stat")
                if text is None:
                    continue
                stat = parse_ksm_stat(text)
                if stat is None:
                    continue
                readable = True
                visible = visible and stat.merge_any is not None
                if not stat.opted_in:
                    continue
                private = self._private_bytes(pid)
            except PermissionError:
                denied = True
                continue
            found[pid] = self._opted_in[pid] if pid in self._opted_in else self._workload(pid)
            candidate += private
            unseen += max(0, private - stat.rmap_items * self._page_bytes)
        self._opted_in = found
        if denied or not readable:
            return UNKNOWN
        return OptedIn(
            processes=len(found),
            workloads=len({key for key in found.values() if key is not None}),
            candidate_bytes=candidate,
            unseen_bytes=unseen,
            visible=visible,
        )

    def arrivals(self, now: float) -> bool:
        """Whether a process has opted in since the last survey."""
        for pid in self._pids(now):
            # The flag is set by the process itself, some time after it appears.
            if pid in self._opted_in or now - self._first_seen[pid] > _YOUNG_SECONDS:
                continue
            try:
                text = self._read(pid, "ksm_stat")
            except PermissionError:
                continue
            stat = parse_ksm_stat(text) if text else None
            if stat is not None and stat.opted_in:
                return True
        return False

    def _pids(self, now: float) -> list[str]:
        pids = [name for name in os.listdir(self._proc) if name[0].isdigit()]  # noqa: PTH208  # cost
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in pids}
        return pids

    def _read(self, pid: str, name: str) -> str | None:
        """None: the process is gone or the kernel has no such file."""
        # os.open: a third of the cost of a file object, and this runs for every process.
        try:
            handle = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(handle, _READ_BYTES).decode("utf-8", "replace")
            finally:
                os.close(handle)
        except PermissionError:
            raise
        except OSError:
            return None

    def _private_bytes(self, pid: str) -> int:
        fields = (self._read(pid, "statm") or "").split()
        try:
            return max(0, int(fields[1]) - int(fields[2])) * self._page_bytes
        except (IndexError, ValueError):
            return 0

    def _workload(self, pid: str) -> str | None:
        try:
            return parse_cgroup(self._read(pid, "cgroup") or "").key
        except PermissionError:
            return None
