"""What a value was over the last 1, 5 and 15 minutes, in a few hundred bytes each. Pure.

Time is cut into steps of 15 s. A reading counts for the time since the one before it, at most twice
the tick: a time in which nobody looked adds nothing, neither work nor idleness.
"""

import math
from array import array

STEP = 15.0
STEPS = 61
"""15 minutes, and the step under way."""

MINUTES = {1: 60.0, 5: 300.0, 15: 900.0}
_STEPS_OF = {minutes: min(STEPS, int(seconds / STEP) + 1) for minutes, seconds in MINUTES.items()}

Shares = dict[int, tuple[float, float | None, float | None]]


class Window:
    """Sums per step of two shares (0..1), and the largest of an amount."""

    __slots__ = ("_amount", "_first", "_second", "_seconds", "_step", "since")

    def __init__(self, now: float) -> None:
        self.since = now
        """Monotonic seconds of the first reading."""
        self._step = int(now // STEP)
        self._seconds = array("f", bytes(4 * STEPS))
        self._first = array("f", bytes(4 * STEPS))
        self._second = array("f", bytes(4 * STEPS))
        self._amount = array("d", bytes(8 * STEPS))

    def add(
        self,
        now: float,
        seconds: float,
        first: float | None,
        second: float | None = None,
        amount: int | None = None,
    ) -> None:
        """Of the `seconds` before `now`, shares `first` and `second`; None: not known."""
        at = self._turn(now)
        if first is not None:
            self._seconds[at] += seconds
            self._first[at] += seconds * first
            self._second[at] += seconds * (second or 0.0)
        if amount is not None and amount > self._amount[at]:
            self._amount[at] = amount

    def over(self, now: float) -> Shares:
        """All of it at once: minutes -> (seconds watched, first share, second share)."""
        end = self._turn(now) + 1
        found: Shares = {}
        for minutes, steps in _STEPS_OF.items():
            start = end - steps
            seconds, first, second = (
                sum(values[start:end]) if start >= 0 else sum(values[:end]) + sum(values[start:])
                for values in (self._seconds, self._first, self._second)
            )
            if seconds > 0:
                shares = (min(1.0, first / seconds), min(1.0, second / seconds))
                found[minutes] = (seconds, *shares)
            else:
                found[minutes] = (0.0, None, None)
        return found

    def first_quantile(self, share: float, now: float) -> float | None:
        """Of the steps of the last 15 minutes; None: not watched at all."""
        self._turn(now)
        found = sorted(
            min(1.0, value / seconds)
            for value, seconds in zip(self._first, self._seconds, strict=True)
            if seconds > 0
        )
        return found[_rank(share, len(found))] if found else None

    def amount_quantile(self, share: float, now: float) -> int | None:
        """Of the largest amounts of the steps; None: never more than 0."""
        self._turn(now)
        found = sorted(value for value in self._amount if value > 0)
        return int(found[_rank(share, len(found))]) if found else None

    def _turn(self, now: float) -> int:
        """The place of the step under way; steps passed since then are empty."""
        step = int(now // STEP)
        if step <= self._step:
            return self._step % STEPS
        for passed in range(max(self._step + 1, step - STEPS + 1), step + 1):
            at = passed % STEPS
            self._seconds[at] = self._first[at] = self._second[at] = self._amount[at] = 0.0
        self._step = step
        return step % STEPS


def _rank(share: float, count: int) -> int:
    return max(0, math.ceil(share * count) - 1)
