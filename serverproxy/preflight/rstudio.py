"""Pre-flight of RStudio Server."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from serverproxy.apps import AppReport
from serverproxy.host import Host
from serverproxy.preflight.executable import is_executable
from serverproxy.preflight.install import install_r, install_rstudio
from serverproxy.preflight.probe import ask
from serverproxy.rstudio_options import (
    known_options,
    missing_options,
    r_version,
    version_from_banner,
)
from serverproxy.rstudio_versions import RVersion, beside, installed
from serverproxy.settings import AppSettings

_WELL_KNOWN = ("/usr/lib/rstudio-server/bin/rserver", "/usr/lib/rstudio/bin/rserver")
_RPC_KEYS = ("/etc/rstudio/session-rpc-key", "/var/lib/rstudio-server/session-rpc-key")
_CONFIG = "/etc/rstudio/rserver.conf"


@dataclass(frozen=True, kw_only=True)
class RStudioFacts:
    """What was found. configured: the setting for rserver, None when there is none.

    options: names rserver knows, None when it did not answer. closed_rpc_key: a system key that
    this user cannot read. tcp_allowed: whether the operator accepts a TCP port. r_version: what R
    says of itself, None when it did not say, or was not asked. r_answers: False when it was asked
    in vain.
    """

    rserver: Path | None
    configured: Path | None
    options: frozenset[str] | None
    version: str | None
    r: Path | None
    configured_r: Path | None
    closed_rpc_key: Path | None
    distribution: frozenset[str]
    tcp_allowed: bool = False
    r_version: str | None = None
    r_answers: bool = True


def find_rserver(host: Host, settings: AppSettings) -> Path | None:
    """The configured rserver and no other; unset, the one on PATH, then the packages' places."""
    if settings.rstudio_rserver is not None:
        return settings.rstudio_rserver if is_executable(settings.rstudio_rserver) else None
    on_path = host.which("rserver")
    if on_path is not None:
        return on_path
    return next((host.at(place) for place in _WELL_KNOWN if is_executable(host.at(place))), None)


def find_r(host: Host, settings: AppSettings) -> Path | None:
    """The R of the plain card: the configured one; unset, the one on PATH, then the one that
    rserver.conf names, then the first of those with a card of their own.
    """
    if settings.rstudio_r is not None:
        return settings.rstudio_r if is_executable(settings.rstudio_r) else None
    on_path = host.which("R")
    if on_path is not None:
        return on_path
    try:
        lines = host.at(_CONFIG).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        lines = []
    for line in lines:
        key, _, value = line.partition("=")
        if key.strip() == "rsession-which-r" and is_executable(host.at(value.strip())):
            return host.at(value.strip())
    versions: Sequence[RVersion] = installed(host, settings)
    return next((each.r for each in versions if is_executable(each.r)), None)


def versions_beside(host: Host, settings: AppSettings) -> tuple[RVersion, ...]:
    """The R that get cards beside the plain one. Runs nothing."""
    return beside(installed(host, settings), find_r(host, settings))


def find_rsession(rserver: Path) -> Path | None:
    """The rsession that rserver would start: beside it, also where rserver is a link."""
    for folder in (rserver.resolve().parent, rserver.parent):
        if is_executable(folder / "rsession"):
            return folder / "rsession"
    return None


def knows_socket(rserver: Path) -> bool:
    """Whether this rserver can listen on a Unix socket, without running it.

    The names of its options are strings in the executable. Asking `--help` would be surer, but
    describing an entry must start nothing; the start itself asks.
    """
    overlap = len(b"www-socket") - 1
    try:
        with rserver.open("rb") as file:
            tail = b""
            while block := file.read(1 << 20):
                if b"www-socket" in tail + block:
                    return True
                tail = block[-overlap:]
    except OSError:
        return False
    return False


def look(host: Host, settings: AppSettings, version: RVersion | None = None) -> RStudioFacts:
    """Gather the facts. Runs `rserver --help` and `--version`, and `R --version`, once for each
    installed one. version: the R of the card; None: of the plain card.
    """
    configured_r = settings.rstudio_r if version is None else version.r
    if version is None:
        r = find_r(host, settings)
    else:
        r = version.r if is_executable(version.r) else None
    r_text = None if r is None else ask(r, "--version")
    rserver = find_rserver(host, settings)
    help_text = None if rserver is None else ask(rserver, "--help")
    banner = None if rserver is None else ask(rserver, "--version")
    return RStudioFacts(
        rserver=rserver,
        configured=settings.rstudio_rserver,
        options=known_options(help_text) or None if help_text is not None else None,
        version=None if banner is None else version_from_banner(banner),
        r=r,
        configured_r=configured_r,
        closed_rpc_key=_closed_rpc_key(host),
        distribution=host.distribution(),
        tcp_allowed=settings.rstudio_allow_tcp,
        r_version=None if r_text is None else r_version(r_text),
        r_answers=r is None or (r_text is not None and r_version(r_text) is not None),
    )


def judge(facts: RStudioFacts) -> AppReport:
    """Can it run, and if not, why and what to do. Pure; the first thing in the way is reported."""
    version = told_version(facts)
    if facts.rserver is None:
        if facts.configured is not None:
            return AppReport(
                available=False,
                code="rserver_wrong",
                reason=f"{facts.configured}, which is set as rserver, is not an executable file.",
                fix="Set SAMEPAGE_RSTUDIO_RSERVER to the path of rserver, or unset it.",
            )
        return AppReport(
            available=False,
            code="not_installed",
            reason="RStudio Server is not installed here.",
            fix=install_rstudio(facts.distribution),
        )
    if facts.options is None:
        return AppReport(
            available=False,
            code="rserver_broken",
            reason=f"{facts.rserver} does not tell which options it knows.",
            fix=f"Run '{facts.rserver} --help' in a terminal to see what is wrong with it.",
            version=version,
        )
    if missing_options(facts.options, socket="www-socket" in facts.options):
        return AppReport(
            available=False,
            code="rserver_unsuitable",
            reason="This RStudio Server cannot be run for a single user behind a proxy.",
            fix="Ask the administrator of this image to install a current RStudio Server.",
            version=version,
        )
    if "www-socket" not in facts.options and not facts.tcp_allowed:
        return AppReport(
            available=False,
            code="tcp_only",
            reason=f"RStudio Server {facts.version or 'of this version'} can only listen on a TCP "
            "port, where every user of this machine could use your R.",
            fix="Ask the administrator of this image to install RStudio Server 2024.12 or later. "
            "Where nobody else can log in, SAMEPAGE_RSTUDIO_ALLOW_TCP=1 allows the port.",
            version=version,
        )
    if facts.r is None:
        if facts.configured_r is not None:
            return AppReport(
                available=False,
                code="r_wrong",
                reason=f"{facts.configured_r}, which is set as R, is not an executable file.",
                fix="Set SAMEPAGE_RSTUDIO_R or SAMEPAGE_RSTUDIO_R_VERSIONS to the path of R, or "
                "unset it.",
                version=version,
            )
        return AppReport(
            available=False,
            code="r_missing",
            reason="RStudio needs R, and there is none on PATH.",
            fix=install_r(facts.distribution),
            version=version,
        )
    if not facts.r_answers:
        return AppReport(
            available=False,
            code="r_broken",
            reason=f"{facts.r} does not tell its version, as R would.",
            fix=f"Run '{facts.r} --version' in a terminal to see what is wrong with it.",
            version=version,
        )
    if facts.closed_rpc_key is not None and _wants_system_key(facts.version):
        return AppReport(
            available=False,
            code="rpc_key_closed",
            reason=f"RStudio {facts.version} stops when it cannot read {facts.closed_rpc_key}.",
            fix="Ask the administrator of this image to remove that file when the image is built, "
            "or to install RStudio Server 2026.08 or later.",
            version=version,
        )
    return AppReport(available=True, version=version)


def told_version(facts: RStudioFacts) -> str | None:
    """Both versions for people, as far as they are known."""
    if facts.r_version is None:
        return facts.version
    r = f"R {facts.r_version}"
    return r if facts.version is None else f"{facts.version}, {r}"


def _wants_system_key(version: str | None) -> bool:
    """rstudio#18255: 2026.05 to 2026.07 take no other key when the system's cannot be read."""
    if version is None:
        return False
    year, month = (int(part) for part in version.split(".")[:2])
    return (2026, 5) <= (year, month) < (2026, 8)


def _closed_rpc_key(host: Host) -> Path | None:
    for place in _RPC_KEYS:
        file = host.at(place)
        try:
            if file.exists() and not os.access(file, os.R_OK):
                return file
        except OSError:
            continue
    return None
