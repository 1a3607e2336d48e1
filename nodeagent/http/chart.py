"""Saved memory over time as an SVG picture. Pure."""

import math
import time
from html import escape

from nodeagent.history import Point
from nodeagent.http.words import age_text, bytes_text

_WIDTH, _HEIGHT = 720, 250
_LEFT, _RIGHT, _TOP, _BOTTOM = 58, 14, 26, 42
_STEPS = (1, 2, 5, 10, 20, 50, 100, 200, 500)
_TIME_STEPS = (10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 14400, 21600)


def _unit(most: int) -> tuple[int, str]:
    return (2**30, "GiB") if most >= 2**30 else (2**20, "MiB")


def _y_ticks(most: int) -> tuple[list[float], str, int]:
    """Values in the unit from 0 up to at least `most`, at most six of them."""
    scale, unit = _unit(most)
    top = max(most / scale, 1 if unit == "MiB" else 0.1)
    step = next(
        (base * power for power in (0.1, 1, 1000) for base in _STEPS if top / (base * power) <= 5),
        top / 5,
    )
    return [step * count for count in range(math.ceil(top / step) + 1)], unit, scale


def _segments(points: tuple[Point, ...], gap: float) -> list[list[tuple[float, int]]]:
    """Runs of known values; a gap (agent stopped, not read) breaks the line."""
    runs: list[list[tuple[float, int]]] = []
    before: float | None = None
    for point in points:
        if point.saved_bytes is None:
            before = None
            continue
        if before is None or point.time - before > gap:
            runs.append([])
        runs[-1].append((point.time, point.saved_bytes))
        before = point.time
    return runs


def draw(points: tuple[Point, ...], *, interval: float) -> str:
    """An `<svg>` with axes and units; a sentence instead while there are fewer than two values."""
    known = [point for point in points if point.saved_bytes is not None]
    if len(known) < 2:
        return '<p class="quiet">The picture begins with the second reading.</p>'
    start, end = known[0].time, known[-1].time
    # A first minute over the whole width would look like a story; it is only the beginning.
    start = min(start, end - 60)
    most = max(point.saved_bytes or 0 for point in known)
    ticks, unit, scale = _y_ticks(most)
    top = ticks[-1] * scale

    def x(moment: float) -> float:
        return _LEFT + (moment - start) / (end - start) * (_WIDTH - _LEFT - _RIGHT)

    def y(amount: float) -> float:
        return _HEIGHT - _BOTTOM - amount / top * (_HEIGHT - _TOP - _BOTTOM)

    latest = known[-1].saved_bytes or 0
    label = f"Memory saved over the last {age_text(end - start)}: now {bytes_text(latest)}"
    parts = [
        f'<svg viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img" aria-label="{escape(label)}">',
        f'<text class="unit" x="{_LEFT}" y="14">Memory saved ({unit})</text>',
    ]
    for tick in ticks:
        height = y(tick * scale)
        parts.append(
            f'<line class="grid" x1="{_LEFT}" x2="{_WIDTH - _RIGHT}" y1="{height:.1f}" '
            f'y2="{height:.1f}"/><text class="tick end" x="{_LEFT - 8}" y="{height + 4:.1f}">'
            f"{tick:g}</text>"
        )
    step = next((step for step in _TIME_STEPS if (end - start) / step <= 6), 43200)
    pattern = "%H:%M:%S" if step < 60 else "%H:%M"
    # Ticks at round local times, also where the zone is half an hour off.
    offset = time.localtime(start).tm_gmtoff
    moment = math.ceil((start + offset) / step) * step - offset
    while moment <= end:
        # A label in the middle of the last tick would be cut off at the edge.
        anchor = "end" if x(moment) > _WIDTH - 2 * _RIGHT else "middle"
        parts.append(
            f'<line class="mark" x1="{x(moment):.1f}" x2="{x(moment):.1f}" '
            f'y1="{_HEIGHT - _BOTTOM}" y2="{_HEIGHT - _BOTTOM + 5}"/>'
            f'<text class="tick {anchor}" x="{x(moment):.1f}" y="{_HEIGHT - _BOTTOM + 19}">'
            f"{time.strftime(pattern, time.localtime(moment))}</text>"
        )
        moment += step
    zone = time.strftime("%Z", time.localtime(end))
    parts.append(
        f'<text class="unit end" x="{_WIDTH - _RIGHT}" y="{_HEIGHT - 6}">'
        f"Time of day ({escape(zone)})</text>"
    )
    base = _HEIGHT - _BOTTOM
    for run in _segments(points, gap=max(4 * interval, 15)):
        line = " ".join(f"{x(moment):.1f},{y(amount):.1f}" for moment, amount in run)
        first, last = x(run[0][0]), x(run[-1][0])
        parts.append(
            f'<polygon class="area" points="{first:.1f},{base} {line} {last:.1f},{base}"/>'
        )
        parts.append(f'<polyline class="line" points="{line}"/>')
    parts.append("</svg>")
    return "".join(parts)
