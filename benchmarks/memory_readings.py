"""What a class uses, counted from its page tables, and where merging it could end."""

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.estimate.count import PageCounter
from nodeagent.estimate.pages import PAGE, pages, zero_frame
from nodeagent.ksm.processes import parse_ksm_stat

_PROC = Path("/proc")


@dataclass(frozen=True, kw_only=True)
class Use:
    """Bytes of all kernels together."""

    mapped: int
    """Private memory as the processes map it."""
    frames: int
    """Private memory the machine gives for it: every frame once, whoever shares it."""
    best: int
    """What it would give if every equal page were merged now."""

    @property
    def reached(self) -> float:
        """Share of the possible saving, 0..1."""
        return (self.mapped - self.frames) / max(self.mapped - self.best, 1)


def use(pids: Sequence[int]) -> Use:
    """Hashes every page, the agent's own `estimate` code; some seconds per GB."""
    counter, zero = PageCounter(most=2_000_000), zero_frame()
    if zero == 0:
        raise SystemExit("Frames are not visible: run this as root.")
    for number, pid in enumerate(pids):
        for chunk in pages(_PROC, pid):
            for page in chunk:
                if page.frame != zero:
                    counter.add(number, page.content, page.frame)
    total = counter.possible()
    frames = total.pages - total.shared_now
    return Use(
        mapped=total.pages * PAGE,
        frames=frames * PAGE,
        best=(frames - total.further) * PAGE,
    )


def merged_bytes(pids: Sequence[int]) -> int:
    """Merged pages of these processes, from ksm_stat: cheap enough to ask every half second."""
    total = 0
    for pid in pids:
        try:
            stat = parse_ksm_stat((_PROC / str(pid) / "ksm_stat").read_text(encoding="ascii"))
        except OSError:
            continue
        if stat is not None:
            total += (stat.merging_pages or 0) + (stat.zero_pages or 0)
    return total * os.sysconf("SC_PAGESIZE")


@dataclass(frozen=True, kw_only=True)
class Curve:
    """Seconds and merged bytes since the last kernel started."""

    points: tuple[tuple[float, int], ...]

    def seconds_to(self, share: float, final: int) -> float | None:
        """When `share` of `final` bytes was merged; None: never seen, or there was nothing."""
        if final <= 0:
            return None
        return next((at for at, held in self.points if held >= share * final), None)


def follow(pids: Sequence[int], *, at_most: float, quiet: float) -> Curve:
    """Watch merging until it has not grown by 1 % for `quiet` seconds, or time is up."""
    begun = time.monotonic()
    points: list[tuple[float, int]] = []
    best, since = 0, begun
    while True:
        now = time.monotonic()
        held = merged_bytes(pids)
        points.append((now - begun, held))
        if held > 1.01 * best + PAGE:
            best, since = held, now
        if now - begun >= at_most or (now - since >= quiet):
            return Curve(points=tuple(points))
        time.sleep(0.5)
