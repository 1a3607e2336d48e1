"""Draws a dashboard's panels in its own grid, from answers of Prometheus. Not Grafana's pixels."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch
from matplotlib.text import Text

from scripts.dashboards.answers import Answer, Span
from scripts.dashboards.panels import WIDTH
from scripts.dashboards.prometheus import Series
from scripts.dashboards.themes import Theme
from scripts.dashboards.units import written

#: Pixels: of the picture, of a row of Grafana's grid with its gap, and of what is inside a panel.
_ACROSS, _ROW, _GAP, _HEAD, _MARGIN = 1280, 38, 8, 26, 12
_DPI = 100
_TOP = 52


def draw(
    board: Mapping[str, Any],
    answers: Mapping[int, tuple[Answer, ...]],
    span: Span,
    theme: Theme,
    file: Path,
) -> None:
    """Write the picture of `board`; `answers` by the panels' ids."""
    canvas = _Canvas(board, theme)
    canvas.words(_MARGIN, 16, board["title"], size=13, weight="bold")
    spans = f"{_clock(span.begin)} to {_clock(span.end)} UTC"
    canvas.words(_ACROSS - _MARGIN, 20, spans, size=8, color=theme.quiet, align="right")
    for panel in board["panels"]:
        if panel["type"] == "row":
            at = panel["gridPos"]
            canvas.words(
                _MARGIN, _TOP + at["y"] * _ROW + 12, panel["title"], size=9.5, weight="bold"
            )
            continue
        place = canvas.panel(panel)
        found = answers[panel["id"]]
        match panel["type"]:
            case "stat":
                _stat(canvas, place, panel, found)
            case "timeseries":
                _lines(canvas, place, panel, found, span)
            case "state-timeline":
                _states(canvas, place, panel, found, span)
            case "table":
                _table(canvas, place, panel, found)
    canvas.figure.savefig(file, dpi=_DPI, facecolor=theme.canvas)


class _Canvas:
    """The figure, in pixels from the top left."""

    def __init__(self, board: Mapping[str, Any], theme: Theme) -> None:
        rows = max(panel["gridPos"]["y"] + panel["gridPos"]["h"] for panel in board["panels"])
        self.theme = theme
        self.height = _TOP + rows * _ROW + _GAP
        self.figure = Figure(figsize=(_ACROSS / _DPI, self.height / _DPI), dpi=_DPI)

    def words(
        self,
        left: float,
        top: float,
        text: str,
        *,
        size: float,
        color: str | None = None,
        weight: str = "normal",
        align: str = "left",
        most: float | None = None,
    ) -> Text:
        """Text with its upper edge at `top`, cut with dots where it is wider than `most` pixels."""
        made = self.figure.text(
            left / _ACROSS,
            1 - top / self.height,
            text,
            fontsize=size,
            color=color or self.theme.text,
            weight=weight,
            ha=align,
            va="top",
        )
        while most is not None and self.width(made) > most and len(text) > 1:
            text = text[:-1]
            made.set_text(f"{text.rstrip()}…")
        return made

    def width(self, text: Text) -> float:
        """Pixels."""
        return float(text.get_window_extent().width)

    def axes(self, left: float, top: float, width: float, height: float) -> Axes:
        """Axes in this rectangle, in the theme's colours and without a frame."""
        made = self.figure.add_axes(
            (
                left / _ACROSS,
                1 - (top + height) / self.height,
                width / _ACROSS,
                height / self.height,
            )
        )
        made.set_facecolor(self.theme.panel)
        for spine in made.spines.values():
            spine.set_visible(False)
        made.tick_params(colors=self.theme.quiet, labelsize=7.5, length=0, pad=4)
        return made

    def panel(self, panel: Mapping[str, Any]) -> tuple[float, float, float, float]:
        """Draw frame and title; left, top, width and height of what is inside."""
        at = panel["gridPos"]
        column = (_ACROSS - _GAP) / WIDTH
        left, top = _GAP + at["x"] * column, _TOP + at["y"] * _ROW
        width, height = at["w"] * column - _GAP, at["h"] * _ROW - _GAP
        self.figure.add_artist(
            FancyBboxPatch(
                (left / _ACROSS, 1 - (top + height) / self.height),
                width / _ACROSS,
                height / self.height,
                boxstyle="square,pad=0",
                facecolor=self.theme.panel,
                edgecolor=self.theme.border,
                linewidth=0.8,
                zorder=-1,
            )
        )
        self.words(left + 10, top + 9, panel["title"], size=8.5, weight="bold", most=width - 20)
        return left, top + _HEAD, width, height - _HEAD

    def nothing(self, place: tuple[float, float, float, float], text: str) -> None:
        """What stands in a panel that has no values."""
        left, top, width, height = place
        self.words(
            left + width / 2, top + height / 2 - 10, text, size=10, color=self.theme.quiet,
            align="center",
        )  # fmt: skip


def _stat(
    canvas: _Canvas,
    place: tuple[float, float, float, float],
    panel: Mapping[str, Any],
    found: tuple[Answer, ...],
) -> None:
    left, top, width, height = place
    defaults = panel["fieldConfig"]["defaults"]
    values = [(name, each) for answer in found for name, each in answer.series]
    if not values:
        canvas.nothing(place, defaults["noValue"])
        return
    part = width / len(values)
    for at, (name, series) in enumerate(values):
        value = series.points[-1][1]
        middle = left + (at + 0.5) * part
        color = canvas.theme.text
        if panel["options"]["colorMode"] == "value":
            steps = defaults["thresholds"]["steps"]
            held = [step for step in steps if step["value"] is None or value >= step["value"]]
            color = canvas.theme.named[held[-1]["color"]]
        # Without a name of its own the value stands in the middle, as Grafana has it.
        shown = name if len(values) > 1 else ""
        canvas.words(
            middle, top + height / 2 - (28 if shown else 22), written(value, defaults["unit"]),
            size=21 if len(values) == 1 else 18, color=color, weight="bold", align="center",
            most=part - 12,
        )  # fmt: skip
        canvas.words(
            middle, top + height - 28, shown, size=8, color=canvas.theme.quiet, align="center"
        )


def _lines(
    canvas: _Canvas,
    place: tuple[float, float, float, float],
    panel: Mapping[str, Any],
    found: tuple[Answer, ...],
    span: Span,
) -> None:
    left, top, width, height = place
    defaults = panel["fieldConfig"]["defaults"]
    series = [each for answer in found for each in answer.series]
    if not series:
        canvas.nothing(place, "No data")
        return
    colours = [canvas.theme.lines[at % len(canvas.theme.lines)] for at in range(len(series))]
    legend = _legend(canvas, place, list(zip([name for name, _ in series], colours, strict=True)))
    axes = canvas.axes(left + 64, top + 8, width - 80, height - 34 - legend)
    highest, lowest = -math.inf, math.inf
    for (_, each), colour in zip(series, colours, strict=True):
        times, values = _with_gaps(each, span.step)
        axes.plot(times, values, color=colour, linewidth=1.2, solid_capstyle="butt")
        known = [value for value in values if math.isfinite(value)]
        highest, lowest = max([highest, *known]), min([lowest, *known])
    bottom = defaults.get("min", lowest)
    _scale(axes, bottom, max(highest, bottom), defaults["unit"], top=defaults.get("max"))
    axes.grid(visible=True, axis="y", color=canvas.theme.grid, linewidth=0.8)
    axes.set_axisbelow(True)
    _times(axes, span)


def _with_gaps(series: Series, step: float) -> tuple[list[float], list[float]]:
    """A line must not bridge a time in which nothing was known."""
    times: list[float] = []
    values: list[float] = []
    for at, value in series.points:
        if times and at - times[-1] > 1.5 * step:
            times.append(at - step)
            values.append(math.nan)
        times.append(at)
        values.append(value)
    return times, values


def _legend(
    canvas: _Canvas, place: tuple[float, float, float, float], entries: list[tuple[str, str]]
) -> float:
    """Names beside each other from the bottom up; pixels that they take."""
    left, top, width, height = place
    made = [
        (canvas.words(0, 0, name, size=7.5, color=canvas.theme.text, most=width - 50), colour)
        for name, colour in entries
    ]
    rows: list[list[tuple[Text, str, float]]] = [[]]
    taken = 0.0
    for text, colour in made:
        needed = canvas.width(text) + 36
        if rows[-1] and taken + needed > width - 20:
            rows.append([])
            taken = 0.0
        rows[-1].append((text, colour, taken))
        taken += needed
    for number, row in enumerate(rows):
        line = top + height - 8 - 15 * (len(rows) - number)
        for text, colour, offset in row:
            start = left + 12 + offset
            text.set_position(((start + 20) / _ACROSS, 1 - line / canvas.height))
            canvas.figure.add_artist(
                mpl.lines.Line2D(
                    [start / _ACROSS, (start + 14) / _ACROSS],
                    [1 - (line + 5) / canvas.height] * 2,
                    color=colour,
                    linewidth=2.5,
                )
            )
    return 15.0 * len(rows)


def _scale(axes: Axes, least: float, most: float, unit: str, *, top: float | None) -> None:
    """Round values at the axis, round in their own unit; `top`: where it ends at any rate."""
    most = most if top is None else top
    flat = not math.isfinite(most) or most <= least
    if flat:
        # As Grafana does where all is 0, and a little room around what never changes.
        least, most = (0.0, 1.0) if least in (0, math.inf) else (least - 1, least + 1)
    base = 1.0
    if unit == "bytes":
        base = 1024.0 ** max(0, math.floor(math.log(max(abs(least), abs(most), 1), 1024)))
    if unit == "percentunit":
        base = 0.01
    low, high = least / base, most / base
    rough = (high - low) / 4
    power = 10 ** math.floor(math.log10(rough))
    step = next(each * power for each in (1, 2, 2.5, 5, 10) if each * power >= rough)
    if unit in ("none", "bytes") and base == 1:
        step = max(1.0, math.ceil(step))
    begin, end = math.floor(low / step), math.ceil(high / step - 1e-9)
    # A line along the upper edge would look cut off.
    end += 1 if top is None and not flat and high > (end - 0.05) * step else 0
    ticks = [(begin + at) * step * base for at in range(end - begin + 1)]
    axes.set_yticks(ticks, [written(round(tick, 9), unit) for tick in ticks])
    room = 0.01 * (ticks[-1] - ticks[0])
    axes.set_ylim(ticks[0] - room, ticks[-1] + room)


def _states(
    canvas: _Canvas,
    place: tuple[float, float, float, float],
    panel: Mapping[str, Any],
    found: tuple[Answer, ...],
    span: Span,
) -> None:
    left, top, width, height = place
    defaults = panel["fieldConfig"]["defaults"]
    options = defaults["mappings"][0]["options"]
    series = [each for answer in found for each in answer.series]
    if not series:
        canvas.nothing(place, "No data")
        return
    seen = sorted({int(value) for _, each in series for _, value in each.points})
    legend = _legend(
        canvas, place,
        [(options[str(at)]["text"], canvas.theme.named[options[str(at)]["color"]]) for at in seen],
    )  # fmt: skip
    longest = max(canvas.width(canvas.words(-9999, 0, name, size=7.5)) for name, _ in series)
    indent = longest + 24
    axes = canvas.axes(left + indent, top + 8, width - indent - 16, height - 34 - legend)
    for row, (_, each) in enumerate(series):
        for value, begin, end in _stretches(each, span.step):
            told = options[str(int(value))]
            axes.broken_barh(
                [(begin, end - begin)], (row - 0.42, 0.84),
                facecolors=canvas.theme.named[told["color"]], alpha=0.75,
            )  # fmt: skip
            if (end - begin) / (span.end - span.begin) > 0.05:
                axes.text(
                    begin + 0.004 * (span.end - span.begin), row, told["text"],
                    fontsize=8, color=canvas.theme.text, va="center",
                )  # fmt: skip
    axes.set_yticks(range(len(series)), [name for name, _ in series])
    axes.set_ylim(len(series) - 0.5, -0.5)
    _times(axes, span)


def _stretches(series: Series, step: float) -> list[tuple[float, float, float]]:
    """State, begin and end of each time in which it was the same."""
    found: list[tuple[float, float, float]] = []
    for at, value in series.points:
        if found and found[-1][0] == value and at - found[-1][2] < 1.5 * step:
            found[-1] = (value, found[-1][1], at)
        else:
            if found and at - found[-1][2] < 1.5 * step:
                found[-1] = (found[-1][0], found[-1][1], at)
            found.append((value, at, at))
    return found


def _table(
    canvas: _Canvas,
    place: tuple[float, float, float, float],
    panel: Mapping[str, Any],
    found: tuple[Answer, ...],
) -> None:
    """As the panel's own transformations say: merged by labels, these columns in this order."""
    left, top, width, height = place
    include, organize = (each["options"] for each in panel["transformations"][1:])
    columns = include["include"]["names"]
    titles = {name: organize["renameByName"].get(name, name) for name in columns}
    units = {
        each["matcher"]["options"]: each["properties"][0]["value"]
        for each in panel["fieldConfig"]["overrides"]
    }
    rows: dict[tuple[tuple[str, str], ...], dict[str, str]] = {}
    for answer in found:
        for _, series in answer.series:
            labels = {each: text for each, text in series.labels.items() if each in columns}
            row = rows.setdefault(tuple(sorted(labels.items())), dict(labels))
            field = f"Value #{answer.letter}"
            row[field] = written(series.points[-1][1], units.get(titles.get(field, ""), "none"))
    if not rows:
        canvas.nothing(place, "No data")
        return
    # Long names of pods need the room that numbers do not.
    parts = [1.0 if name.startswith("Value #") else 1.6 for name in columns]
    offset = [sum(parts[:at]) / sum(parts) * (width - 20) for at in range(len(parts) + 1)]
    fits = int((height - 36) // 22)
    for at, name in enumerate(columns):
        room = offset[at + 1] - offset[at] - 8
        canvas.words(
            left + 12 + offset[at], top + 10, titles[name],
            size=8, color=canvas.theme.named["blue"], weight="bold", most=room,
        )  # fmt: skip
        for number, row in enumerate(list(rows.values())[:fits]):
            line = top + 36 + 22 * number
            canvas.words(left + 12 + offset[at], line, row.get(name, ""), size=8, most=room)


def _times(axes: Axes, span: Span) -> None:
    axes.set_xlim(span.begin, span.end)
    length = span.end - span.begin
    steps = (10, 15, 30, 60, 120, 300, 600, 1800, 3600)
    step = next((each for each in steps if length / each <= 6), steps[-1])
    first = math.ceil(span.begin / step) * step
    ticks = [first + step * at for at in range(int((span.end - first) // step) + 1)]
    axes.set_xticks(ticks, [_clock(tick) for tick in ticks])


def _clock(at: float) -> str:
    return time.strftime("%H:%M:%S", time.gmtime(at))
