"""The part of Helm's template language that our chart uses, so that it can be rendered here.

Anything else raises: a template that grows beyond this needs the real Helm.
"""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

import yaml


class UnknownActionError(ValueError):
    """The template uses something that is not known here."""


def render(template: str, context: dict[str, Any]) -> str:
    """`template` with `context` (Values, Release, Chart) in it."""
    out, rest = _until_end(_pieces(template), context, context, {})
    assert not rest
    return out


def _pieces(template: str) -> list[tuple[str, str]]:
    """("text" or "action", content); `{{-` takes the white space before it away."""
    found: list[tuple[str, str]] = []
    at = 0
    for match in re.finditer(r"\{\{(-?)\s*(.*?)\s*\}\}", template, re.DOTALL):
        text = template[at : match.start()]
        found.append(("text", text.rstrip() if match[1] else text))
        found.append(("action", match[2]))
        at = match.end()
    return [*found, ("text", template[at:])]


def _until_end(
    pieces: list[tuple[str, str]], dot: Any, root: dict[str, Any], names: dict[str, Any]
) -> tuple[str, list[tuple[str, str]]]:
    out = ""
    while pieces:
        (kind, content), *pieces = pieces
        if kind == "text":
            out += content
            continue
        word, _, rest = content.partition(" ")
        if word == "/*":
            continue
        if word == "end":
            return out, pieces
        if word in ("if", "with"):
            value = _pipe(rest, dot, root, names)
            inner, pieces = _until_end(pieces, value if word == "with" else dot, root, names)
            out += inner if value else ""
        elif word == "range":
            loop = re.fullmatch(r"(\$\w+), (\$\w+) := (.+)", rest)
            if loop is None:
                raise UnknownActionError(content)
            after = pieces
            entries = _pipe(loop[3], dot, root, names)
            for key in sorted(entries):
                inner, after = _until_end(
                    pieces, dot, root, names | {loop[1]: key, loop[2]: entries[key]}
                )
                out += inner
            if not entries:
                _, after = _until_end(pieces, dot, root, names | {loop[1]: "", loop[2]: ""})
            pieces = after
        else:
            out += str(_pipe(content, dot, root, names))
    return out, pieces


def _pipe(text: str, dot: Any, root: dict[str, Any], names: dict[str, Any]) -> Any:
    first, *calls = text.split(" | ")
    value = _call(_words(first), None, dot, root, names)
    for call in calls:
        value = _call([*_words(call), None], value, dot, root, names)
    return value


def _words(text: str) -> list[str]:
    return re.findall(r"\([^()]*\)|\"[^\"]*\"|\S+", text)


def _call(
    words: list[Any], piped: Any, dot: Any, root: dict[str, Any], names: dict[str, Any]
) -> Any:
    name, *given = words
    if not given:
        return _value(name, dot, root, names)
    arguments = [piped if word is None else _value(word, dot, root, names) for word in given]
    match name, arguments:
        case "toYaml", [value]:
            return yaml.safe_dump(value, default_flow_style=False).rstrip("\n")
        case "nindent", [count, value]:
            return "\n" + "\n".join(" " * int(count) + line for line in str(value).splitlines())
        case "quote", [value]:
            return json.dumps(str(value))
        case "int", [value]:
            return int(value)
        case "or", [*values]:
            return next((value for value in values if value), values[-1])
        case "default", [other, value]:
            return value or other
        case "printf", ["%s:%s", one, two]:
            return f"{one}:{two}"
        case "toJson", [value]:
            return json.dumps(value, sort_keys=True, separators=(",", ":"))
        case "sha256sum", [value]:
            return hashlib.sha256(str(value).encode()).hexdigest()
        case "trunc", [count, value]:
            return str(value)[: int(count)]
        case _:
            raise UnknownActionError(f"{name} with {len(arguments)}")


def _value(word: str, dot: Any, root: dict[str, Any], names: dict[str, Any]) -> Any:
    if word == ".":
        return dot
    if word.startswith("("):
        return _pipe(word[1:-1], dot, root, names)
    if word.startswith('"'):
        return json.loads(word)
    if word.isdigit():
        return int(word)
    if word.startswith("$"):
        return names[word]
    if word.startswith((".Values.", ".Release.", ".Chart.")):
        found: Any = root
        for part in word[1:].split("."):
            found = found[part]
        return found
    raise UnknownActionError(word)
