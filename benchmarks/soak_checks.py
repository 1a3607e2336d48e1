"""What `soak` looks at: the books, the agent's own size, processes that are left."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nodeagent.estimate.pages import PAGE
from nodeagent.ksm.sysfs import KsmDir

from . import readings
from .memory_readings import merging_pages, use

_PROC = Path("/proc")
_GROWTH = 8 * 2**20
_SLACK = 24 * 2**20
_END_SECONDS = 20.0


@dataclass(frozen=True, kw_only=True)
class Books:
    """The same saving, counted by four; bytes, at one moment at which ksmd rests."""

    agent: int
    sysfs: int
    """pages_sharing and ksm_zero_pages now."""
    stat: int
    """Pages that the students' ksm_stat calls merged, first users included: an upper bound."""
    tables: int
    """Saved among the students, by their page tables."""

    def fault(self) -> str | None:
        """What does not agree, or None.

        While ksmd is stopped, pages that were written to since are still in Linux's own numbers;
        others on the machine may merge too. So page tables may show less than the rest, not more.
        """
        if abs(self.agent - self.sysfs) > _SLACK:
            return f"the agent says {self.agent:,} bytes saved, /sys {self.sysfs:,}"
        if self.tables > self.agent + _SLACK:
            return f"the agent says {self.agent:,} bytes saved, the page tables {self.tables:,}"
        if self.tables > self.stat + _SLACK:
            return f"ksm_stat says {self.stat:,} bytes merged, the page tables {self.tables:,}"
        return None


def books(said: dict[str, object], pids: Sequence[int]) -> Books:
    """Counted now. `said`: the agent's `ksm`."""
    saved = said["saved_bytes"]
    assert isinstance(saved, int)
    ksm = KsmDir()
    sysfs = (ksm.read("pages_sharing") or 0) + (ksm.read("ksm_zero_pages") or 0)
    (counted,) = use(pids)
    return Books(
        agent=saved,
        sysfs=sysfs * PAGE,
        stat=merging_pages(pids) * PAGE,
        tables=counted.mapped - counted.frames,
    )


@dataclass(kw_only=True)
class Leaks:
    """The agent's memory and descriptors over time, since it was last started."""

    resident: list[int] = field(default_factory=list)
    descriptors: list[int] = field(default_factory=list)
    _all: dict[str, list[int]] = field(default_factory=dict)
    _faults: list[str] = field(default_factory=list)

    def look(self, pid: int) -> None:
        """One more reading."""
        memory = readings.memory(pid)
        if memory is None:
            return
        self.resident.append(memory.resident)
        self.descriptors.append(len(list((_PROC / str(pid) / "fd").iterdir())))
        self._all.setdefault("resident", []).append(self.resident[-1])
        self._all.setdefault("descriptors", []).append(self.descriptors[-1])

    def forget(self) -> None:
        """A new agent: what the last one grew by is judged, and its successor starts afresh."""
        self._judge()
        self.resident, self.descriptors = [], []

    def faults(self) -> list[str]:
        """What has grown for good."""
        self._judge()
        return self._faults

    def span(self, name: str, unit: float) -> str:
        """Smallest and largest."""
        held = self._all.get(name)
        return f"{min(held) / unit:.0f} to {max(held) / unit:.0f}" if held else "-"

    def _judge(self) -> None:
        for name, held, most in (
            ("memory", self.resident, _GROWTH),
            ("descriptors", self.descriptors, 4),
        ):
            third = len(held) // 3
            if third < 2:
                continue
            early, late = max(held[:third]), min(held[-third:])
            if late > early + most:
                self._faults.append(f"the agent's {name} grew from {early:,} to {late:,}")


def children_of(pid: int) -> dict[int, str]:
    """Descendants of a process and their states, as /proc has them (Z: zombie)."""
    found = {}
    for each in readings.tree(pid):
        if each == pid:
            continue
        try:
            text = (_PROC / str(each) / "stat").read_text()
        except OSError:
            continue
        found[each] = text.rpartition(")")[2].split()[0]
    return found


def left_behind(pids: dict[int, str]) -> list[str]:
    """Those of these processes that go on, in words; waits a while for them to end."""
    until = time.monotonic() + _END_SECONDS
    while time.monotonic() < until:
        left = [word for pid in pids if (word := _said(pid)) is not None]
        if not left:
            return []
        time.sleep(0.2)
    return left


def _said(pid: int) -> str | None:
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:
            return f"{pid} (zombie)"
        return f"{pid} ({' '.join(process.cmdline())[:60]})"
    except psutil.Error:
        return None
