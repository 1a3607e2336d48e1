"""Values to JSON and back, the same bytes every time. Pure.

Not a library's: a number keeps the form it came in (5 stays 5, 5.0 stays 5.0), NaN and infinity are
refused, and keys are sorted, so that equal facts have equal hashes and a decision replays exactly.
"""

import hashlib
import json
import math
import types
from dataclasses import MISSING, fields, is_dataclass
from functools import lru_cache
from typing import Any, Literal, TypeVar, Union, cast, get_args, get_origin, get_type_hints

V = TypeVar("V")


class ShapeError(ValueError):
    """The JSON is not of the asked shape; the text begins with the place in it."""


def plain(value: object) -> Any:
    """Dataclasses, named tuples and tuples as dicts and lists. ValueError: no JSON for it."""
    kind = type(value)
    if value is None or kind is str or kind is int or kind is bool:
        return value
    if isinstance(value, float):
        if not math.isfinite(value):
            raise ValueError(f"{value} has no place in JSON")
        return value
    if is_dataclass(kind):
        return {name: plain(getattr(value, name)) for name in _names(kind)}
    if isinstance(value, tuple) and hasattr(value, "_fields"):
        return {name: plain(getattr(value, name)) for name in value._fields}
    if isinstance(value, (tuple, list)):
        return [plain(each) for each in value]
    raise ValueError(f"{type(value).__name__} has no form in JSON")


def encode(value: object) -> str:
    """One line of canonical JSON: sorted keys, no spaces."""
    return json.dumps(plain(value), sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def digest(value: object) -> str:
    """32 hex digits of the SHA-256 of the canonical JSON."""
    return hashlib.sha256(encode(value).encode()).hexdigest()[:32]


def decode(kind: type[V], text: str) -> V:
    """The value of this type that the JSON text describes. ShapeError: it does not."""
    try:
        raw = json.loads(text)
    except ValueError as err:
        raise ShapeError(f"not JSON: {err}") from err
    return build(kind, raw)


def build(kind: type[V], raw: object, where: str = "$") -> V:
    """The value of this type from parsed JSON. ShapeError: wrong type, unknown or missing name."""
    return cast(V, _build(kind, raw, where))


@lru_cache(maxsize=256)
def _names(kind: Any) -> tuple[str, ...]:
    return tuple(field.name for field in fields(kind))


@lru_cache(maxsize=256)
def _hints(kind: Any) -> dict[str, Any]:
    """Field -> type; the parameters of a generic dataclass put in."""
    origin = get_origin(kind) or kind
    given = dict(zip(getattr(origin, "__parameters__", ()), get_args(kind), strict=False))
    return {name: _fill(hint, given) for name, hint in get_type_hints(origin).items()}


def _fill(hint: Any, given: dict[Any, Any]) -> Any:
    if isinstance(hint, TypeVar):
        return given.get(hint, hint)
    wanted = getattr(hint, "__parameters__", ())
    return hint[tuple(given.get(each, each) for each in wanted)] if wanted and given else hint


def _build(kind: Any, raw: Any, where: str) -> Any:
    origin = get_origin(kind)
    if origin in (Union, types.UnionType):
        options = get_args(kind)
        if raw is None and type(None) in options:
            return None
        return _build(next(each for each in options if each is not type(None)), raw, where)
    if origin is Literal:
        if raw in get_args(kind) and not isinstance(raw, bool):
            return raw
        raise ShapeError(f"{where}: {raw!r} is none of {', '.join(map(str, get_args(kind)))}")
    if origin is tuple:
        if not isinstance(raw, list):
            raise ShapeError(f"{where}: a list is wanted, not {type(raw).__name__}")
        item = get_args(kind)[0]
        return tuple(_build(item, each, f"{where}[{at}]") for at, each in enumerate(raw))
    target = origin or kind
    if is_dataclass(target):
        return _object(kind, cast(type, target), raw, where)
    if kind is float and isinstance(raw, (int, float)) and not isinstance(raw, bool):
        if not math.isfinite(raw):
            raise ShapeError(f"{where}: {raw} is not a finite number")
        return raw
    if kind in (str, int, bool) and type(raw) is kind:
        return raw
    raise ShapeError(f"{where}: {getattr(kind, '__name__', kind)} is wanted, not {raw!r}")


def _object(kind: Any, target: type, raw: Any, where: str) -> Any:
    if not isinstance(raw, dict):
        raise ShapeError(f"{where}: an object is wanted, not {type(raw).__name__}")
    hints = _hints(kind)
    if unknown := sorted(set(raw) - set(hints)):
        raise ShapeError(f"{where}: unknown name {unknown[0]!r}")
    values = {}
    for field in fields(target):
        if field.name in raw:
            values[field.name] = _build(hints[field.name], raw[field.name], f"{where}.{field.name}")
        elif field.default is MISSING and field.default_factory is MISSING:
            raise ShapeError(f"{where}: {field.name!r} is missing")
    try:
        return target(**values)
    except ValueError as err:
        raise ShapeError(f"{where}: {err}") from err
