"""Colours of the drawn dashboards: Grafana's two looks, near enough to read the picture alike."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Scheme = Literal["light", "dark"]


@dataclass(frozen=True, kw_only=True)
class Theme:
    """Of a picture. `lines`: of series, one after the other."""

    canvas: str
    panel: str
    border: str
    text: str
    quiet: str
    grid: str
    lines: tuple[str, ...]
    named: dict[str, str]
    """The colours that thresholds and states name."""


_NAMED = {
    "green": "#73bf69",
    "semi-dark-green": "#37872d",
    "yellow": "#fade2a",
    "orange": "#ff9830",
    "red": "#f2495c",
    "blue": "#5794f2",
    "purple": "#b877d9",
    "grey": "#808080",
}

THEMES: dict[Scheme, Theme] = {
    "light": Theme(
        canvas="#f4f5f5",
        panel="#ffffff",
        border="#dfe0e3",
        text="#24292e",
        quiet="#5f646b",
        grid="#e9eaec",
        lines=(
            "#37872d", "#1f60c4", "#fa6400", "#c4162a", "#8f3bb8", "#0f8a9c", "#b58900", "#705da0",
        ),
        named=_NAMED | {"green": "#1a7f4b", "orange": "#c25b00", "red": "#c4162a"},
    ),
    "dark": Theme(
        canvas="#111217",
        panel="#181b1f",
        border="#2c3037",
        text="#d5d6dd",
        quiet="#9b9ca6",
        grid="#272a30",
        lines=(
            "#73bf69", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#5bc8d6", "#fade2a", "#a89ad6",
        ),
        named=_NAMED,
    ),
}  # fmt: skip
