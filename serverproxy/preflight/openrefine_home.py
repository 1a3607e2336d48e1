"""Where OpenRefine is installed.

Two layouts hold `webapp/` and the server's jars: upstream's Linux kit with `server/target/lib`
(3.x), and Debian's with `server`. We start Java ourselves from these folders: the `refine` script
would need curl or wget, probes the port first and, in Debian, runs behind a shell that swallows
signals; none of that is needed to start it.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from serverproxy.host import Host

_LIBRARIES = ("server/target/lib", "server/lib", "server")
_WELL_KNOWN = ("/usr/share/openrefine", "/opt/openrefine", "/usr/local/share/openrefine")
_PROGRAMS = ("refine", "openrefine")
_JAR_VERSION = re.compile(r"(\d+(?:\.\d+)+)")
_FOLDER_IN_SCRIPT = re.compile(r"""(?:\bcd\s+|\bexec\s+|^\s*)["']?(/[^\s"';&|$]+)""", re.MULTILINE)
_SCRIPT_BYTES = 4096


@dataclass(frozen=True, kw_only=True)
class OpenRefineHome:
    """An installed OpenRefine: folder, folder of its jars, version if a jar's name tells it."""

    folder: Path
    libraries: Path
    version: str | None

    @property
    def webapp(self) -> Path:
        """The web application the server serves."""
        return self.folder / "webapp"

    @property
    def version_numbers(self) -> tuple[int, ...] | None:
        """The version as numbers, for comparing."""
        if self.version is None:
            return None
        return tuple(int(part) for part in self.version.split("."))

    def class_path(self) -> str:
        """Java class path: `server/classes` holds the logging set-up where a kit has it."""
        classes = self.folder / "server/classes"
        folders = [str(classes)] if classes.is_dir() else []
        return ":".join([*folders, f"{self.libraries}/*"])


def find(host: Host, configured: Path | None) -> OpenRefineHome | None:
    """The configured OpenRefine and no other; unset, what PATH leads to, then the usual places."""
    candidates = [configured] if configured is not None else _candidates(host)
    for folder in candidates:
        home = _open(folder)
        if home is not None:
            return home
    return None


def _open(folder: Path) -> OpenRefineHome | None:
    if not (folder / "webapp/WEB-INF/web.xml").is_file():
        return None
    for name in _LIBRARIES:
        for jar in sorted((folder / name).glob("*server*.jar")):
            if "openrefine" not in jar.name and not jar.name.startswith("server-"):
                continue
            found = _JAR_VERSION.search(jar.name)
            return OpenRefineHome(
                folder=folder,
                libraries=folder / name,
                version=None if found is None else found.group(1),
            )
    return None


def _candidates(host: Host) -> Iterator[Path]:
    for name in _PROGRAMS:
        program = host.which(name)
        if program is not None:
            yield program.resolve().parent
            yield from _named_in_script(program, host)
    for place in _WELL_KNOWN:
        yield host.at(place)


def _named_in_script(program: Path, host: Host) -> Iterator[Path]:
    """Folders a small shell wrapper leads to, as `cd /usr/share/openrefine` in Debian's."""
    try:
        with program.open("rb") as file:
            text = file.read(_SCRIPT_BYTES).decode("utf-8", errors="replace")
    except OSError:
        return
    if not text.startswith("#!"):
        return
    for named in _FOLDER_IN_SCRIPT.findall(text):
        path = host.at(named)
        yield path if path.is_dir() else path.parent
