"""A manifest's bytes as courses, or all that is wrong with them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import tzinfo
from pathlib import Path
from typing import TYPE_CHECKING, Any

from labext.courses.manifest.document import Document, parse
from labext.courses.manifest.problems import (
    ManifestError,
    Problem,
    ProblemError,
    described,
    error_of,
    name,
)
from labext.courses.manifest.schema import RULES, SCHEMA
from labext.courses.manifest.values import FieldError, course, zone_of
from labext.courses.model import CourseSpec

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MOST_BYTES = 1 << 20


def _errors(data: Any) -> Iterator[ValidationError]:
    # Here, not above: it takes a second to load, and most commands have no manifest.
    from jsonschema import Draft202012Validator

    errors: Iterator[ValidationError] = Draft202012Validator(SCHEMA).iter_errors(data)
    return errors


def load(path: Path) -> tuple[CourseSpec, ...]:
    """The courses of the manifest at `path`, in its order. Errors: ManifestError."""
    return read(content_of(path), str(path))


def content_of(path: Path) -> bytes:
    """The bytes of a manifest. Errors: ManifestError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise ManifestError(
            f"Cannot read the course manifest {path}: {err.strerror or err}.",
            "Check SAMEPAGE_COURSES (or c.Samepage.courses) and the file's permissions.",
        ) from err
    refuse_large(content, str(path))
    return content


def refuse_large(content: bytes, where: str) -> None:
    """Errors: ManifestError when it is more than a manifest can be. Pure."""
    if len(content) > MOST_BYTES:
        raise error_of([Problem(text="it is larger than 1 MiB")], where)


def read(content: bytes, where: str) -> tuple[CourseSpec, ...]:
    """The courses in `content`; `where` stands in errors. Errors: ManifestError. Pure."""
    try:
        document = parse(content)
    except ProblemError as err:
        raise error_of([err.problem], where) from err
    problems: list[Problem] = []
    for error in _errors(document.data):
        text, path, at_key = described(error)
        problems.append(document.problem(text, path, at_key=at_key))
    if problems:
        raise error_of(problems, where)
    specs = _courses(document, problems)
    if problems:
        raise error_of(problems, where)
    return tuple(specs)


def _courses(document: Document, problems: list[Problem]) -> list[CourseSpec]:
    data: dict[str, Any] = document.data
    zone: tzinfo | None = None
    if "timezone" in data:
        try:
            zone = zone_of(data["timezone"])
        except ValueError as err:
            problems.append(document.problem(str(err), ("timezone",)))
            return []
    specs: list[CourseSpec] = []
    for number, entry in enumerate(data["courses"]):
        here: tuple[str | int, ...] = ("courses", number)
        try:
            spec = course(entry, zone)
        except FieldError as err:
            path = (*here, *err.path)
            problems.append(document.problem(f"{name(path)}: {err}", path))
            continue
        clash = _clash(specs, spec)
        if clash is not None:
            key, text = clash
            problems.append(document.problem(text, (*here, key)))
        specs.append(spec)
    return specs


def together(parts: Sequence[tuple[str, tuple[CourseSpec, ...]]]) -> tuple[CourseSpec, ...]:
    """The courses of several manifests (name, courses). Errors: ManifestError. Pure."""
    specs: list[CourseSpec] = []
    for where, courses in parts:
        for spec in courses:
            clash = _clash(specs, spec)
            if clash is not None:
                raise error_of([Problem(text=f"{clash[1]}, in another file of the folder")], where)
            specs.append(spec)
    return tuple(specs)


def _clash(specs: Sequence[CourseSpec], spec: CourseSpec) -> tuple[str, str] | None:
    """The key and the sentence for what `spec` shares with one before it."""
    for other in specs:
        if other.id == spec.id:
            return "id", f"the id {spec.id!r} is used twice"
        if _overlap(other.target, spec.target):
            return "target", f"{spec.id!r} and {other.id!r} share the folder {spec.target!r}"
    return None


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def single(url: str, branch: str, target: str) -> CourseSpec:
    """The one course of a server without a manifest; empty texts mean "not given".

    Errors: ManifestError.
    """
    entry: dict[str, Any] = {"id": "course", "url": url}
    if branch:
        entry["branch"] = branch
    if target:
        entry["target"] = target
    names = {"url": "SAMEPAGE_COURSE_URL", "branch": "SAMEPAGE_COURSE_BRANCH"}
    names["target"] = "SAMEPAGE_COURSE_TARGET"
    try:
        error = next(_errors({"version": 1, "courses": [entry]}), None)
        if error is not None:
            key = str(error.absolute_path[-1])
            raise FieldError(key, f"write {RULES.get(key, 'a text')}")
        spec = course(entry)
    except FieldError as err:
        variable = names.get(str(err.path[0]), str(err.path[0]))
        raise ManifestError(f"{variable}: {err}.", f"Correct {variable}, then restart.") from err
    return replace(spec, title=spec.target.rsplit("/", 1)[-1])
