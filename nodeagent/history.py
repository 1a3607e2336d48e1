"""The last hours, in bounded memory."""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True, slots=True)
class Point:
    """One moment; `time` in epoch seconds. None: not known then."""

    time: float
    saved_bytes: int | None
    available_bytes: int | None
    ksmd_cpu_ratio: float | None


class History:
    """A ring of points: `hours` long, and never more than `most` points."""

    def __init__(self, *, hours: float, most: int = 2000) -> None:
        self._seconds = hours * 3600
        self._points: deque[Point] = deque(maxlen=most)

    def add(self, point: Point) -> None:
        """Append. After the wall clock was set back, points from its future go."""
        while self._points and self._points[-1].time >= point.time:
            self._points.pop()
        while self._points and self._points[0].time < point.time - self._seconds:
            self._points.popleft()
        self._points.append(point)

    def points(self) -> tuple[Point, ...]:
        """Oldest first."""
        return tuple(self._points)
