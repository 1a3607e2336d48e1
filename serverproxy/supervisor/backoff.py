"""Whether an application may be started once more. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class StartDecision:
    """wait_s: seconds until it may be; 0.0 when it may now. limited: the window is full."""

    wait_s: float
    limited: bool

    @property
    def allowed(self) -> bool:
        """Whether it may be started now."""
        return self.wait_s <= 0


def recent_starts(starts: Sequence[float], now: float, window_s: float) -> tuple[float, ...]:
    """Those of the last `window_s` seconds. Pure."""
    return tuple(at for at in starts if now - at < window_s)


def decide_start(
    starts: Sequence[float],
    now: float,
    *,
    max_starts: int,
    window_s: float,
    failed_at: float | None,
    explicit: bool,
) -> StartDecision:
    """Decide on a start at `now`; all times are of one steady clock, in seconds.

    starts: earlier ones that count. failed_at: when the last one failed, None when it did not.
    explicit: a person asks, who need not rest after a failure but is bounded by the window too.
    """
    recent = recent_starts(starts, now, window_s)
    if len(recent) >= max_starts:
        # Room for one: the oldest of the newest `max_starts` has to leave the window.
        return StartDecision(wait_s=sorted(recent)[-max_starts] + window_s - now, limited=True)
    if failed_at is not None and not explicit:
        rest = failed_at + rest_after(len(recent), window_s) - now
        return StartDecision(wait_s=max(0.0, rest), limited=False)
    return StartDecision(wait_s=0.0, limited=False)


def rest_after(failures: int, window_s: float) -> float:
    """Seconds without a try of our own after so many recent failures: 2, 4, 8 ... a window."""
    return float(min(2 ** max(1, failures), window_s))
