"""The agent's answer on this user's GPUs, checked."""

from __future__ import annotations

from typing import Any

from jsonschema import Draft202012Validator

_TEXT_OR_NULL = {"type": ["string", "null"]}
_NUMBER_OR_NULL = {"type": ["number", "null"]}
_WHOLE_OR_NULL = {"type": ["integer", "null"]}


def _reading(value: dict[str, Any]) -> dict[str, Any]:
    """A value with its status: none but an `ok` or `stale` one has a value."""
    return {
        "type": "object",
        "required": ["value", "status"],
        "properties": {
            "value": {"anyOf": [value, {"type": "null"}]},
            "status": {"enum": ["ok", "unknown", "unsupported", "stale"]},
            "age_seconds": _NUMBER_OR_NULL,
            "why": _TEXT_OR_NULL,
        },
    }


_NUMBER = _reading({"type": "number"})


def _object(needed: tuple[str, ...], properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(needed), "properties": properties}


GPU = {
    "uuid": {"type": "string"},
    "index": {"type": "integer"},
    "kind": {"enum": ["gpu", "mig"]},
    "name": _reading({"type": "string"}),
    "memory_total_bytes": _NUMBER,
    "memory_used_bytes": _NUMBER,
    "memory_free_bytes": _NUMBER,
    "unified_memory": _reading({"type": "boolean"}),
    "busy_1m": _NUMBER,
    "sharers": _WHOLE_OR_NULL,
    "mine": {"type": "boolean"},
}
PROCESS = {
    "gpu": {"type": "string"},
    "pid": {"type": "integer"},
    "inner_pid": _WHOLE_OR_NULL,
    "kernel_id": _TEXT_OR_NULL,
    "name": _TEXT_OR_NULL,
    "memory_bytes": _NUMBER,
    "duty_1m": _NUMBER,
    "duty_5m": _NUMBER,
    "duty_15m": _NUMBER,
    "last_busy": _NUMBER,
    "started": _NUMBER_OR_NULL,
}
FLAG = {
    "gpu": {"type": "string"},
    "what": {"type": "string"},
    "stage": {"enum": ["none", "notice", "warning", "admin"]},
    "text": {"type": "string"},
    "command": _TEXT_OR_NULL,
    "evidence": {"type": "array", "items": {"type": "string"}},
    "quiet_because": _TEXT_OR_NULL,
    "held_bytes": _WHOLE_OR_NULL,
    "idle_seconds": _NUMBER_OR_NULL,
    "kernel_ids": {"type": "array", "items": {"type": "string"}},
}

ME = Draft202012Validator(
    _object(
        ("state", "message", "age_seconds", "gpus", "processes", "flags"),
        {
            "owner": _TEXT_OR_NULL,
            "state": {"enum": ["ok", "no_driver", "error", "stale", "starting", "off"]},
            "message": {"type": "string"},
            "age_seconds": _NUMBER_OR_NULL,
            "why": _TEXT_OR_NULL,
            "gpus": {"type": "array", "items": _object(tuple(GPU), GPU)},
            "processes": {"type": "array", "items": _object(tuple(PROCESS), PROCESS)},
            "flags": {"type": "array", "items": _object(tuple(FLAG), FLAG)},
        },
    )
)


def problem_of(answer: dict[str, Any]) -> str | None:
    """Where the answer is another than was agreed, in words; None when it is not."""
    # The first error is enough; jsonschema's best_match would walk all of them.
    error = next(ME.iter_errors(answer), None)
    return None if error is None else f"{error.json_path}: {error.message[:120]}"


def only_known(answer: dict[str, Any], keys: dict[str, Any]) -> dict[str, Any]:
    """The fields that this version knows: what a newer agent adds is not passed on unseen."""
    return {key: answer[key] for key in keys}
