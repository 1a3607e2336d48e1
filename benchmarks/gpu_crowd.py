"""Notebooks for the sharing simulation: when they come, what they take, how they work.

Medians and shares that the sources give are theirs; the rest is assumed, and the page says so.
"""

import math
import random
from dataclasses import dataclass

GIB = 2**30
CONTEXT = 400 * 2**20
_Z75 = 0.6745
SIZES = ((4 * GIB, 0.5), (8 * GIB, 0.3), (15 * GIB, 0.2))
NEVER = 0.70
TASK_MEDIAN, TASK_UPPER = 120.0, 300.0
GAP_MEDIAN, GAP_SIGMA = 300.0, 1.2
SESSION_MEDIAN, SESSION_SIGMA = 3600.0, 0.8


@dataclass(frozen=True, kw_only=True)
class Notebook:
    """`comes`, `stays`: seconds. `peak`: bytes it really needs with its context, 0: never any.

    `work`: (gap, task) seconds, the next pair after each task; the last one repeats.
    """

    name: str
    comes: float
    stays: float
    requested: int
    peak: int
    work: tuple[tuple[float, float], ...]


def crowd(per_second: float, until: float, source: random.Random) -> list[Notebook]:
    """Poisson arrivals."""
    found: list[Notebook] = []
    now = source.expovariate(per_second)
    while now < until:
        size = source.choices([size for size, _ in SIZES], [share for _, share in SIZES])[0]
        peak = int(CONTEXT + size * source.betavariate(2.0, 2.2))
        used = source.random() >= NEVER
        found.append(
            Notebook(
                name=f"nb/{len(found)}",
                comes=now,
                stays=source.lognormvariate(math.log(SESSION_MEDIAN), SESSION_SIGMA),
                requested=size,
                peak=min(peak, size) if used else 0,
                work=tuple(
                    (
                        source.lognormvariate(math.log(GAP_MEDIAN), GAP_SIGMA),
                        source.lognormvariate(
                            math.log(TASK_MEDIAN), math.log(TASK_UPPER / TASK_MEDIAN) / _Z75
                        ),
                    )
                    for _ in range(24)
                ),
            )
        )
        now += source.expovariate(per_second)
    return found
