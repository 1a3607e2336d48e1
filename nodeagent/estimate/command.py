"""`samepage-agent estimate`: flags, progress bar, answer in words or JSON."""

import argparse
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

from nodeagent.errors import ConfigError
from nodeagent.estimate.choose import choose
from nodeagent.estimate.measure import Estimate, estimate
from nodeagent.estimate.pages import EstimateError
from nodeagent.http.words import bytes_text, lines_of

_BAR = 30


def add_flags(parser: argparse.ArgumentParser) -> None:
    """The flags of the command."""
    parser.add_argument("--pid", type=int, action="append", metavar="PID", help="this process")
    parser.add_argument("--command-line", metavar="REGEX", help="processes by command line")
    parser.add_argument("--cgroup", metavar="REGEX", help="processes by cgroup, such as kubepods")
    parser.add_argument("--cpu", type=float, default=0.5, metavar="CORES", help="at most (0.5)")
    parser.add_argument("--no-alignment", action="store_true", help="leave that guess out")
    parser.add_argument("--json", action="store_true", help="the answer as JSON")
    parser.add_argument("--proc-root", metavar="FOLDER", default="/proc", help="of the host")


def run_estimate(flags: Mapping[str, Any]) -> int:
    """Returns the exit status. AgentError: bad flag, nothing chosen, not permitted."""
    if not 0.01 <= flags["cpu"] <= 1:
        raise ConfigError(f"--cpu is {flags['cpu']}", fix="Give cores from 0.01 to 1.")
    for name in ("command_line", "cgroup"):
        if flags[name] is not None:
            try:
                re.compile(flags[name])
            except re.error as err:
                option = name.replace("_", "-")
                raise ConfigError(
                    f"--{option} is {flags[name]!r}: {err}", fix="Give a regular expression."
                ) from err
    proc = Path(flags["proc_root"])
    chosen = choose(
        proc,
        pids=tuple(flags["pid"] or ()),
        command=flags["command_line"],
        cgroup=flags["cgroup"],
    )
    if not chosen:
        raise EstimateError(
            "No process with private memory fits the choice",
            fix="Start some kernels, or choose with --pid, --command-line or --cgroup.",
        )
    shown = _progress if sys.stderr.isatty() else lambda done, of: None
    found = estimate(
        proc,
        chosen,
        cores=flags["cpu"],
        alignment=not flags["no_alignment"],
        progress=shown,
    )
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(json.dumps(as_json(found), indent=1) if flags["json"] else lines_of(as_text(found)))
    return 0


def _progress(done: int, of: int) -> None:
    full = _BAR * done // max(of, 1)
    sys.stderr.write(
        f"\r[{'#' * full}{' ' * (_BAR - full)}] {bytes_text(done)} of {bytes_text(of)} "
    )
    sys.stderr.flush()


def as_json(found: Estimate) -> dict[str, Any]:
    """Bytes instead of pages. Pure."""

    def part(possible: Any) -> dict[str, Any]:
        pages = {f"{name}_bytes": value * found.page_bytes for name, value in possible.items()}
        pages["private_bytes"] = pages.pop("pages_bytes")
        return pages

    return {
        "processes": found.processes,
        "sampled_ratio": found.sampled,
        "cpu_seconds": round(found.cpu_seconds, 2),
        "total": part(asdict(found.total)) | {"ratio": found.total.ratio},
        "workloads": [
            {"kind": owner.kind, "name": owner.name} | part(asdict(possible))
            for owner, possible in found.owners
        ],
        "aligned_ratio": None if found.alignable is None else found.alignable.ratio,
    }


def as_text(found: Estimate) -> str:
    """A table for people. Pure."""
    total, page = found.total, found.page_bytes
    lines = [
        f"{found.processes} processes with {bytes_text(total.pages * page)} of private memory",
        f"{'':<30}{'private':>12}{'shared now':>12}{'would merge':>12}",
    ]
    for owner, part in found.owners[:40]:
        lines.append(
            f"{str(owner)[:29]:<30}{bytes_text(part.pages * page):>12}"
            f"{bytes_text(part.shared_now * page):>12}{bytes_text(part.further * page):>12}"
        )
    if len(found.owners) > 40:
        lines.append(f"and {len(found.owners) - 40} more")
    lines.append(
        f"{'all':<30}{bytes_text(total.pages * page):>12}"
        f"{bytes_text(total.shared_now * page):>12}{bytes_text(total.further * page):>12}"
    )
    lines.append(
        f"Merging would save {bytes_text(total.further * page)} more, {total.ratio:.0%} in all; "
        f"of it {bytes_text(total.zero * page)} are zeros."
    )
    if found.alignable is not None and found.alignable.ratio is not None:
        lines.append(
            f"Kernels that start aligned could share about {found.alignable.ratio:.0%} "
            "(a guess from two of them, pointers blanked out)."
        )
    if found.sampled < 1:
        lines.append(f"Counted from 1 page in {round(1 / found.sampled)}.")
    return "\n".join(lines)
