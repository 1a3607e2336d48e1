"""Does a load look like mining? Pure.

Sustained full load alone never suffices: a long training run has it too. All of the first group
must hold, and one of the second, and what is not known holds never.

first:  SM and power at the limit for hours without variation; flat memory; quiet bus, CPU and disk
second: its kernel is idle; no notebook or terminal among its parents; a program from a place where
        programs are not kept, or deleted; no allocation
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.reading import Reading

MinerVerdict = Literal["flagged", "clear", "unknown"]


@dataclass(frozen=True, kw_only=True)
class MinerRules:
    """Seconds, shares of 1."""

    seconds: float = 7200.0
    sm: float = 0.95
    power: float = 0.90
    sm_deviation: float = 0.02
    memory_change: float = 0.01
    other_load: float = 0.05


@dataclass(frozen=True, kw_only=True)
class Load:
    """One tenant's process on one GPU, over the rules' time. Shares of 1."""

    seconds: Reading[float]
    """For how long it has been watched without a gap."""
    sm_mean: Reading[float]
    sm_deviation: Reading[float]
    """Standard deviation of the SM share."""
    power_share: Reading[float]
    """Mean power, of the card's limit."""
    memory_change: Reading[float]
    """Largest change of its memory, of its mean."""
    bus_share: Reading[float]
    """Of the PCIe bandwidth."""
    host_cpu_share: Reading[float]
    """Of one core."""
    disk_share: Reading[float]
    kernel_idle: Reading[bool]
    notebook_parent: Reading[bool]
    odd_program: Reading[bool]
    allocated: Reading[bool]


@dataclass(frozen=True, kw_only=True)
class MinerFinding:
    """`signs`: what held; `unknown`: what could not be told and might have decided."""

    verdict: MinerVerdict
    signs: tuple[str, ...]
    unknown: tuple[str, ...]


def judge(load: Load, rules: MinerRules) -> MinerFinding:
    """Flagged, clear, or unknown where an unknown fact stands between."""
    needed = {
        "watched for long enough": _at_least(load.seconds, rules.seconds),
        "SM at the limit": _at_least(load.sm_mean, rules.sm),
        "SM without variation": _at_most(load.sm_deviation, rules.sm_deviation),
        "power at the limit": _at_least(load.power_share, rules.power),
        "flat memory": _at_most(load.memory_change, rules.memory_change),
        "quiet bus": _at_most(load.bus_share, rules.other_load),
        "quiet CPU": _at_most(load.host_cpu_share, rules.other_load),
        "quiet disk": _at_most(load.disk_share, rules.other_load),
    }
    telling = {
        "its kernel is idle": load.kernel_idle.known,
        "no notebook among its parents": _not(load.notebook_parent.known),
        "odd program": load.odd_program.known,
        "no allocation": _not(load.allocated.known),
    }
    every = needed | telling
    signs = tuple(name for name, holds in every.items() if holds)
    missing = tuple(name for name, holds in every.items() if holds is None)
    if False in needed.values() or set(telling.values()) == {False}:
        return MinerFinding(verdict="clear", signs=signs, unknown=missing)
    flagged = all(needed.values()) and True in telling.values()
    return MinerFinding(verdict="flagged" if flagged else "unknown", signs=signs, unknown=missing)


def _at_least(reading: Reading[float], bound: float) -> bool | None:
    return None if reading.known is None else reading.known >= bound


def _at_most(reading: Reading[float], bound: float) -> bool | None:
    return None if reading.known is None else reading.known <= bound


def _not(value: bool | None) -> bool | None:
    return None if value is None else not value
