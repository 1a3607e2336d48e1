"""How long a process has loaded its GPU fully without a break, and what else it did. Pure.

Kept for those few that do; the first break forgets everything.
"""

from dataclasses import dataclass

from nodeagent.gpu.flags.miner import Load
from nodeagent.gpu.reading import Reading, ok, unknown

_BREAK = 0.90
"""Mean SM share of a minute below which a streak ends."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """One process at one tick. None: not known. Shares of 1, bytes; CPU ticks and disk bytes count
    from its start."""

    sm: float | None
    power_share: float | None
    memory_bytes: int | None
    bus_share: float | None
    cpu_ticks: int | None
    disk_bytes: int | None


@dataclass(frozen=True, kw_only=True)
class Streak:
    """Sums over the streak so far."""

    seconds: float = 0.0
    looks: int = 0
    sm_mean: float = 0.0
    sm_squares: float = 0.0
    """Sum of squared distances from the mean (Welford)."""
    power: tuple[int, float] = (0, 0.0)
    bus: tuple[int, float] = (0, 0.0)
    memory: tuple[int, int] | None = None
    """Least and most."""
    cpu_first: int | None = None
    cpu_last: int | None = None
    disk_first: int | None = None
    disk_last: int | None = None


def advance(streak: Streak | None, look: Look, seconds: float) -> Streak | None:
    """The streak after `seconds` more; None: there is none (any more)."""
    if look.sm is None or look.sm < _BREAK:
        return None
    before = streak or Streak(cpu_first=look.cpu_ticks, disk_first=look.disk_bytes)
    looks = before.looks + 1
    mean = before.sm_mean + (look.sm - before.sm_mean) / looks
    memory = before.memory
    if look.memory_bytes is not None:
        least, most = memory or (look.memory_bytes, look.memory_bytes)
        memory = (min(least, look.memory_bytes), max(most, look.memory_bytes))
    return Streak(
        seconds=before.seconds + (seconds if streak is not None else 0.0),
        looks=looks,
        sm_mean=mean,
        sm_squares=before.sm_squares + (look.sm - before.sm_mean) * (look.sm - mean),
        power=_added(before.power, look.power_share),
        bus=_added(before.bus, look.bus_share),
        memory=memory,
        cpu_first=before.cpu_first,
        cpu_last=look.cpu_ticks,
        disk_first=before.disk_first,
        disk_last=look.disk_bytes,
    )


def load_of(
    streak: Streak,
    *,
    ticks_per_second: int,
    disk_bytes_per_second: float,
    notebook_parent: bool | None,
    odd_program: bool | None,
    allocated: bool | None,
) -> Load:
    """What the rules for mining want to know. Whether a kernel runs a cell the node cannot see."""
    cpu = _rate(streak.cpu_first, streak.cpu_last, streak.seconds * ticks_per_second)
    disk = _rate(streak.disk_first, streak.disk_last, streak.seconds * disk_bytes_per_second)
    change = None
    if streak.memory is not None and streak.memory[1] > 0:
        change = (streak.memory[1] - streak.memory[0]) / streak.memory[1]
    return Load(
        seconds=ok(streak.seconds, source="agent"),
        sm_mean=ok(streak.sm_mean, source="nvml"),
        sm_deviation=ok((streak.sm_squares / max(1, streak.looks)) ** 0.5, source="nvml"),
        power_share=_share(_mean(streak.power), "nvml"),
        memory_change=_share(change, "nvml"),
        bus_share=_share(_mean(streak.bus), "nvml"),
        host_cpu_share=_share(cpu, "procfs"),
        disk_share=_share(disk, "procfs"),
        kernel_idle=unknown("a node does not see what a kernel is asked", source="agent"),
        notebook_parent=_told(notebook_parent, "procfs"),
        odd_program=_told(odd_program, "procfs"),
        allocated=_told(allocated, "kubelet"),
    )


def _added(sums: tuple[int, float], value: float | None) -> tuple[int, float]:
    return sums if value is None else (sums[0] + 1, sums[1] + value)


def _mean(sums: tuple[int, float]) -> float | None:
    return sums[1] / sums[0] if sums[0] else None


def _rate(first: int | None, last: int | None, whole: float) -> float | None:
    return None if first is None or last is None or whole <= 0 else max(0, last - first) / whole


def _share(value: float | None, source: str) -> Reading[float]:
    return unknown("not told", source=source) if value is None else ok(value, source=source)


def _told(value: bool | None, source: str) -> Reading[bool]:
    return unknown("not told", source=source) if value is None else ok(value, source=source)
