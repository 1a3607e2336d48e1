"""What scanning costs, and how to scan at a chosen share of a core. Pure.

Measured on Linux 6.18: a page met for the first time (only its checksum is taken) 1.3 us of ksmd, a
page compared with others and merged 5.7 us, a page already merged 0.22 us; ksmd sleeps between
batches, rounded up to a timer tick, so that a plan is an upper bound.
"""

import math
from dataclasses import dataclass

FIRST_US = 1.3
COMPARE_US = 5.7
DEAR_US = 8.0
"""A page at its dearest, on a busy machine: what was learnt of cheap pages may not hold."""
MAX_BATCH_PAGES = 5000
"""A write to `run` waits for the batch under way: 5000 pages are some 30 ms."""
MIN_BATCH_PAGES = 16
_PERIOD_US = 100_000.0
_MAX_COST_US = 100.0
_STEP = 1.5


@dataclass(frozen=True, kw_only=True)
class Rate:
    """Values for pages_to_scan and sleep_millisecs."""

    pages: int
    sleep_ms: int


def learn_cost(known: float, cpu_seconds: float, pages: int) -> float:
    """Microseconds per page, after ksmd spent `cpu_seconds` on `pages`; unchanged if too few.

    A higher cost is believed at once, for the budget's sake; a lower one by half.
    """
    if pages < 1000 or cpu_seconds <= 0:
        return known
    now = min(cpu_seconds * 1e6 / pages, _MAX_COST_US)
    return max(now, (known + now) / 2)


def careful_cost(known: float, cores: float, seconds: float, left: float) -> float:
    """The cost to plan with: should each page turn out dear, `seconds` at `cores` stay in `left`.

    `known`: microseconds per page lately. `left`: CPU seconds of the budget, above 0.
    """
    return max(known, DEAR_US * cores * seconds / left)


def level(cores: float) -> float:
    """Rounded down to a step of 1.5, so that small changes write no new knobs; 0 below 0.1 %."""
    if cores < 0.001:
        return 0.0
    return float(0.001 * _STEP ** math.floor(math.log(cores / 0.001, _STEP) + 1e-9))


def rate(cores: float, cost_us: float) -> Rate:
    """A rate that keeps ksmd at or below `cores` (0 < cores < 1) at `cost_us` per page."""
    cost = 0.2 * 1.25 ** math.ceil(math.log(max(cost_us, 0.2) / 0.2, 1.25) - 1e-9)
    pages = min(max(round(cores * _PERIOD_US / cost), MIN_BATCH_PAGES), MAX_BATCH_PAGES)
    sleep = math.ceil(pages * cost * (1 - cores) / cores / 1000)
    return Rate(pages=pages, sleep_ms=min(max(sleep, 1), 10_000))
