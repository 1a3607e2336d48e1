"""What a PromQL expression asks for, by the grammar of Prometheus itself."""

from __future__ import annotations

import re
from dataclasses import dataclass

import promql_parser

SCRAPED = frozenset({"instance", "job"})
"""Labels that Prometheus adds."""
_GROUPING = re.compile(r"\b(by|on)\s*\(([^)]*)\)")


@dataclass(frozen=True, kw_only=True)
class Selector:
    """A metric and the matchers of its labels: (label, operator, value)."""

    metric: str
    matchers: tuple[tuple[str, str, str], ...]


@dataclass(frozen=True, kw_only=True)
class Expression:
    """`by`: the labels of its result when it is an aggregation; None: it is none."""

    text: str
    selectors: tuple[Selector, ...]
    grouped: frozenset[str]
    """Labels that stand in any by or on."""
    by: frozenset[str] | None


def read(text: str) -> Expression:
    """ValueError: Prometheus would refuse it. Grafana's own variables are filled in first."""
    plain = text.replace("$__rate_interval", "5m").replace("$node", ".*")
    parsed = promql_parser.parse(plain)
    found: list[Selector] = []

    def visit(node: promql_parser.Expr) -> bool:
        if isinstance(node, promql_parser.VectorSelector):
            matchers = tuple(
                (each.name, str(each.op), each.value) for each in node.matchers.matchers
            )
            found.append(Selector(metric=str(node.name), matchers=matchers))
        return True

    promql_parser.walk(parsed, visit)
    grouping = [
        (word, frozenset(part.strip() for part in labels.split(",") if part.strip()))
        for word, labels in _GROUPING.findall(plain)
    ]
    first = parsed
    while isinstance(first, promql_parser.BinaryExpr):
        first = first.lhs
    by: frozenset[str] | None = None
    if isinstance(first, promql_parser.AggregateExpr) and str(first.op) not in ("topk", "bottomk"):
        by = next((labels for word, labels in grouping if word == "by"), frozenset())
    return Expression(
        text=text,
        selectors=tuple(found),
        grouped=frozenset().union(*(labels for _, labels in grouping)),
        by=by,
    )
