"""What an NVML code says about a value. Pure; knows nothing of pynvml."""

from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Any, TypeVar

from nodeagent.gpu.reading import Reading, ok, unknown, unsupported

V = TypeVar("V")


class Code(IntEnum):
    """Of nvml.h; SCRAMBLED is this agent's."""

    SCRAMBLED = -1
    NOT_SUPPORTED = 3
    NO_PERMISSION = 4
    FUNCTION_NOT_FOUND = 13
    LOST = 15
    RESET = 16
    VERSION = 25
    UNKNOWN = 999


_FINAL = (Code.NOT_SUPPORTED, Code.FUNCTION_NOT_FOUND, Code.VERSION)
_WHY = {
    Code.SCRAMBLED: "the driver's list holds impossible pids",
    Code.NO_PERMISSION: "the agent has no permission for it",
    Code.LOST: "the GPU is lost",
    Code.RESET: "the GPU needs a reset",
}


def reading_of(
    raw: Mapping[str, Any], name: str, source: str, convert: Callable[[Any], V | None]
) -> Reading[V]:
    """Of one card's answer. A call that failed for good is unsupported, any other failure unknown;
    so is an answer that `convert` makes None of."""
    value = raw["calls"].get(name)
    if value is not None:
        made = convert(value)
        if made is not None:
            return ok(made, source=source)
        return unknown("the driver does not tell it", source=source)
    code = raw["errors"].get(name)
    if code in _FINAL:
        return unsupported(source=source)
    if code is None:
        return unknown("not read", source=source)
    return unknown(_WHY.get(code, f"NVML answers {code}"), source=source)
