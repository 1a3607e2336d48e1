"""What is wrong with a manifest: where, and in words."""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from labext.courses.manifest.schema import RULES

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

KeyPath = tuple[str | int, ...]
_FIX = "Correct the course manifest; it is read again at the next pull."


@dataclass(frozen=True, kw_only=True)
class Problem:
    """text: a sentence without its full stop. line, column: from 1; None: no place in the file."""

    text: str
    line: int | None = None
    column: int | None = None

    def at(self, name: str) -> str:
        """With its place in the file `name`, as compilers write it. Pure."""
        place = [name, *(str(part) for part in (self.line, self.column) if part is not None)]
        return f"{':'.join(place)}: {self.text}."


class ManifestError(Exception):
    """The manifest cannot be used. `message` starts with file, line and column if there are any.

    problems: every one, each as a line of text.
    """

    def __init__(self, message: str, fix: str, problems: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix
        self.problems = problems or (message,)


def error_of(problems: list[Problem], name: str) -> ManifestError:
    """The error for `problems` (one at least) of the file `name`. Pure."""
    ordered = sorted(problems, key=lambda p: (p.line or 0, p.column or 0))
    lines = tuple(dict.fromkeys(problem.at(name) for problem in ordered))
    more = len(lines) - 1
    rest = f" And {more} more: samepage-course check lists them." if more else ""
    return ManifestError(f"{lines[0]}{rest}", _FIX, lines)


class ProblemError(Exception):
    """A problem that ends the reading."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.text)
        self.problem = problem


def described(error: ValidationError) -> tuple[str, KeyPath, bool]:
    """What the schema's `error` means, its path, and whether the path's key is what is wrong.

    Pure.
    """
    path: KeyPath = tuple(error.absolute_path)
    what = name(path)
    rule, instance = cast(Any, error.validator_value), cast(Any, error.instance)
    match error.validator:
        case "required":
            missing = next(key for key in rule if key not in instance)
            return f"{what} lacks {missing!r}", path, False
        case "anyOf":
            return f"{what} needs 'from', 'until' or both", path, False
        case "additionalProperties":
            known = list(cast(Any, error.schema)["properties"])
            unknown = str(next(key for key in instance if key not in known))
            near = difflib.get_close_matches(unknown, known, n=1)
            hint = f"did you mean {near[0]!r}?" if near else f"known are: {', '.join(known)}"
            return f"{what} has an unknown key {unknown!r} ({hint})", (*path, unknown), True
        case "type":
            return f"{what} must be {_kind(rule, instance)}", path, False
        case "pattern":
            return f"{what} must be {RULES.get(_key(path), 'written otherwise')}", path, False
        case "enum":
            choices = " or ".join(str(choice) for choice in rule)
            near = difflib.get_close_matches(str(instance), [str(c) for c in rule], n=1)
            hint = f" (did you mean {near[0]!r}?)" if near else ""
            return f"{what} must be {choices}{hint}", path, False
    limits = {
        "const": f"must be {rule}",
        "minLength": "must not be empty",
        "maxLength": f"must have at most {rule} characters",
        "minItems": "must not be empty",
        "minimum": f"must be at least {rule}",
    }
    return f"{what} {limits.get(str(error.validator), 'is not allowed')}", path, False


def _kind(rule: Any, instance: Any) -> str:
    kinds = {
        "string": "a text",
        "object": "a mapping of keys",
        "array": "a list",
        "boolean": "true or false",
        "integer": "a whole number",
    }
    rules = [rule] if isinstance(rule, str) else list(rule)
    quotes = ""
    if rules == ["string"] and instance is not None and not isinstance(instance, list | dict):
        quotes = " (put it in quotes)"
    return " or ".join(kinds[rule] for rule in rules) + quotes


def _key(path: KeyPath) -> str:
    return next((part for part in reversed(path) if isinstance(part, str)), "")


def name(path: KeyPath) -> str:
    """A place in the document, as people write it. Pure."""
    text = ""
    for part in path:
        text += f"[{part}]" if isinstance(part, int) else f".{part}" if text else str(part)
    return text or "the manifest"
