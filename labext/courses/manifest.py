"""The course manifest: YAML in, checked values out, errors with file and line."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import yaml
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError

from labext.courses.address import AddressError, default_folder, parse
from labext.courses.model import CourseSpec
from labext.courses.target import problem_of

MOST_BYTES = 1 << 20
_BRANCH = r"^(?![-/.])(?!.*(\.\.|//|@\{|\.lock$|[/.]$))[^\x00-\x20\x7f~^:?*\[\\]+$"

SCHEMA: dict[str, Any] = {
    "type": "object",
    "required": ["version", "courses"],
    "additionalProperties": False,
    "properties": {
        "version": {"const": 1},
        "courses": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["id", "url"],
                "additionalProperties": False,
                "properties": {
                    "id": {"type": "string", "pattern": r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$"},
                    "url": {"type": "string", "minLength": 1},
                    "branch": {"type": "string", "pattern": _BRANCH},
                    "target": {"type": "string", "minLength": 1},
                    "title": {"type": "string", "minLength": 1, "maxLength": 200},
                    "depth": {"type": "integer", "minimum": 0},
                },
            },
        },
    },
}
_RULES = {
    "id": "letters, digits, '.', '_' and '-', at most 64, a letter or digit first",
    "branch": "a branch name as git allows it, not starting with '-'",
}
_Path = tuple[str | int, ...]


class ManifestError(Exception):
    """The manifest cannot be used. `message` starts with file and line when there is one."""

    def __init__(self, message: str, fix: str) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix


def load(path: Path) -> tuple[CourseSpec, ...]:
    """The courses of the manifest at `path`, in its order. Errors: ManifestError."""
    try:
        with path.open("rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as err:
        raise ManifestError(
            f"Cannot read the course manifest {path}: {err.strerror or err}.",
            "Check SAMEPAGE_COURSES (or c.Samepage.courses) and the file's permissions.",
        ) from err
    if len(content) > MOST_BYTES:
        raise _Problem("it is larger than 1 MiB").error(str(path))
    return read(content, str(path))


def read(content: bytes, name: str) -> tuple[CourseSpec, ...]:
    """The courses in `content`; `name` stands in errors. Errors: ManifestError. Pure."""
    try:
        return _courses(content)
    except _Problem as problem:
        raise problem.error(name) from problem


class _Problem(Exception):  # noqa: N818 - never leaves this module
    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line

    def error(self, name: str) -> ManifestError:
        place = name if self.line is None else f"{name}:{self.line}"
        return ManifestError(f"{place}: {self}.", "Correct the course manifest, then restart.")


def _courses(content: bytes) -> tuple[CourseSpec, ...]:
    tree, data = _yaml(content)
    lines = dict(_lines(tree))

    def line(path: _Path) -> int:
        while path not in lines:
            path = path[:-1]
        return lines[path]

    errors = sorted(
        Draft202012Validator(SCHEMA).iter_errors(data), key=lambda e: line(tuple(e.absolute_path))
    )
    if errors:
        raise _described(errors[0], line)
    specs: list[CourseSpec] = []
    for number, entry in enumerate(data["courses"]):
        here: _Path = ("courses", number)
        try:
            spec = course(entry)
        except FieldError as err:
            raise _Problem(f"{_name(here, err.field)}: {err}", line((*here, err.field))) from err
        for other in specs:
            if other.id == spec.id:
                raise _Problem(f"the id {spec.id!r} is used twice", line((*here, "id")))
            if _overlap(other.target, spec.target):
                raise _Problem(
                    f"{spec.id!r} and {other.id!r} share the folder {spec.target!r}",
                    line((*here, "target")),
                )
        specs.append(spec)
    return tuple(specs)


class FieldError(ValueError):
    """One value of a course is not allowed. `field` is its key."""

    def __init__(self, field: str, text: str) -> None:
        super().__init__(text)
        self.field = field


def course(entry: dict[str, Any]) -> CourseSpec:
    """A course of a mapping that fits the schema. Errors: FieldError. Pure."""
    try:
        address = parse(entry["url"])
    except AddressError as err:
        raise FieldError("url", f"this address cannot be used: {err}") from err
    target = str(entry.get("target") or default_folder(address.remote))
    problem = problem_of(target)
    if problem is not None:
        raise FieldError("target", f"the folder {target!r} cannot be used: {problem}")
    return CourseSpec(
        id=entry["id"],
        url=entry["url"],
        branch=entry.get("branch"),
        target="/".join(part for part in target.split("/") if part not in ("", ".")),
        title=entry.get("title", entry["id"]),
        depth=entry.get("depth", 1),
    )


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
        error = next(
            Draft202012Validator(SCHEMA).iter_errors({"version": 1, "courses": [entry]}), None
        )
        if error is not None:
            key = str(error.absolute_path[-1])
            raise FieldError(key, f"write {_RULES.get(key, 'a text')}")
        spec = course(entry)
    except FieldError as err:
        name = names.get(err.field, err.field)
        raise ManifestError(f"{name}: {err}.", f"Correct {name}, then restart.") from err
    title = spec.target.rsplit("/", 1)[-1]
    return CourseSpec(
        id="course", url=spec.url, branch=spec.branch, target=spec.target, title=title
    )


def _overlap(one: str, other: str) -> bool:
    return f"{one}/".startswith(f"{other}/") or f"{other}/".startswith(f"{one}/")


def _yaml(content: bytes) -> tuple[yaml.Node, Any]:
    try:
        loader = yaml.SafeLoader(content)
        try:
            tree = loader.get_single_node()
            if tree is None:
                raise _Problem("it is empty")
            _refuse_repeated_keys(tree)
            return tree, loader.construct_document(tree)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as err:
        mark = err.problem_mark or err.context_mark
        text = f"this is not valid YAML: {err.problem or err.context}"
        raise _Problem(text, mark.line + 1 if mark else None) from err
    except (yaml.YAMLError, ValueError, RecursionError) as err:
        raise _Problem(f"this is not valid YAML: {str(err).splitlines()[0]}") from err


def _refuse_repeated_keys(node: yaml.Node) -> None:
    if isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            if isinstance(key, yaml.ScalarNode):
                if key.value in seen:
                    raise _Problem(f"the key {key.value!r} is given twice", key.start_mark.line + 1)
                seen.add(key.value)
            _refuse_repeated_keys(value)
    elif isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_repeated_keys(item)


def _lines(node: yaml.Node, path: _Path = ()) -> Iterator[tuple[_Path, int]]:
    """Each path in the document with its line, from 1; for a key the line of the key."""
    if not path:
        yield path, node.start_mark.line + 1
    if isinstance(node, yaml.MappingNode):
        for key, value in node.value:
            here = (*path, str(key.value))
            yield here, key.start_mark.line + 1
            yield from _lines(value, here)
    elif isinstance(node, yaml.SequenceNode):
        for number, item in enumerate(node.value):
            yield (*path, number), item.start_mark.line + 1
            yield from _lines(item, (*path, number))


def _described(error: ValidationError, line: Callable[[_Path], int]) -> _Problem:
    path: _Path = tuple(error.absolute_path)
    name = _name(path)
    rule, instance = cast(Any, error.validator_value), cast(Any, error.instance)
    match error.validator:
        case "required":
            missing = next(key for key in rule if key not in instance)
            return _Problem(f"{name} lacks {missing!r}", line(path))
        case "additionalProperties":
            known = list(cast(Any, error.schema)["properties"])
            unknown = next(key for key in instance if key not in known)
            return _Problem(
                f"{name} has an unknown key {unknown!r} (known are: {', '.join(known)})",
                line((*path, str(unknown))),
            )
        case "type":
            kinds = {"string": "a text", "object": "a mapping of keys", "array": "a list"}
            quotes = " (put it in quotes)" if rule == "string" and instance is not None else ""
            return _Problem(f"{name} must be {kinds.get(rule, f'an {rule}')}{quotes}", line(path))
        case "pattern":
            return _Problem(f"{name} must be {_RULES[str(path[-1])]}", line(path))
    limits = {
        "const": f"must be {rule}",
        "minLength": "must not be empty",
        "maxLength": f"must have at most {rule} characters",
        "minimum": f"must be at least {rule}",
    }
    return _Problem(f"{name} {limits.get(str(error.validator), 'is not allowed')}", line(path))


def _name(path: _Path, *more: str) -> str:
    text = ""
    for part in (*path, *more):
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the manifest"


@dataclass(frozen=True, kw_only=True)
class Source:
    """Where the courses of a server are described; empty texts mean "not given"."""

    manifest: str
    url: str = ""
    branch: str = ""
    target: str = ""

    def read(self) -> tuple[CourseSpec, ...] | None:
        """The courses; None when none are set up. Errors: ManifestError."""
        if self.manifest:
            return load(Path(self.manifest).expanduser())
        if self.url:
            return (single(self.url, self.branch, self.target),)
        return None
