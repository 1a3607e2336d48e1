"""What is known about the applications that other distributions describe.

Their entries are loaded, as jupyter-server-proxy does at the start of a server, but no function of
an entry that makes its command is called: some write files.
"""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Iterable, Mapping
from contextlib import redirect_stdout
from dataclasses import replace
from functools import cache, partial
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Any

from serverproxy.doctor.finding import Finding
from serverproxy.doctor.masking import masked
from serverproxy.errors import AppError
from serverproxy.host import Host
from serverproxy.supervisor.gate.decision import decide, read_facts
from serverproxy.supervisor.gate.report import Report
from serverproxy.supervisor.gate.spawn import probe

GROUP = "jupyter_serverproxy_servers"
_OURS = "serverproxy."

_SOCKET_NOTE = "A unix socket in a private folder: other users of this host cannot reach it."
_OWN_SOCKET_NOTE = (
    "A unix socket at a place of its own: whoever may open that file on this host can reach it."
)
_OPEN_NOTE = (
    "TCP on this host: other users of it can connect. Unless it asks for a password of its own, "
    "they can use it."
)
_GUARDED_NOTE = (
    "TCP on this host. Connections of other users are closed before the application sees them "
    "(c.Samepage.app_port_gate)."
)


def tcp_note(env: Mapping[str, str]) -> str:
    """What a TCP port means on this machine; tries a gate where one is wanted. Blocks."""
    decision = decide(env.get("SAMEPAGE_APP_PORT_GATE", "auto"), read_facts(env))
    if not decision.wanted:
        return f"TCP on this host, open to all of its users. {decision.why}"
    try:
        report = probe()
    except (OSError, ValueError) as error:
        report = Report(guarded=False, reason=str(error))
    if report.guarded:
        return _GUARDED_NOTE
    return f"{_OPEN_NOTE} They cannot be kept out here: {report.reason}."


def installed() -> list[EntryPoint]:
    """Entries of the group that are not ours."""
    found = entry_points(group=GROUP)
    return sorted((each for each in found if not each.value.startswith(_OURS)), key=_by_name)


def findings(host: Host, points: Iterable[EntryPoint]) -> list[Finding]:
    """Load and look at each. One that raises is a finding with a reason."""
    note = cache(partial(tcp_note, host.env))
    return [_finding(host, point, note) for point in points]


def described_by(point: EntryPoint) -> str:
    """The distribution it comes from; its module where that is unknown."""
    return point.module if point.dist is None else point.dist.name


def _by_name(point: EntryPoint) -> str:
    return point.name


def _finding(host: Host, point: EntryPoint, note: Callable[[], str]) -> Finding:
    author = described_by(point)
    blank = Finding(name=point.name, title=point.name, described_by=author, available=False)
    try:
        return _described(host, blank, _load(point, author), note)
    except AppError as error:
        return replace(blank, reason=error.message, fix=error.fix)


def _load(point: EntryPoint, author: str) -> Mapping[str, Any]:
    fix = f"Reinstall or update {author}, or ask its authors: pip install --upgrade {author}"
    try:
        with redirect_stdout(sys.stderr):
            entry = point.load()()
    except Exception as error:
        told = f"{type(error).__name__}: {error}".removesuffix(": ")
        message = f"Its entry {point.value} cannot be loaded ({told})."
        raise AppError("entry_failed", message, fix) from error
    if not isinstance(entry, Mapping):
        message = f"Its entry {point.value} gave {type(entry).__name__}, not options."
        raise AppError("entry_failed", message, fix)
    return entry


def _described(
    host: Host, blank: Finding, entry: Mapping[str, Any], tcp: Callable[[], str]
) -> Finding:
    launcher = entry.get("launcher_entry")
    title = launcher.get("title") if isinstance(launcher, Mapping) else None
    # What is not started here has no gate of ours.
    transport, note = _transport(entry, tcp if entry.get("command") else lambda: _OPEN_NOTE)
    told = replace(
        blank,
        title=str(title or blank.name),
        available=True,
        transport="unix" if transport == "unix" else "tcp",
        transport_note=note,
    )
    command = entry.get("command")
    if callable(command):
        return replace(told, argv_note="A function of its package decides at the start.")
    if not command:
        return replace(told, argv_note="It is not started here: requests go to what runs already.")
    argv = [str(part) for part in command]
    told = replace(told, argv=masked(argv))
    program = argv[0]
    if "{" in program or shutil.which(program, path=host.env.get("PATH", "")):
        return told
    where = "is not an executable file" if Path(program).is_absolute() else "is not on PATH"
    return replace(
        told,
        available=False,
        reason=f"Its program {program} {where}.",
        fix=f"Install it: the documentation of {blank.described_by} says how.",
    )


def _transport(entry: Mapping[str, Any], tcp: Callable[[], str]) -> tuple[str, str]:
    socket = entry.get("unix_socket")
    if isinstance(socket, str) and socket:
        return "unix", _OWN_SOCKET_NOTE
    return ("unix", _SOCKET_NOTE) if socket else ("tcp", tcp())
