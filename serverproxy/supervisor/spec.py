"""How to launch an application, and how to treat it: values that a caller makes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from serverproxy.supervisor.saving import SaveStep

# sun_path of sockaddr_un is 108 bytes with its final NUL, unix(7).
UNIX_PATH_BYTES = 107


@dataclass(frozen=True, kw_only=True)
class TcpEndpoint:
    """A port of the loopback interface."""

    port: int
    host: str = "127.0.0.1"


@dataclass(frozen=True, kw_only=True)
class UnixEndpoint:
    """A unix socket. A fresh one lies in a new folder of mode 0700 that goes with it."""

    path: Path


Endpoint = TcpEndpoint | UnixEndpoint

# "tcp" and "unix" are fresh for every start; an endpoint is what an entry insists on.
EndpointChoice = Literal["tcp", "unix"] | TcpEndpoint | UnixEndpoint
ChooseEndpoint = Callable[[], EndpointChoice | Awaitable[EndpointChoice]]


@dataclass(frozen=True, kw_only=True)
class LaunchSpec:
    """One launch.

    argv: the command, not a shell line. env: the whole environment (see `environment`).
    probe: "http" sends GET `probe_path` with `probe_headers`; "connect" only connects, for
        applications that do not speak HTTP.
    guarded: keep other users of the machine out of its TCP ports (`gate`), where that is possible.
    ready_statuses: HTTP statuses that count as an answer; None: any, a 404 and a 500 too, as
        jupyter-server-proxy has it.
    The repr shows neither the arguments nor the environment, as both may hold secrets.
    """

    argv: Sequence[str] = field(repr=False)
    env: Mapping[str, str] = field(repr=False)
    endpoint: Endpoint
    cwd: Path | None = None
    probe: Literal["http", "connect"] = "http"
    probe_path: str = "/"
    probe_headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ready_statuses: frozenset[int] | None = None
    guarded: bool = False


MakeLaunch = Callable[[Endpoint], LaunchSpec | Awaitable[LaunchSpec]]


@dataclass(frozen=True, kw_only=True)
class AppPolicy:
    """Limits of one application; durations in seconds.

    stop_grace_s: from SIGTERM to SIGKILL. idle_after_s: without activity until it is stopped, None:
    never. idle_shown_after_s: until the state says idle. max_starts in window_s: starts that ended
    by themselves; a stop that was asked for does not count. log_bytes: of the newest output; on
    disk it takes up to twice that. poll_interval_s: of the readiness check, at most 0.25. save:
    what comes before SIGTERM, within the same grace.
    """

    ready_timeout_s: float = 90.0
    stop_grace_s: float = 30.0
    idle_after_s: float | None = None
    idle_shown_after_s: float = 60.0
    max_starts: int = 3
    window_s: float = 60.0
    poll_interval_s: float = 0.1
    log_bytes: int = 1 << 20
    save: SaveStep | None = None

    def __post_init__(self) -> None:
        for name in ("ready_timeout_s", "window_s", "poll_interval_s", "idle_shown_after_s"):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} is {getattr(self, name)!r}; give more than 0 seconds.")
        if self.poll_interval_s > 0.25:
            raise ValueError(f"poll_interval_s is {self.poll_interval_s!r}; give at most 0.25.")
        if not self.stop_grace_s >= 0:
            raise ValueError(f"stop_grace_s is {self.stop_grace_s!r}; give 0 or more seconds.")
        if self.idle_after_s is not None and not self.idle_after_s > 0:
            raise ValueError(f"idle_after_s is {self.idle_after_s!r}; give None to switch it off.")
        if self.max_starts < 1:
            raise ValueError(f"max_starts is {self.max_starts!r}; give 1 or more.")
        if self.log_bytes < 4096:
            raise ValueError(f"log_bytes is {self.log_bytes!r}; give 4096 or more.")
