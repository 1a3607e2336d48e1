"""Panels in Grafana's JSON (dashboard schema 41), as few words as they need."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

DATASOURCE = {"type": "prometheus", "uid": "${datasource}"}
WIDTH = 24
Kind = Literal["stat", "timeseries", "state-timeline", "table"]


@dataclass(frozen=True, kw_only=True)
class Query:
    """A PromQL expression and the name of what it gives; empty: one value, or a table's rows."""

    expr: str
    legend: str = ""


@dataclass(frozen=True, kw_only=True)
class Panel:
    """Width of 24, height of about 30 pixels each. A missing value is shown as none, never as 0."""

    title: str
    description: str
    queries: tuple[Query, ...]
    kind: Kind = "timeseries"
    unit: str = "short"
    width: int = 8
    height: int = 8
    none: str = "not known"
    """What stands where nothing is known."""
    least: float | None = 0
    """Where the axis begins; None: by the values."""
    most: float | None = None
    steps: tuple[tuple[str, float | None], ...] = ()
    """Colours and the values from which on they hold; the first from None."""
    states: dict[int, tuple[str, str]] = field(default_factory=dict)
    """Words and colours of the values of a state timeline."""
    columns: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Of a table: field, as Grafana names it, to title and unit, in this order."""


def panel_json(panel: Panel, number: int, left: int, top: int) -> dict[str, Any]:
    """The panel at its place."""
    return {
        "id": number,
        "type": panel.kind,
        "title": panel.title,
        "description": panel.description,
        "datasource": DATASOURCE,
        "gridPos": {"x": left, "y": top, "w": panel.width, "h": panel.height},
        "targets": [_target(panel, query, at) for at, query in enumerate(panel.queries)],
        "fieldConfig": {"defaults": _defaults(panel), "overrides": _overrides(panel)},
        "options": _options(panel),
        **({"transformations": _transformations(panel)} if panel.kind == "table" else {}),
    }


def _target(panel: Panel, query: Query, at: int) -> dict[str, Any]:
    one = panel.kind in ("stat", "table")
    return {
        "refId": chr(ord("A") + at),
        "datasource": DATASOURCE,
        "expr": query.expr,
        "legendFormat": query.legend or "__auto",
        "instant": one,
        "range": not one,
        "format": "table" if panel.kind == "table" else "time_series",
    }


def _defaults(panel: Panel) -> dict[str, Any]:
    found: dict[str, Any] = {"unit": panel.unit, "noValue": panel.none}
    if panel.kind == "timeseries":
        # A gap is a time in which nothing was known.
        found["custom"] = {
            "drawStyle": "line",
            "lineWidth": 1,
            "fillOpacity": 8,
            "showPoints": "never",
            "spanNulls": False,
        }
        found |= {} if panel.least is None else {"min": panel.least}
        found |= {} if panel.most is None else {"max": panel.most}
    if panel.kind == "state-timeline":
        found["custom"] = {"fillOpacity": 70, "lineWidth": 0}
        found["color"] = {"mode": "thresholds"}
    if panel.states:
        options = {
            str(value): {"text": text, "color": color, "index": at}
            for at, (value, (text, color)) in enumerate(panel.states.items())
        }
        found["mappings"] = [{"type": "value", "options": options}]
    if panel.steps:
        steps = [{"color": color, "value": value} for color, value in panel.steps]
        found["thresholds"] = {"mode": "absolute", "steps": steps}
    return found


def _overrides(panel: Panel) -> list[dict[str, Any]]:
    return [
        {
            "matcher": {"id": "byName", "options": title},
            "properties": [{"id": "unit", "value": unit}],
        }
        for title, unit in panel.columns.values()
        if unit
    ]


def _options(panel: Panel) -> dict[str, Any]:
    match panel.kind:
        case "stat":
            return {
                "reduceOptions": {"values": False, "calcs": ["lastNotNull"], "fields": ""},
                "orientation": "auto",
                "colorMode": "value" if panel.steps else "none",
                "graphMode": "none",
                "justifyMode": "auto",
                "textMode": "auto",
                "wideLayout": True,
                "showPercentChange": False,
                "percentChangeColorMode": "standard",
            }
        case "timeseries":
            return {
                "legend": {
                    "displayMode": "list",
                    "placement": "bottom",
                    "showLegend": True,
                    "calcs": [],
                },
                "tooltip": {"mode": "multi", "sort": "desc"},
            }
        case "state-timeline":
            return {
                "mergeValues": True,
                "showValue": "auto",
                "rowHeight": 0.9,
                "alignValue": "left",
                "legend": {
                    "displayMode": "list",
                    "placement": "bottom",
                    "showLegend": True,
                    "calcs": [],
                },
                "tooltip": {"mode": "single", "sort": "none"},
            }
        case "table":
            return {"showHeader": True, "cellHeight": "sm", "frameIndex": 0}


def _transformations(panel: Panel) -> list[dict[str, Any]]:
    names = list(panel.columns)
    return [
        {"id": "merge", "options": {}},
        {
            "id": "filterFieldsByName",
            "options": {"include": {"names": names}},
        },
        {
            "id": "organize",
            "options": {
                "indexByName": {name: at for at, name in enumerate(names)},
                "renameByName": {name: title for name, (title, _) in panel.columns.items()},
                "excludeByName": {},
            },
        },
    ]
