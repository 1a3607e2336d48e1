"""What a panel's own queries give: asked of Prometheus as Grafana would ask."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from scripts.dashboards.prometheus import Prometheus, Series


@dataclass(frozen=True, kw_only=True)
class Span:
    """The time that is shown, epoch seconds, and how often Prometheus scraped, in seconds."""

    begin: float
    end: float
    scraped: float

    @property
    def step(self) -> float:
        """About as many points as a panel has pixels for."""
        return max(self.scraped, (self.end - self.begin) / 300)


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of one query of a panel: its letter, and each series with its name in the legend."""

    letter: str
    series: tuple[tuple[str, Series], ...]


def panels(board: dict[str, Any]) -> list[dict[str, Any]]:
    """All panels of a dashboard's JSON without its rows' headings, those of folded rows as well."""
    found: list[dict[str, Any]] = []
    for panel in board["panels"]:
        found += [panel, *panel.get("panels", [])]
    return [panel for panel in found if panel["type"] != "row"]


def ask(prometheus: Prometheus, panel: dict[str, Any], span: Span) -> tuple[Answer, ...]:
    """One answer for each query of the panel. PrometheusError: a query is not valid."""
    found = []
    for target in panel["targets"]:
        expr = filled_in(target["expr"], span)
        if target["instant"]:
            series = prometheus.now(expr, span.end)
        else:
            series = prometheus.over(expr, span.begin, span.end, span.step)
        named = tuple((name(target["legendFormat"], each.labels), each) for each in series)
        found.append(Answer(letter=target["refId"], series=named))
    return tuple(found)


def filled_in(expr: str, span: Span) -> str:
    """`expr` with all nodes chosen, and the shortest interval in which a rate is sure to be known.

    Source: Grafana's manual, "$__rate_interval": four scrapes, or a step and a scrape.
    """
    rate = max(4 * span.scraped, span.step + span.scraped)
    return expr.replace("$__rate_interval", f"{round(rate * 1000)}ms").replace("$node", ".*")


def name(legend: str, labels: dict[str, str]) -> str:
    """The legend of a series; __auto: its labels, or nothing where there are none."""
    if legend == "__auto":
        return ", ".join(f"{label}={value}" for label, value in labels.items())
    return re.sub(r"{{\s*(\w+)\s*}}", lambda found: labels.get(found[1], ""), legend)
