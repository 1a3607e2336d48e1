"""Where the courses of a server are described, and what that says now."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labext.courses.manifest.problems import ManifestError
from labext.courses.manifest.reading import content_of, read, refuse_large, single, together
from labext.courses.manifest.remote import fetch, is_address
from labext.courses.model import CourseSpec

INLINE = "SAMEPAGE_COURSES_YAML"
_SUFFIXES = (".yml", ".yaml", ".json")
_ATTEMPTS = 3


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the courses are described; empty texts mean "not given". The first one given counts.

    manifest: path of a file, or of a folder of files (a mounted ConfigMap), or an https address.
    inline: the manifest itself. url, branch, target: a single course.
    """

    manifest: str
    inline: str = ""
    url: str = ""
    branch: str = ""
    target: str = ""

    def read(self) -> tuple[CourseSpec, ...] | None:
        """The courses; None when none are set up. Errors: ManifestError."""
        return Reader(self, None).read().courses


@dataclass(frozen=True, kw_only=True)
class Reading:
    """courses: None when none are set up. problem: why they are those of an earlier reading."""

    courses: tuple[CourseSpec, ...] | None
    problem: ManifestError | None = None


class Reader:
    """Reads a source again and again. cache: folder for what is fetched; None: keep nothing.

    Blocks; for one thread at a time.
    """

    def __init__(self, source: Source, cache: Path | None) -> None:
        self._source = source
        self._cache = cache
        self._last: tuple[list[tuple[str, bytes]], tuple[CourseSpec, ...]] | None = None

    def read(self) -> Reading:
        """The courses now; those of before when there is a mistake in what is new.

        Errors: ManifestError when there are none of before.
        """
        source = self._source
        if not source.manifest and not source.inline:
            if not source.url:
                return Reading(courses=None)
            return Reading(courses=(single(source.url, source.branch, source.target),))
        try:
            parts, problem = self._parts()
            if self._last is None or self._last[0] != parts:
                courses = together([(name, read(content, name)) for name, content in parts])
                self._last = (parts, courses)
            return Reading(courses=self._last[1], problem=problem)
        except ManifestError as err:
            if self._last is None:
                raise
            return Reading(courses=self._last[1], problem=err)

    def _parts(self) -> tuple[list[tuple[str, bytes]], ManifestError | None]:
        """Each manifest with its name."""
        source = self._source
        if not source.manifest:
            content = source.inline.encode()
            refuse_large(content, INLINE)
            return [(INLINE, content)], None
        if is_address(source.manifest):
            fetched = fetch(source.manifest, self._cache)
            return [(_shown(source.manifest), fetched.content)], fetched.problem
        path = Path(source.manifest).expanduser()
        if not path.is_dir():
            return [(str(path), content_of(path))], None
        return _folder(path), None


def _folder(folder: Path) -> list[tuple[str, bytes]]:
    """Kubernetes replaces all files of a ConfigMap at once, by a link: read them of one moment."""
    parts: list[tuple[str, bytes]] = []
    for _ in range(_ATTEMPTS):
        before = _moment(folder)
        parts = [(str(file), content_of(file)) for file in _files(folder)]
        if before == _moment(folder):
            break
    if not parts:
        raise ManifestError(
            f"The folder {folder} holds no course manifest.",
            f"Put files into it whose names end in {', '.join(_SUFFIXES)}.",
        )
    return parts


def _files(folder: Path) -> list[Path]:
    """Without what begins with a dot, such as `..data`."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as err:
        raise ManifestError(
            f"Cannot read the folder of course manifests {folder}: {err.strerror or err}.",
            "Check SAMEPAGE_COURSES and the folder's permissions.",
        ) from err
    return [
        entry
        for entry in entries
        if not entry.name.startswith(".")
        and entry.suffix.lower() in _SUFFIXES
        and not entry.is_dir()
    ]


def _moment(folder: Path) -> list[tuple[str, str]]:
    return [(file.name, str(file.resolve())) for file in _files(folder)]


def _shown(url: str) -> str:
    scheme, _, rest = url.partition("://")
    host, slash, path = rest.partition("/")
    return f"{scheme}://{host.rpartition('@')[2]}{slash}{path.partition('?')[0]}"
