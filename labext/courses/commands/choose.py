"""Which courses a command is about: one folder, or those of a manifest."""

from __future__ import annotations

import argparse
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labext.courses import gitenv
from labext.courses.address import parse
from labext.courses.errors import CourseError
from labext.courses.manifest import Reader, Source
from labext.courses.manifest.source import INLINE
from labext.courses.model import CourseSpec
from labext.courses.sync.engine import repository_of
from labext.courses.sync.repository import Repository
from labext.courses.target import resolve


class UsageError(Exception):
    """The command line does not say what to do."""


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """A folder, and the course of a manifest that belongs into it; None: none was named."""

    target: Path
    state_dir: Path
    spec: CourseSpec | None = None

    @property
    def id(self) -> str | None:
        """The course's id."""
        return None if self.spec is None else self.spec.id

    def repository(self) -> Repository:
        """The private repository of the folder."""
        path = repository_of(self.state_dir, self.target)
        return Repository(path, local_environment(self.target))


def local_environment(target: Path) -> dict[str, str]:
    """For a git that asks no server."""
    address = parse("file:///")
    return gitenv.without_broken_files(gitenv.environment(os.environ, address, target))


def default_state_dir(environ: Mapping[str, str]) -> Path:
    """Where the Jupyter server of the same home keeps it. Source: jupyter_core.paths."""
    data = environ.get("JUPYTER_DATA_DIR")
    if data:
        return Path(data) / "samepage" / "courses"
    home = environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(home) / "jupyter" / "samepage" / "courses"


def state_dir_of(options: argparse.Namespace) -> Path:
    """The state folder, absolute."""
    given: Path | None = options.state_dir
    return (given or default_state_dir(os.environ)).expanduser().resolve()


def root_of(options: argparse.Namespace) -> Path:
    """The folder that a manifest's targets are below."""
    given: Path | None = options.root
    return (given or Path(os.environ.get("SAMEPAGE_ROOT") or Path.home())).expanduser().resolve()


def courses_of(options: argparse.Namespace) -> tuple[CourseSpec, ...]:
    """The courses that `--manifest` or the environment describe. Errors: UsageError, ManifestError.

    With `--course`, or ids, only those.
    """
    source = Source(
        manifest=options.manifest or os.environ.get("SAMEPAGE_COURSES", ""),
        inline="" if options.manifest else os.environ.get(INLINE, ""),
        url="" if options.manifest else os.environ.get("SAMEPAGE_COURSE_URL", ""),
        branch=os.environ.get("SAMEPAGE_COURSE_BRANCH", ""),
        target=os.environ.get("SAMEPAGE_COURSE_TARGET", ""),
    )
    courses = Reader(source, state_dir_of(options)).read().courses
    if courses is None:
        raise UsageError(
            "name a folder (--target) or a manifest (--manifest, or SAMEPAGE_COURSES, "
            f"{INLINE} or SAMEPAGE_COURSE_URL in the environment)"
        )
    wanted: list[str] = options.course or []
    unknown = [name for name in wanted if name not in {spec.id for spec in courses}]
    if unknown:
        known = ", ".join(spec.id for spec in courses) or "none"
        raise UsageError(f"the manifest has no course {unknown[0]!r} (it has: {known})")
    return tuple(spec for spec in courses if not wanted or spec.id in wanted)


def chosen(options: argparse.Namespace) -> list[Chosen]:
    """What the command is about. Errors: UsageError, ManifestError, CourseError."""
    state_dir = state_dir_of(options)
    if options.target is not None:
        if options.manifest or options.course:
            raise UsageError("give --target, or --manifest and --course, not both")
        target: Path = options.target
        return [Chosen(target=target.expanduser().resolve(), state_dir=state_dir)]
    root = root_of(options)
    return [
        Chosen(target=resolve(root, spec.target), state_dir=state_dir, spec=spec)
        for spec in courses_of(options)
    ]


def one(options: argparse.Namespace) -> Chosen:
    """The single folder that a command changes. Errors: as `chosen`."""
    found = chosen(options)
    if len(found) != 1:
        raise UsageError("name the course: --course ID, or --target DIR")
    return found[0]


def known_of(place: Chosen) -> str:
    """How a folder is named in a message."""
    return str(place.target) if place.spec is None else place.spec.id


def never_pulled(place: Chosen) -> CourseError:
    """There is nothing to be said of the folder."""
    return CourseError(
        "never_pulled",
        f"No course was pulled into {place.target}.",
        "samepage-course pull brings one.",
    )
