"""A week of measurements in a small file: per GPU and hour, how long how many used how much.

Everything is seconds per bin, so that hours and nodes add up without loss.
"""

import json
import logging
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from nodeagent.gpu.canonical import ShapeError, build
from nodeagent.gpu.snapshot import GpuFacts, Snapshot

log = logging.getLogger("nodeagent.gpu")

HOUR = 3600
KEEP_HOURS = 8 * 24
MEMORY_BINS = 64
BUSY_BINS = 20
_ACTIVE_DUTY = 0.05


@dataclass(kw_only=True)
class Row:
    """One GPU in one hour (`hour`: epoch seconds of its start). The maps: bin as text -> seconds.

    `tenants`, `active`, `users`: how many at a time; `busy`: twentieths of the GPU's time; `held`:
    tenants' seconds by 64ths of the memory; `tenant_seconds`, `active_seconds`: of all together;
    `duty_seconds`: those of the tenant seconds in which it was known whether the tenant worked.
    """

    hour: int
    uuid: str
    kind: str = "gpu"
    name: str = ""
    profile: str = ""
    parent: str = ""
    total_bytes: int = 0
    reserved_bytes: int = 0
    seconds: float = 0.0
    blind_seconds: float = 0.0
    """Its processes, or what they held, were not known."""
    tenant_seconds: float = 0.0
    duty_seconds: float = 0.0
    active_seconds: float = 0.0
    tenants: dict[str, float] = field(default_factory=dict)
    active: dict[str, float] = field(default_factory=dict)
    users: dict[str, float] = field(default_factory=dict)
    busy: dict[str, float] = field(default_factory=dict)
    held: dict[str, float] = field(default_factory=dict)

    def add(self, gpu: GpuFacts, seconds: float) -> None:
        """The time before a snapshot, as it shows."""
        self.seconds += seconds
        self.total_bytes = gpu.memory_total_bytes.known or self.total_bytes
        self.reserved_bytes = gpu.memory_reserved_bytes.known or self.reserved_bytes
        busy = gpu.busy_1m.known
        if busy is not None:
            _count(self.busy, min(BUSY_BINS - 1, int(busy * BUSY_BINS)), seconds)
        listed = gpu.processes.known
        tenants = [
            each
            for each in listed or ()
            if each.alive.known is not False and each.kinds != ("mps_server",)
        ]
        # What is not known must not count as nothing held.
        if listed is None or any(each.memory_bytes.known is None for each in tenants):
            self.blind_seconds += seconds
            return
        held: Counter[str] = Counter()
        duties: dict[str, list[float | None]] = {}
        users: set[str] = set()
        for process in tenants:
            owner = process.owner.known or f"pid {process.pid}"
            held[owner] += process.memory_bytes.known or 0
            users.add(process.user.known or owner)
            duties.setdefault(owner, []).append(process.duty_1m.known)
        if len(duties) == 1 and busy is not None:
            # A MIG instance tells of no process; whoever is alone on it does all of its work.
            duties = {owner: [busy] if None in each else each for owner, each in duties.items()}
        worked = [_worked(each) for each in duties.values()]
        _count(self.tenants, len(held), seconds)
        _count(self.users, len(users), seconds)
        if None not in worked:
            _count(self.active, worked.count(True), seconds)
        self.tenant_seconds += seconds * len(held)
        self.duty_seconds += seconds * (len(worked) - worked.count(None))
        self.active_seconds += seconds * worked.count(True)
        for amount in held.values():
            if self.total_bytes:
                share = amount / self.total_bytes
                _count(self.held, min(MEMORY_BINS - 1, int(share * MEMORY_BINS)), seconds)


def _worked(duties: list[float | None]) -> bool | None:
    """Whether a tenant with these processes worked; None: that of one is not known, and the others
    did not."""
    if any(duty is not None and duty > _ACTIVE_DUTY for duty in duties):
        return True
    return None if None in duties else False


def _count(bins: dict[str, float], number: int, seconds: float) -> None:
    bins[str(number)] = round(bins.get(str(number), 0.0) + seconds, 3)


class HistoryFile:
    """JSON lines, at most eight days of them. A row is written when its hour is over, and at the
    end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._rows: dict[str, Row] = {}
        self._hour: int | None = None
        self._taken: float | None = None
        self._failed = False

    def add(self, snapshot: Snapshot) -> None:
        """Count the time since the last snapshot; one that was not renewed counts nothing."""
        before, self._taken = self._taken, snapshot.taken
        hour = int(snapshot.taken // HOUR) * HOUR
        if self._hour is not None and hour != self._hour:
            self.flush()
        self._hour = hour
        passed = 0.0 if before is None else snapshot.taken - before
        if not 0 < passed <= 3 * snapshot.tick_seconds:
            return
        for gpu in snapshot.gpus:
            if gpu.health.state.known in ("lost", "reset_required"):
                continue
            row = self._rows.get(gpu.uuid)
            if row is None:
                row = self._rows[gpu.uuid] = Row(
                    hour=hour,
                    uuid=gpu.uuid,
                    kind=gpu.kind,
                    name=gpu.name.known or "",
                    profile=gpu.profile or "",
                    parent=gpu.parent or "",
                )
            row.add(gpu, passed)

    def flush(self) -> None:
        """Write the rows so far; the file keeps what is not too old."""
        rows, self._rows = list(self._rows.values()), {}
        if not rows:
            return
        oldest = max(row.hour for row in rows) - KEEP_HOURS * HOUR
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            kept = [row for row in read_rows(self._path) if row.hour > oldest] + rows
            fresh = self._path.with_suffix(".new")
            fresh.write_text("".join(f"{_line(row)}\n" for row in kept), encoding="utf-8")
            fresh.replace(self._path)
            self._failed = False
        except OSError as err:
            if not self._failed:
                log.warning("the history of GPUs is not kept in %s: %s", self._path, err)
            self._failed = True


def read_rows(path: Path) -> list[Row]:
    """All rows; damaged lines are left out. OSError: there is a file and it cannot be read."""
    try:
        with path.open(encoding="utf-8", errors="replace") as source:
            return list(parse_rows(source))
    except FileNotFoundError:
        return []


def parse_rows(source: Iterable[str]) -> Iterable[Row]:
    """Pure."""
    for text in source:
        try:
            raw = json.loads(text)
            bins = {name: _bins(raw.pop(name)) for name in _BINS}
            row = build(Row, raw)
        except (ValueError, ShapeError, KeyError, TypeError, AttributeError):
            continue
        for name, value in bins.items():
            setattr(row, name, value)
        yield row


_BINS = ("tenants", "active", "users", "busy", "held")


def _bins(raw: dict[str, Any]) -> dict[str, float]:
    return {str(int(name)): float(value) for name, value in raw.items()}


def _line(row: Row) -> str:
    return json.dumps(vars(row), sort_keys=True, separators=(",", ":"))
