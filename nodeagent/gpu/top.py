"""The picture of `samepage-agent gpu top`. Pure: a report, a width and a time in, lines out.

Only bold, dim and reverse are used, which show on dark and on light terminals; no meaning is in a
colour. A value that is not known is a dash, never 0.
"""

import textwrap
from collections.abc import Mapping, Sequence
from typing import Any

from nodeagent.http.words import age_text, bytes_text, one_line

DASH = "—"
_BAR = 8


class Style:
    """`plain`: no escape codes at all."""

    def __init__(self, *, plain: bool) -> None:
        self._plain = plain

    def bold(self, text: str) -> str:
        """For what to look at."""
        return text if self._plain else f"\x1b[1m{text}\x1b[0m"

    def dim(self, text: str) -> str:
        """For headings and what is idle."""
        return text if self._plain else f"\x1b[2m{text}\x1b[0m"


def render(report: Mapping[str, Any], *, width: int, style: Style) -> list[str]:
    """No line is wider than `width`."""
    snapshot = report["snapshot"] or {"gpus": [], "node": "", "driver": {}}
    width = max(40, width)
    lines = [style.bold(_head(report, snapshot, width))]
    if report["state"] != "ok":
        lines += [style.bold(line) for line in _wrap(report["message"], width)]
    gpus = sorted(snapshot["gpus"], key=lambda gpu: (gpu["index"], gpu["kind"], gpu["uuid"]))
    if gpus:
        lines += ["", style.dim(_cut(_columns(_GPU_HEADS, _GPU_WIDTHS, width), width))]
    for gpu in gpus:
        lines += _gpu_lines(gpu, width, style)
    tenants = _tenants(gpus)
    if tenants:
        lines += ["", style.dim(_cut(_columns(_TENANT_HEADS, _TENANT_WIDTHS, width), width))]
    for row, idle in tenants:
        text = _cut(_columns(row, _TENANT_WIDTHS, width), width)
        lines.append(style.dim(text) if idle else text)
    lines += _notes(report, gpus, width, style)
    return lines


def _head(report: Mapping[str, Any], snapshot: Mapping[str, Any], width: int) -> str:
    age = report["age_seconds"]
    driver = snapshot["driver"].get("value") or "not known"
    ago = "not read" if age is None else f"read {age_text(age)} ago"
    return _cut(f"{snapshot['node']}  driver {driver}  {ago}", width)


_GPU_HEADS = ("GPU", "NAME", "MEMORY", "", "BUSY", "15m", "POWER", "TEMP", "USED BY")
_GPU_WIDTHS = (3, 0, 13, _BAR, 4, 4, 5, 4, 7)
_TENANT_HEADS = ("GPU", "POD OR OWNER", "USER", "MEMORY", "DUTY 1m", "15m", "LAST BUSY")
_TENANT_WIDTHS = (3, 0, 12, 7, 7, 4, 12)


def _gpu_lines(gpu: Mapping[str, Any], width: int, style: Style) -> list[str]:
    used, total = _value(gpu["memory_used_bytes"]), _value(gpu["memory_total_bytes"])
    name = str(_value(gpu["name"]) or DASH).removeprefix("NVIDIA ")
    unified = _value(gpu["unified_memory"])
    memory = "host memory" if unified and total is None else f"{_size(used)}/{_size(total)}"
    users = len([each for each in gpu["tenants"] if not each["finished"]])
    listed = _value(gpu["processes"]) is not None
    row = (
        f"{gpu['index']}{'m' if gpu['kind'] == 'mig' else ''}",
        name if gpu["kind"] == "gpu" else f"MIG {gpu['profile'] or ''}",
        memory,
        _bar(None if used is None or not total else used / total),
        _percent(gpu["busy_now"]),
        _percent(gpu["busy_15m"]),
        _unit(gpu["power_watts"], "W"),
        _unit(gpu["temperature_celsius"], "°C"),
        str(users) if listed else DASH,
    )
    lines = [_cut(_columns(row, _GPU_WIDTHS, width), width)]
    state = gpu["health"]["state"]
    troubles = []
    if _value(state) != "ok":
        troubles.append(_value(state) or f"health {state['status']}: {state['why']}")
    troubles += [f"Xid {xid['code']} {age_text(xid['seconds_ago'])} ago" for xid in _xids(gpu)]
    if gpu["cordoned"]:
        troubles.append("cordoned")
    if troubles:
        lines.append(style.bold(_cut(f"     ! {', '.join(str(each) for each in troubles)}", width)))
    return lines


def _xids(gpu: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [xid for xid in gpu["health"]["xids"] if xid["seconds_ago"] < 3600][:3]


def _tenants(gpus: Sequence[Mapping[str, Any]]) -> list[tuple[tuple[str, ...], bool]]:
    """One row per GPU and owner, the largest first; and whether it is idle."""
    found: list[tuple[int, int, tuple[str, ...], bool]] = []
    for gpu in gpus:
        processes = gpu["processes"]["value"] or []
        groups: dict[str, list[Mapping[str, Any]]] = {}
        for each in processes:
            owner = _value(each["owner"]) or f"pid {each['pid']} (owner not known)"
            if each["alive"]["value"] is False:
                owner = f"{owner} (ended)"
            if each["kinds"] == ["mps_server"]:
                owner = "MPS server"
            groups.setdefault(owner, []).append(each)
        for owner, group in groups.items():
            sizes = [_value(each["memory_bytes"]) for each in group]
            held = None if None in sizes else sum(size or 0 for size in sizes)
            users = {str(_value(each["user"])) for each in group if _value(each["user"])}
            last = [_value(each["last_busy"]) for each in group]
            busy = max((each for each in last if each is not None), default=None)
            short = [_value(each["duty_1m"]) for each in group]
            row = (
                f"{gpu['index']}{'m' if gpu['kind'] == 'mig' else ''}",
                owner,
                ",".join(sorted(users)) or DASH,
                _size(held),
                _share_text(_most(short)),
                _share_text(_most([_value(each["duty_15m"]) for each in group])),
                DASH if busy is None else f"{age_text(max(0.0, gpu['_now'] - busy))} ago",
            )
            found.append((gpu["index"], -(held or 0), row, _most(short) == 0))
    return [(row, idle) for _, _, row, idle in sorted(found)]


def _notes(
    report: Mapping[str, Any], gpus: Sequence[Mapping[str, Any]], width: int, style: Style
) -> list[str]:
    index = {gpu["uuid"]: gpu["index"] for gpu in gpus}
    lines: list[str] = []
    for flag in report["flags"]:
        quiet = flag["quiet_because"]
        mark = f"{flag['stage']}" if not quiet else f"quiet ({quiet})"
        text = f"{mark}: GPU {index.get(flag['gpu'], '?')} {flag['owner']}: {flag['text']}"
        wrapped = _wrap(text, width)
        lines += wrapped if quiet else [style.bold(line) for line in wrapped]
    for each in report["differences"]:
        if each["kind"] == "hoarding":
            continue
        owner = each["owner"] or ""
        kind = each["kind"].replace("_", " ")
        lines += _wrap(
            f"{kind}: GPU {index.get(each['gpu'], '?')} {owner}: {each['text']}".replace(
                " : ", ": "
            ),
            width,
        )
    for entry in report["ledger"]["entries"]:
        left = entry["expires"] - report["time"]
        lines += _wrap(
            f"reserved: GPU {index.get(entry['uuid'], '?')} {entry['pod']}: "
            f"{_size(entry['memory_bytes'])} for {age_text(left)} more",
            width,
        )
    return ["", *lines] if lines else []


def with_now(report: dict[str, Any]) -> dict[str, Any]:
    """The report with the node's time in each GPU, by which ages are told."""
    for gpu in (report["snapshot"] or {"gpus": []})["gpus"]:
        gpu["_now"] = report["time"]
    return report


def _value(reading: Mapping[str, Any]) -> Any:
    """None when not known, or too old."""
    return reading["value"] if reading["status"] == "ok" else None


def _most(values: Sequence[float | None]) -> float | None:
    """None where one of them is not known and none is at work."""
    known = [each for each in values if each is not None]
    best = max(known, default=None)
    return best if best or len(known) == len(values) else None


def _share_text(share: float | None) -> str:
    return DASH if share is None else f"{share:.0%}"


def _percent(reading: Mapping[str, Any]) -> str:
    return _share_text(_value(reading))


def _unit(reading: Mapping[str, Any], unit: str) -> str:
    value = _value(reading)
    return DASH if value is None else f"{value:.0f}{unit}"


def _size(amount: int | None) -> str:
    """`9.0G`: the rows are narrow."""
    text = bytes_text(amount)
    number, _, unit = text.partition(" ")
    return DASH if amount is None else f"{number}{unit[:1].upper()}"


def _bar(share: float | None) -> str:
    if share is None:
        return "·" * _BAR
    full = round(min(1.0, max(0.0, share)) * _BAR)
    return "█" * full + "░" * (_BAR - full)


def _columns(cells: Sequence[str], widths: Sequence[int], width: int) -> str:
    """Two spaces between; the column of width 0 takes what is left. Numbers end at the right."""
    rest = max(8, width - sum(widths) - 2 * (len(widths) - 1))
    parts = []
    for at, (cell, size) in enumerate(zip(cells, widths, strict=True)):
        size = size or rest
        cell = one_line(cell)
        cell = cell if len(cell) <= size else f"{cell[: size - 1]}…"
        left = (
            at < 2 or (widths is _GPU_WIDTHS and at == 3) or (widths is _TENANT_WIDTHS and at == 2)
        )
        parts.append(cell.ljust(size) if left else cell.rjust(size))
    return "  ".join(parts).rstrip()


def _cut(text: str, width: int) -> str:
    text = one_line(text)
    return text if len(text) <= width else f"{text[: width - 1]}…"


def _wrap(text: str, width: int) -> list[str]:
    return textwrap.wrap(one_line(text), width, subsequent_indent="  ") or [""]
