"""Limits an operator can set."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, kw_only=True)
class Limits:
    """Durations in seconds, sizes in bytes.

    ready_timeout_s: given to every start; an entry may ask for more. wait_s: how long a request
    that cannot show the start page waits. stop_grace_s: from SIGTERM to SIGKILL; our applications
    may ask for more. idle_after_s: until an unused application is stopped, by name, "*" for all
    others; 0 or absent: never. max_starts within window_s: then it rests. log_bytes: of the newest
    output. upload_bytes: of one request body, 0: no limit. message_bytes: of one websocket message.
    guard_ports: keep other users of the machine out of TCP ports.
    json_log: write events as JSON lines.
    keep_environment: variables passed on although their names look like Jupyter's secrets.
    """

    ready_timeout_s: float = 60.0
    wait_s: float = 90.0
    stop_grace_s: float = 30.0
    idle_after_s: Mapping[str, float] = field(default_factory=dict)
    idle_shown_after_s: float = 60.0
    max_starts: int = 3
    window_s: float = 60.0
    log_bytes: int = 1 << 20
    upload_bytes: int = 0
    message_bytes: int = 64 << 20
    guard_ports: bool = False
    json_log: bool = False
    keep_environment: Collection[str] = ()

    def idle_of(self, name: str) -> float | None:
        """Seconds until this application is stopped when unused; None: never."""
        seconds = self.idle_after_s.get(name, self.idle_after_s.get("*", 0.0))
        return seconds if seconds > 0 else None
