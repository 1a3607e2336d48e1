"""Pre-flight of OpenRefine."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from serverproxy import free_memory
from serverproxy.apps import AppReport
from serverproxy.heap import MIB, heap_mib, needed_bytes
from serverproxy.host import Host
from serverproxy.preflight import folder, java, openrefine_home
from serverproxy.preflight.folder import FolderFacts
from serverproxy.preflight.install import install_java, install_openrefine
from serverproxy.preflight.java import JavaFacts, java_for
from serverproxy.preflight.openrefine_home import OpenRefineHome
from serverproxy.settings import AppSettings

# An empty workspace and the first save; a full disk loses a project without a word.
LEAST_DISK_BYTES = 20 * MIB


@dataclass(frozen=True, kw_only=True)
class OpenRefineFacts:
    """What was found. configured_home: the setting, None when there is none.

    available_bytes: free memory, None when unknown; heap_mib: the setting.
    """

    home: OpenRefineHome | None
    configured_home: Path | None
    java: JavaFacts
    data: FolderFacts
    available_bytes: int | None
    heap_mib: int | None
    distribution: frozenset[str]


def look(host: Host, settings: AppSettings) -> OpenRefineFacts:
    """Gather the facts. Reads files; may run `java -version` once."""
    return OpenRefineFacts(
        home=openrefine_home.find(host, settings.openrefine_home),
        configured_home=settings.openrefine_home,
        java=java.look(host),
        data=folder.look(data_dir(host, settings)),
        available_bytes=free_memory.available_bytes(),
        heap_mib=settings.openrefine_heap_mib,
        distribution=host.distribution(),
    )


def data_dir(host: Host, settings: AppSettings) -> Path:
    """Folder of the user's projects: the setting, else where OpenRefine itself puts them."""
    if settings.openrefine_data_dir is not None:
        return settings.openrefine_data_dir
    base = host.env.get("XDG_DATA_HOME", "")
    # The XDG specification says that a relative XDG_DATA_HOME is to be ignored.
    root = Path(base) if base.startswith("/") else host.home / ".local/share"
    return root / "openrefine"


def judge(facts: OpenRefineFacts) -> AppReport:
    """Can it run, and if not, why and what to do. Pure; the first thing in the way is reported."""
    home = facts.home
    if home is None:
        return _not_installed(facts)
    version = home.version
    wanted = java_for(home.version_numbers)
    name = f"OpenRefine {version}" if version else "OpenRefine"

    def no(code: str, reason: str, fix: str) -> AppReport:
        return AppReport(available=False, code=code, reason=reason, fix=fix, version=version)

    found = facts.java
    if found.program is None:
        if found.home is not None:
            return no(
                "java_home_wrong",
                f"JAVA_HOME is {found.home}, and there is no bin/java in it.",
                "Set JAVA_HOME to an installed Java, or unset it.",
            )
        fix = install_java(facts.distribution, wanted.least)
        return no("java_missing", f"{name} needs Java, and there is none on PATH.", fix)
    if found.major is None:
        return no(
            "java_broken",
            f"{found.program} does not tell its version.",
            f"Run '{found.program} -version' in a terminal to see what is wrong with it.",
        )
    if found.major < wanted.least:
        fix = install_java(facts.distribution, wanted.least)
        if found.source == "JAVA_HOME":
            fix = f"{fix} Then set JAVA_HOME to it, for it now names the old one."
        reason = (
            f"{name} needs Java {wanted.least} or later, and {found.program} is Java {found.major}."
        )
        return no("java_too_old", reason, fix)
    if not facts.data.writable:
        return no(
            "data_dir_unwritable",
            f"OpenRefine cannot write its projects to {facts.data.path}.",
            "Make that folder writable, or set SAMEPAGE_OPENREFINE_DATA_DIR to one that is.",
        )
    if facts.data.free_bytes is not None and facts.data.free_bytes < LEAST_DISK_BYTES:
        return no(
            "disk_full",
            f"The disk that holds {facts.data.path} has only "
            f"{facts.data.free_bytes // MIB} MiB left.",
            "Delete files you do not need, then try again.",
        )
    if facts.heap_mib is None and heap_mib(facts.available_bytes) is None:
        free = (facts.available_bytes or 0) // MIB
        return no(
            "memory_short",
            f"Only {free} MiB of memory are free; OpenRefine needs {needed_bytes() // MIB} MiB.",
            "Shut down kernels you do not need, then try again.",
        )
    if wanted.tested is not None and found.major > wanted.tested:
        return AppReport(
            available=True,
            code="java_untested",
            reason=f"{name} was tested up to Java {wanted.tested}; this is Java {found.major}.",
            fix=f"If it misbehaves, set JAVA_HOME to a Java {wanted.tested}.",
            version=version,
        )
    return AppReport(available=True, version=version)


def _not_installed(facts: OpenRefineFacts) -> AppReport:
    if facts.configured_home is not None:
        return AppReport(
            available=False,
            code="home_wrong",
            reason=f"There is no OpenRefine in {facts.configured_home}, the folder that is set.",
            fix="Set SAMEPAGE_OPENREFINE_HOME to the folder that holds OpenRefine's webapp and "
            "server folders, or unset it.",
        )
    return AppReport(
        available=False,
        code="not_installed",
        reason="OpenRefine is not installed here.",
        fix=install_openrefine(facts.distribution),
    )
