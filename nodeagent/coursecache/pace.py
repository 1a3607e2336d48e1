"""When a course's server may be asked again. Pure."""

from __future__ import annotations

import email.utils
import math
from dataclasses import dataclass

_FIRST_WAIT = 15.0
_LONGEST_WAIT = 1800.0
_LONGEST_RETRY_AFTER = 6 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Pace:
    """interval: seconds between questions while all is well. jitter: share of it, 0 to 1."""

    interval: float
    jitter: float = 0.2

    def first(self, chance: float) -> float:
        """Seconds to wait after the agent's start; `chance` from 0 to 1.

        Nodes that start together, as after an upgrade, must not ask together.
        """
        return chance * min(10.0, self.interval / 4)

    def next(self, failures: int, retry_after: float | None, chance: float) -> float:
        """Seconds to wait after an answer; failures: how many in a row, 0 when it was good.

        What the server asked for is the least, and what everybody adds keeps them apart.
        """
        spread = 1 + self.jitter * chance
        if failures == 0:
            return self.interval * spread
        wait = max(self.interval, min(_LONGEST_WAIT, _FIRST_WAIT * 2.0 ** min(failures - 1, 20)))
        if retry_after is not None:
            wait = max(wait, retry_after)
        return wait * spread


def retry_seconds(text: str | None, now: float) -> float | None:
    """Seconds of a Retry-After header, at most six hours; None: there is no sense in it.

    now: epoch seconds. Source: RFC 9110, 10.2.3.
    """
    if text is None:
        return None
    try:
        seconds = float(text) if text.isascii() and text.isdigit() else _until(text, now)
    except (TypeError, ValueError, OverflowError):
        return None
    return min(max(0.0, seconds), _LONGEST_RETRY_AFTER) if math.isfinite(seconds) else None


def _until(text: str, now: float) -> float:
    return email.utils.parsedate_to_datetime(text).timestamp() - now
