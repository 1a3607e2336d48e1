"""A snapshot small enough for an annotation, and back. Pure.

The processes of one owner become one, readings that no decision uses are left out, a value is
`[value, age]`, an unsupported one `"-"`, an unknown one `"?why"`. `decide` gives the same verdict.
"""

import json
from collections.abc import Iterable
from dataclasses import fields, is_dataclass, replace
from functools import lru_cache
from typing import Any, get_args, get_origin, get_type_hints

from nodeagent.gpu.canonical import ShapeError, build, encode
from nodeagent.gpu.reading import NOT_READ, Reading, unknown
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts, Snapshot

FORMAT = 1
SOURCE = "published"
_WHY_LETTERS = 80
_DROPPED = (
    "busy_now",
    "busy_1m",
    "busy_5m",
    "memory_busy_1m",
    "memory_busy_5m",
    "memory_busy_15m",
    "power_watts",
    "power_limit_watts",
    "temperature_celsius",
)


def compact(snapshot: Snapshot) -> str:
    """One line of JSON."""
    small = replace(snapshot, gpus=tuple(_card(gpu) for gpu in snapshot.gpus))
    return json.dumps(
        {"format": FORMAT, "snapshot": _small(small)},
        sort_keys=True,
        separators=(",", ":"),
        ensure_ascii=False,
        allow_nan=False,
    )


def expand(text: str) -> Snapshot:
    """ShapeError: not a compact snapshot of this format."""
    try:
        raw = json.loads(text)
    except ValueError as err:
        raise ShapeError(f"not JSON: {err}") from err
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise ShapeError(f"not a compact snapshot of format {FORMAT}")
    try:
        return build(Snapshot, _large(Snapshot, raw["snapshot"]))
    except (KeyError, TypeError, IndexError, AttributeError) as err:
        raise ShapeError(f"not a compact snapshot: {err!r}") from err


def _card(gpu: GpuFacts) -> GpuFacts:
    listed = gpu.processes
    dropped: dict[str, Any] = dict.fromkeys(_DROPPED, NOT_READ)
    if listed.value is not None:
        listed = replace(listed, value=tuple(_merged(listed.value)))
    return replace(gpu, processes=listed, **dropped)


def _merged(processes: Iterable[ProcessFacts]) -> list[ProcessFacts]:
    """One per owner and fate; those that a decision counts singly stay."""
    groups: dict[tuple[str, bool, bool], list[ProcessFacts]] = {}
    found: list[ProcessFacts] = []
    for process in processes:
        owner = process.owner.known
        small = replace(process, duty_1m=NOT_READ, duty_5m=NOT_READ, mean_sm_15m=NOT_READ)
        small = replace(small, last_busy=NOT_READ)
        if owner is None or process.memory_bytes.known is None:
            found.append(small)
        else:
            server = process.kinds == ("mps_server",)
            key = (owner, process.alive.known is False, server)
            groups.setdefault(key, []).append(small)
    for group in groups.values():
        first = min(group, key=lambda each: each.pid)
        memory = replace(
            first.memory_bytes, value=sum(each.memory_bytes.known or 0 for each in group)
        )
        found.append(
            replace(
                first,
                started=None,
                kinds=tuple(kind for each in group for kind in each.kinds),
                memory_bytes=memory,
                duty_15m=_most([each.duty_15m for each in group]),
            )
        )
    return found


def _most(readings: list[Reading[float]]) -> Reading[float]:
    blind = next((each for each in readings if each.known is None), None)
    return blind or max(readings, key=lambda each: each.known or 0.0)


def _small(value: Any) -> Any:
    if isinstance(value, Reading):
        if value.status == "unsupported":
            return "-"
        if value.value is None:
            return f"?{value.why[:_WHY_LETTERS]}"
        told = [_small(value.value), round(value.age_seconds or 0.0)]
        return told if value.status == "ok" else [*told, "stale"]
    if is_dataclass(value):
        return {
            name: _small(each)
            for name, default in _defaults(value.__class__)
            if (each := getattr(value, name)) != default and each is not NOT_READ
        }
    if isinstance(value, tuple):
        return [_small(each) for each in value]
    if isinstance(value, float):
        return round(value, 4)
    return value


def _large(kind: Any, raw: Any) -> Any:
    """What `canonical.build` reads."""
    origin = get_origin(kind) or kind
    if origin is Reading:
        return json.loads(encode(_reading(raw))) | (
            {"value": _large(get_args(kind)[0], raw[0])} if isinstance(raw, list) else {}
        )
    if origin is tuple:
        return [_large(get_args(kind)[0], each) for each in raw]
    if isinstance(origin, type) and is_dataclass(origin):
        hints = _hints(origin)
        return {name: _large(hints.get(name), each) for name, each in raw.items()}
    return raw


def _reading(raw: Any) -> Reading[Any]:
    if raw == "-":
        return Reading(value=None, status="unsupported", source=SOURCE)
    if isinstance(raw, str) and raw.startswith("?"):
        return unknown(raw[1:], source=SOURCE)
    stale = raw[2:] == ["stale"]
    return Reading(
        value=0, status="stale" if stale else "ok", source=SOURCE, age_seconds=float(raw[1])
    )


@lru_cache(maxsize=64)
def _hints(kind: type) -> dict[str, Any]:
    return get_type_hints(kind)


@lru_cache(maxsize=64)
def _defaults(kind: type) -> tuple[tuple[str, Any], ...]:
    return tuple((each.name, each.default) for each in fields(kind))
