"""Which Java would run OpenRefine, and which Java it wants."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from serverproxy.host import Host
from serverproxy.preflight.probe import ask

Version = tuple[int, ...]

_QUOTED_VERSION = re.compile(r'version "([^"]+)"')
_RELEASE_VERSION = re.compile(r'^JAVA_VERSION="([^"]+)"', re.MULTILINE)


@dataclass(frozen=True, kw_only=True)
class JavaFacts:
    """The Java that would be used.

    program: None when there is none; source: `JAVA_HOME` or `PATH`; home: value of JAVA_HOME.
    major: 17 for "17.0.15", 8 for "1.8.0_392"; None when it did not tell.
    """

    program: Path | None
    source: str
    home: str | None
    major: int | None


@dataclass(frozen=True, kw_only=True)
class JavaRange:
    """Java an OpenRefine is made for: `least` is required, `tested` is as far as it was tested."""

    least: int
    tested: int | None


def major_version(text: str) -> int | None:
    """Major version of a Java version number such as 17.0.15, 1.8.0_392 or 21-ea. Pure."""
    parts = re.findall(r"\d+", text)
    if not parts:
        return None
    if parts[0] == "1" and len(parts) > 1:  # Java 8 and before called themselves 1.8
        return int(parts[1])
    return int(parts[0])


def version_from_banner(text: str) -> int | None:
    """Major version from the output of `java -version`; None if it has none. Pure."""
    found = _QUOTED_VERSION.search(text)
    return None if found is None else major_version(found.group(1))


def java_for(openrefine: Version | None) -> JavaRange:
    """Java for an OpenRefine version. Pure. Source: the version checks of its start scripts.

    An unknown version is taken for one of the last releases.
    """
    if openrefine is None:
        return JavaRange(least=11, tested=None)
    if openrefine < (3, 6):
        return JavaRange(least=8, tested=17)
    if openrefine < (3, 8):
        return JavaRange(least=11, tested=17)
    if openrefine < (3, 11):
        return JavaRange(least=11, tested=21)
    return JavaRange(least=21, tested=25)


def look(host: Host) -> JavaFacts:
    """Find Java the way OpenRefine's own script does: JAVA_HOME wins over PATH.

    The version comes from the `release` file beside it; only a Java without one is run.
    """
    home = host.env.get("JAVA_HOME") or None
    if home is not None:
        candidate = Path(home) / "bin/java"
        program = candidate if _executable(candidate) else None
        source = "JAVA_HOME"
    else:
        program, source = host.which("java"), "PATH"
    major = None if program is None else _version_of(program)
    return JavaFacts(program=program, source=source, home=home, major=major)


def _executable(file: Path) -> bool:
    return file.is_file() and os.access(file, os.X_OK)


def _version_of(program: Path) -> int | None:
    try:
        text = (program.resolve().parent.parent / "release").read_text(encoding="utf-8")
        found = _RELEASE_VERSION.search(text)
        if found is not None:
            return major_version(found.group(1))
    except (OSError, UnicodeDecodeError):
        pass
    banner = ask(program, "-version")
    return None if banner is None else version_from_banner(banner)
