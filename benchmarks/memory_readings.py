"""What a class uses: from page tables, from the machine's own account, and over time."""

import os
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from nodeagent.estimate.count import PageCounter
from nodeagent.estimate.pages import PAGE, pages, zero_frame
from nodeagent.ksm.processes import parse_ksm_stat
from nodeagent.ksm.sysfs import KsmDir

from . import readings

_PROC = Path("/proc")
_KERNEL_MEMORY = ("AnonPages", "SUnreclaim", "PageTables", "KernelStack")


@dataclass(frozen=True, kw_only=True)
class Use:
    """Bytes of some processes together."""

    mapped: int
    """Private memory as the processes map it, pages that KSM made zero pages included."""
    frames: int
    """Private memory the machine gives for it: every frame once, whoever shares it."""
    best: int
    """What it would give if every equal page were merged now."""

    @property
    def reached(self) -> float:
        """Share of the possible saving, 0..1."""
        return (self.mapped - self.frames) / max(self.mapped - self.best, 1)


def use(*groups: Sequence[int]) -> list[Use]:
    """Of the first group of processes, of the first and the second together, and so on.

    Hashes every page, the agent's own `estimate` code; some seconds per GB.
    """
    counter, zero = PageCounter(most=2_000_000), zero_frame()
    if zero == 0:
        raise SystemExit("Frames are not visible: run this as root.")
    found, number, zeros = [], 0, 0
    for group in groups:
        for pid in group:
            number += 1
            zeros += zero_pages(pid)
            for chunk in pages(_PROC, pid):
                for page in chunk:
                    if page.frame != zero:
                        counter.add(number, page.content, page.frame)
        total = counter.possible()
        frames = total.pages - total.shared_now
        found.append(
            Use(
                mapped=(total.pages + zeros) * PAGE,
                frames=frames * PAGE,
                best=(frames - total.further) * PAGE,
            )
        )
    return found


def zero_pages(pid: int) -> int:
    """Pages of zeros that KSM took away from this process."""
    try:
        stat = parse_ksm_stat((_PROC / str(pid) / "ksm_stat").read_text(encoding="ascii"))
    except OSError:
        return 0
    return 0 if stat is None else stat.zero_pages or 0


def merging_pages(pids: Sequence[int]) -> int:
    """Pages of these processes that use a kept page, first users included, and zero pages."""
    total = 0
    for pid in pids:
        try:
            stat = parse_ksm_stat((_PROC / str(pid) / "ksm_stat").read_text(encoding="ascii"))
        except OSError:
            continue
        if stat is not None:
            total += (stat.merging_pages or 0) + (stat.zero_pages or 0)
    return total


def machine_bytes() -> int:
    """Private memory, page tables and kernel memory (KSM's tables are there) of the machine."""
    rows = (_PROC / "meminfo").read_text().splitlines()
    kib = {name: int(value.split()[0]) for name, _, value in (row.partition(":") for row in rows)}
    return sum(kib.get(name, 0) for name in _KERNEL_MEMORY) * 1024


def _anonymous() -> int:
    rows = (_PROC / "meminfo").read_text().splitlines()
    return next(int(row.split()[1]) * 1024 for row in rows if row.startswith("AnonPages:"))


def _resident(pid: int) -> int:
    """Private bytes that a process maps; 0 when it is gone."""
    try:
        fields = (_PROC / str(pid) / "statm").read_text().split()
    except OSError:
        return 0
    return (int(fields[1]) - int(fields[2])) * PAGE


def others_cpu_seconds(ours: Sequence[int]) -> float:
    """CPU time of the whole machine since it started, less that of `ours` and of ksmd.

    Children that were waited for are in their parent's time.
    """
    fields = (_PROC / "stat").read_text().split("\n", 1)[0].split()[1:]
    busy = sum(int(field) for number, field in enumerate(fields[:8]) if number not in (3, 4))
    mine = sum(readings.cpu_seconds(pid) or 0.0 for pid in ours)
    return busy / os.sysconf("SC_CLK_TCK") - mine - (ksmd_seconds() or 0.0)


def ksmd_seconds() -> float | None:
    """CPU time of the merging thread, in the scheduler's nanoseconds; None where it is not seen."""
    pid = readings.ksmd_pid()
    if pid is None:
        return None
    try:
        return int((_PROC / str(pid) / "schedstat").read_text().split()[0]) / 1e9
    except OSError:
        return readings.cpu_seconds(pid)


@dataclass(frozen=True, kw_only=True)
class Point:
    """`at`: time.monotonic; `saved` bytes: pages_sharing and ksm_zero_pages; the zero pages alone.

    `unshared`: the machine's private memory, less what `Watch.pids` map of it: it falls by a byte
    for each byte that they come to share, merged or forked, and by nothing else of theirs.
    """

    at: float
    saved: int
    zero: int
    unshared: int
    running: bool
    full_scans: int
    ksmd: float | None


class Watch:
    """Notes twice a second, on a thread, how far merging has come. Use with `with`."""

    def __init__(self) -> None:
        self._ksm = KsmDir()
        self._ksmd = readings.ksmd_pid()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.points: list[Point] = []
        self.pids: list[int] = []

    def __enter__(self) -> Self:
        self.points.append(self.look())
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stop.set()
        self._thread.join()

    def look(self) -> Point:
        """The present moment."""
        read = self._ksm.read
        zero = read("ksm_zero_pages") or 0
        saved = (read("pages_sharing") or 0) + zero
        spent = None
        if self._ksmd is not None:
            spent = int((_PROC / str(self._ksmd) / "schedstat").read_text().split()[0]) / 1e9
        return Point(
            at=time.monotonic(),
            saved=saved * PAGE,
            zero=zero * PAGE,
            unshared=_anonymous() - sum(map(_resident, self.pids)),
            running=read("run") == 1,
            full_scans=read("full_scans") or 0,
            ksmd=spent,
        )

    def _run(self) -> None:
        while not self._stop.wait(0.5):
            self.points.append(self.look())


def seconds_to(points: Sequence[tuple[float, int]], since: float, amount: float) -> float | None:
    """Seconds from `since` until `amount` bytes were saved, 0 when they were by then. Pure.

    None: never seen.
    """
    if amount <= 0:
        return None
    before = [saved for at, saved in points if at <= since]
    if before and before[-1] >= amount:
        return 0.0
    return next((at - since for at, saved in points if at > since and saved >= amount), None)


def thinned(points: Sequence[tuple[float, int]], most: int = 120) -> list[tuple[float, int]]:
    """At most about `most` of them, first and last kept. Pure."""
    step = max(1, len(points) // most)
    kept = [point for number, point in enumerate(points) if number % step == 0]
    return kept if not points or kept[-1] == points[-1] else [*kept, points[-1]]
