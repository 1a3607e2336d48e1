"""Writes the measured numbers of docs/sizing.md from docs/benchmarks/: `sizing_page.py [--check]`.

The page explains; the benchmarks measured. What stands between the two marks of the page is made
here, so that a new measurement changes both or a test fails.
"""

from __future__ import annotations

import re
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "docs/sizing.md"
MEMORY = ROOT / "docs/benchmarks/memory.md"
AGENT = ROOT / "docs/benchmarks/agent_cost.md"
BEGIN, END = "<!-- measured: make sizing -->", "<!-- end -->"
STOCK, OURS = "(a)", "(f)"
_TEMPLATE = "with template, again"
# The class that the targets are about; of others the page of the benchmark tells.
STUDENTS = 16


class PageError(Exception):
    """A benchmark's page has not the rows that are looked for."""


@dataclass(frozen=True, kw_only=True)
class Way:
    """A row of the memory benchmark: MB of the machine per student. `template`: with the process
    that kernels are forked from, after the notebooks; None: there is none."""

    name: str
    idle: float
    worked: float
    template: float | None


def table(text: str, first: str) -> list[dict[str, str]]:
    """The rows of the table whose first column is `first`, as column -> text.

    A second column of the same name is called "NAME, again".
    """
    lines = text.splitlines()
    starts = [at for at, line in enumerate(lines) if line.startswith(f"| {first} |")]
    if len(starts) != 1:
        raise PageError(f"{len(starts)} tables begin with the column {first!r}")
    rows = []
    for line in lines[starts[0] :]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip().strip("|").split("|")])
    head, _, *body = rows
    named = [name if name not in head[:at] else f"{name}, again" for at, name in enumerate(head)]
    return [dict(zip(named, row, strict=True)) for row in body]


def number(text: str) -> float:
    """The number that a cell begins with."""
    match = re.match(r"[\d.]+", text)
    if match is None:
        raise PageError(f"{text!r} is no number")
    return float(match[0])


def ways(text: str) -> tuple[Way, Way]:
    """Linux as it comes, and Samepage."""
    rows = {row["way"].partition(" ")[0]: row for row in table(text, "way")}
    found = []
    for key in (STOCK, OURS):
        if key not in rows:
            raise PageError(f"the memory benchmark has no way {key}")
        row = rows[key]
        found.append(
            Way(
                name=row["way"],
                idle=number(row["after imports"]),
                worked=number(row["after the notebooks"]),
                template=None if row[_TEMPLATE] == "-" else number(row[_TEMPLATE]),
            )
        )
    return found[0], found[1]


def class_of_sixteen(memory: str) -> tuple[Way, Way]:
    """Of the benchmark's page: Linux as it comes, and Samepage."""
    _, found, rest = memory.partition(f"## {STUDENTS} students: MB per student")
    if not found:
        raise PageError(f"the memory benchmark has no class of {STUDENTS}")
    return ways(rest.partition("\n## ")[0])


def measured(memory: str, agent: str) -> str:
    """The paragraph and table between the marks."""
    when = re.search(r"^Made (\d{4}-\d\d-\d\d)", memory, re.MULTILINE)
    if when is None:
        raise PageError("the memory benchmark says not when it was made")
    stock, ours = class_of_sixteen(memory)
    tune = next(row for row in table(agent, "mode") if row["mode"] == "tune")
    rows = [
        f"| {one.name} | {one.idle:g} | {one.worked:g} | {one.worked / stock.worked:.0%} "
        f"| {'-' if one.template is None else f'{one.template:g}'} |"
        for one in (stock, ours)
    ]
    return "\n".join(
        [
            f"Kernels of a class of {STUDENTS} ([how](benchmarks/memory.md), {when[1]}), MB of the "
            "machine per student:",
            "",
            "| way | after the imports | after the notebooks | of the first | with the template |",
            "|---|---|---|---|---|",
            *rows,
            "",
            f"One agent ([how](benchmarks/agent_cost.md)): {tune['RSS, MB']} MB and "
            f"{tune['CPU, of one core']} of a core.",
        ]
    )


def rendered() -> str:
    """The page with the numbers of the benchmarks. Errors: PageError."""
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise PageError(f"{PAGE.name} has no place for the numbers")
    made = measured(MEMORY.read_text(encoding="utf-8"), AGENT.read_text(encoding="utf-8"))
    return f"{before}{BEGIN}\n{made}\n{END}{after}"


def main(arguments: list[str]) -> int:
    """Exit status: 1 when --check finds the page out of date."""
    text = rendered()
    same = PAGE.read_text(encoding="utf-8") == text
    if "--check" in arguments:
        if not same:
            print("docs/sizing.md is out of date. Type: make sizing", file=sys.stderr)
        return 0 if same else 1
    PAGE.write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
