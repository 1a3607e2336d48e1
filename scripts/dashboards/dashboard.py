"""A dashboard: rows of panels, and what can be chosen above them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from scripts.dashboards.panels import DATASOURCE, WIDTH, Panel, panel_json

SCHEMA = 41


@dataclass(frozen=True, kw_only=True)
class Row:
    """Panels beside each other, wrapped at the full width."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False


@dataclass(frozen=True, kw_only=True)
class Dashboard:
    """`node`: the PromQL whose `instance` labels can be chosen from."""

    uid: str
    title: str
    description: str
    tags: tuple[str, ...]
    nodes: str
    rows: tuple[Row, ...]


def dashboard_json(board: Dashboard) -> dict[str, Any]:
    """The JSON that Grafana imports."""
    return {
        "uid": board.uid,
        "title": board.title,
        "description": board.description,
        "tags": list(board.tags),
        "schemaVersion": SCHEMA,
        "version": 1,
        "editable": True,
        "graphTooltip": 1,
        "timezone": "browser",
        "time": {"from": "now-6h", "to": "now"},
        "timepicker": {},
        "refresh": "30s",
        "fiscalYearStartMonth": 0,
        "annotations": {"list": []},
        "links": [_link(board)],
        "templating": {"list": [_datasource(), _node(board)]},
        "panels": _panels(board),
    }


def _panels(board: Dashboard) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    number, top = 0, 0
    for row in board.rows:
        number += 1
        head = {
            "id": number,
            "type": "row",
            "title": row.title,
            "collapsed": row.collapsed,
            "gridPos": {"x": 0, "y": top, "w": WIDTH, "h": 1},
            "panels": [],
        }
        found.append(head)
        top, left, tallest = top + 1, 0, 0
        inside: list[dict[str, Any]] = []
        for panel in row.panels:
            if left + panel.width > WIDTH:
                top, left, tallest = top + tallest, 0, 0
            number += 1
            inside.append(panel_json(panel, number, left, top))
            left, tallest = left + panel.width, max(tallest, panel.height)
        top += tallest
        if row.collapsed:
            head["panels"] = inside
        else:
            found += inside
    return found


def _datasource() -> dict[str, Any]:
    return {
        "name": "datasource",
        "label": "Data source",
        "type": "datasource",
        "query": "prometheus",
        "hide": 0,
        "includeAll": False,
        "multi": False,
        "skipUrlSync": False,
        "options": [],
    }


def _node(board: Dashboard) -> dict[str, Any]:
    asked = f"label_values({board.nodes}, instance)"
    return {
        "name": "node",
        "label": "Node",
        "type": "query",
        "datasource": DATASOURCE,
        "query": {"query": asked, "refId": "nodes"},
        "refresh": 2,
        "sort": 1,
        "hide": 0,
        "includeAll": True,
        "allValue": ".*",
        "multi": True,
        "current": {"selected": True, "text": ["All"], "value": ["$__all"]},
        "skipUrlSync": False,
        "options": [],
    }


def _link(board: Dashboard) -> dict[str, Any]:
    return {
        "title": "Samepage",
        "type": "dashboards",
        "tags": ["samepage"],
        "asDropdown": False,
        "icon": "external link",
        "includeVars": True,
        "keepTime": True,
        "targetBlank": False,
        "tooltip": "",
        "url": "",
    }
