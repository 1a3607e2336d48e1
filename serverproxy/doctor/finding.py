"""What is known about one application: a plain value."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, kw_only=True)
class Finding:
    """One application.

    described_by: distribution whose entry it is. reason, fix: sentences; with `available` true,
    something worth knowing. argv: what it would be started with, secrets masked, `<...>` for what
    only the start decides; None when that cannot be told, and `argv_note` says why.
    data: folder of its projects, and `data_note` its state. heap_bytes: of its Java; None where it
    has none. free_bytes: what it can still take, limit_bytes: of the control group; None: unknown,
    or no limit. transport_note: what that means on a host with other users.
    """

    name: str
    title: str
    described_by: str
    available: bool
    reason: str | None = None
    fix: str | None = None
    version: str | None = None
    argv: tuple[str, ...] | None = None
    argv_note: str | None = None
    data: str | None = None
    data_note: str | None = None
    heap_bytes: int | None = None
    free_bytes: int | None = None
    limit_bytes: int | None = None
    memory_note: str | None = None
    transport: Literal["unix", "tcp"] | None = None
    transport_note: str | None = None
