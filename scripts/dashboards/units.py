"""Values in words, as Grafana writes the units that our panels name."""

from __future__ import annotations

import math

_BINARY = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def written(value: float, unit: str) -> str:
    """`value` with its unit: "1.5 GiB", "37%". ValueError: a unit no panel of ours has."""
    match unit:
        case "bytes":
            power = 0
            while abs(value) >= 1024 and power < len(_BINARY) - 1:
                value, power = value / 1024, power + 1
            return f"{_number(value)} {_BINARY[power]}"
        case "percentunit":
            return f"{_number(100 * value)}%"
        case "none" | "short":
            return _number(value)
        case "cps":
            return f"{_number(value)} c/s"
        case "watt":
            return f"{_number(value)} W"
        case "celsius":
            return f"{_number(value)} °C"
        case "s":
            return f"{_number(value)} s"
    raise ValueError(f"no words for the unit {unit!r}")


def _number(value: float) -> str:
    """Three significant digits, and none after the point that say nothing."""
    if value == 0 or not math.isfinite(value):
        return "0" if value == 0 else str(value)
    places = max(0, 2 - math.floor(math.log10(abs(value))))
    text = f"{value:.{min(places, 3)}f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
