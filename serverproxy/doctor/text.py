"""Findings for a terminal. Pure."""

from __future__ import annotations

import shlex
import textwrap
from collections.abc import Sequence

from serverproxy.doctor.finding import Finding

_LABEL = 14
_GREEN, _RED, _PLAIN = "\033[32m", "\033[31m", "\033[0m"
# Placeholders are easier to read without quotes, which a command to be typed would need.
_READABLE = "<> {}*@"

ELSEWHERE = (
    "Applications of a Jupyter configuration file (c.ServerProxy.servers) are not listed here."
)


def report(findings: Sequence[Finding], *, width: int = 80, colour: bool = False) -> str:
    """Everything about each, an empty line between them."""
    return "\n".join(_one(finding, width, colour) for finding in findings)


def table(findings: Sequence[Finding], *, width: int = 80, colour: bool = False) -> str:
    """A line for each, and the reason below those that are not available."""
    head = ("NAME", "STATE", "VERSION", "DESCRIBED BY")
    rows = [(each.name, _state(each), each.version or "-", each.described_by) for each in findings]
    widths = [max(len(row[at]) for row in [head, *rows]) for at in range(len(head))]
    lines = [_aligned(head, widths)]
    for finding, row in zip(findings, rows, strict=True):
        name, state, *rest = (cell.ljust(size) for cell, size in zip(row, widths, strict=True))
        # Padded before it is painted: the terminal does not count the colour's letters.
        state = state.replace(row[1], _painted(finding, colour))
        lines.append("  ".join([name, state, *rest]).rstrip())
        if not finding.available and finding.reason:
            lines += _wrapped(finding.reason, width, "  ")
    return "\n".join([*lines, "", *_wrapped(ELSEWHERE, width, ""), ""])


def _one(finding: Finding, width: int, colour: bool) -> str:
    version = f" {finding.version}" if finding.version else ""
    lines = [f"{finding.title}{version} ({finding.name}): {_painted(finding, colour)}"]
    for label, text in (
        ("why" if not finding.available else "note", finding.reason),
        ("to do", finding.fix),
        ("described by", finding.described_by),
    ):
        lines += _field(label, text, width)
    if finding.argv is not None:
        lines += _command(finding.argv, width)
    else:
        lines += _field("starts with", finding.argv_note, width)
    data = finding.data and f"{finding.data} ({finding.data_note})"
    for label, text in (
        ("data", data),
        ("memory", _memory(finding)),
        ("listens on", finding.transport_note),
    ):
        lines += _field(label, text, width)
    return "\n".join([*lines, ""])


def _memory(finding: Finding) -> str | None:
    parts = []
    if finding.heap_bytes is not None:
        parts.append(f"Java heap of {_mebibytes(finding.heap_bytes)}")
    if finding.memory_note is not None:
        parts.append(finding.memory_note)
    if finding.free_bytes is not None:
        parts.append(f"{_mebibytes(finding.free_bytes)} are free")
    if finding.limit_bytes is not None:
        parts.append(f"limit {_mebibytes(finding.limit_bytes)}")
    return "; ".join(parts) or None


def _mebibytes(size: int) -> str:
    return f"{size >> 20} MiB"


def _field(label: str, text: str | None, width: int) -> list[str]:
    if not text:
        return []
    first = f"  {label}".ljust(_LABEL + 2)
    return _wrapped(text, width, " " * len(first), first)


def _command(argv: Sequence[str], width: int) -> list[str]:
    words = [_quoted(part) for part in argv]
    room, lines, line = width - _LABEL - 4, list[str](), ""
    for word in words:
        if line and len(line) + 1 + len(word) > room:
            lines.append(line)
            line = word
        else:
            line = f"{line} {word}" if line else word
    lines.append(line)
    first = "  starts with".ljust(_LABEL + 2)
    starts = [first, *[" " * len(first)] * (len(lines) - 1)]
    ends = [*[" \\"] * (len(lines) - 1), ""]
    return [start + text + end for start, text, end in zip(starts, lines, ends, strict=True)]


def _quoted(part: str) -> str:
    bare = "".join(letter for letter in part if letter not in _READABLE)
    return part if bare and shlex.quote(bare) == bare else shlex.quote(part)


def _wrapped(text: str, width: int, indent: str, first: str | None = None) -> list[str]:
    return textwrap.wrap(
        text,
        width,
        initial_indent=indent if first is None else first,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(cell.ljust(width) for cell, width in zip(cells, widths, strict=True)).rstrip()


def _state(finding: Finding) -> str:
    return "available" if finding.available else "not available"


def _painted(finding: Finding, colour: bool) -> str:
    state = _state(finding)
    return f"{_GREEN if finding.available else _RED}{state}{_PLAIN}" if colour else state
