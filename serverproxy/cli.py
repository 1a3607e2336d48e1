"""`samepage-apps doctor [NAME ...] | list`."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import EntryPoint

from serverproxy.doctor import ours, third_party
from serverproxy.doctor.finding import Finding
from serverproxy.doctor.text import report, table
from serverproxy.host import Host

_WIDTH = 80
_WIDEST = 100

_EPILOG = """\
Run it where the Jupyter server runs, as the same user and with the same environment: the settings
(SAMEPAGE_...) are read from there.

Exit status: 0 all applications asked about are available, 1 one is not or is unknown, 2 bad usage.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="samepage-apps",
        description="Tells which applications can be used here, and what is in the way of others.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="for programs")
    doctor = commands.add_parser(
        "doctor",
        parents=[shared],
        help="everything about each application",
        allow_abbrev=False,
    )
    doctor.add_argument("names", nargs="*", metavar="NAME", help="of applications (all)")
    commands.add_parser(
        "list", parents=[shared], help="a line for each application", allow_abbrev=False
    )
    return parser


def main(
    arguments: Sequence[str] | None = None,
    *,
    host: Host | None = None,
    points: Iterable[EntryPoint] | None = None,
) -> int:
    """The console script; returns the exit status. points: entries of third parties."""
    options = _parser().parse_args(arguments)
    names = tuple(options.names) if options.command == "doctor" else ()
    here = Host() if host is None else host
    found = _find(here, names, third_party.installed() if points is None else list(points))
    try:
        _tell(found, options)
    except BrokenPipeError:
        # As `| head` does; Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    unknown = [name for name in names if name not in {each.name for each in found}]
    for name in unknown:
        print(
            f"samepage-apps doctor: There is no application {name!r}. "
            "'samepage-apps list' shows those there are.",
            file=sys.stderr,
        )
    if options.command == "list":
        return 0
    return 1 if unknown or not all(each.available for each in found) else 0


def _find(host: Host, names: Collection[str], points: Sequence[EntryPoint]) -> list[Finding]:
    """Those of the names, all without names. Only what is asked about is looked at."""

    def wanted(name: str) -> bool:
        return not names or name in names

    found: list[Finding] = []
    if not names or any(ours.is_ours(name) for name in names):
        found += [each for each in ours.findings(host) if wanted(each.name)]
    return found + third_party.findings(host, [each for each in points if wanted(each.name)])


def _tell(found: Sequence[Finding], options: argparse.Namespace) -> None:
    if options.json:
        print(json.dumps({"apps": [asdict(each) for each in found]}, indent=2))
        return
    tty = sys.stdout.isatty()
    width = min(shutil.get_terminal_size((_WIDTH, 24)).columns, _WIDEST) if tty else _WIDTH
    colour = tty and not os.environ.get("NO_COLOR")
    show = table if options.command == "list" else report
    if found:
        print(show(found, width=width, colour=colour), end="")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
