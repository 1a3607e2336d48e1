"""What an application is doing, as values."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from serverproxy.supervisor.gate.report import Report
from serverproxy.supervisor.spec import Endpoint


class AppState(StrEnum):
    """IDLE still runs: nobody has used it for a while."""

    STOPPED = "stopped"
    STARTING = "starting"
    READY = "ready"
    IDLE = "idle"
    STOPPING = "stopping"
    FAILED = "failed"


class Phase(StrEnum):
    """What a state is busy with, in words for the start page."""

    NONE = ""
    CLEARING = "ending what an earlier server left"
    CHECKING = "checking"
    LAUNCHING = "launching"
    WAITING = "waiting for the first answer"
    SAVING = "asked to stop, saving"
    KILLING = "killing what did not stop"


RUNNING = frozenset({AppState.READY, AppState.IDLE})

_NEXT: dict[AppState, frozenset[AppState]] = {
    AppState.STOPPED: frozenset({AppState.STARTING, AppState.FAILED}),
    AppState.STARTING: frozenset({AppState.READY, AppState.STOPPING}),
    AppState.READY: frozenset({AppState.IDLE, AppState.STOPPING}),
    AppState.IDLE: frozenset({AppState.READY, AppState.STOPPING}),
    # Through STOPPING even when nothing is left to stop: every end goes the same way.
    AppState.STOPPING: frozenset({AppState.STOPPED, AppState.FAILED}),
    AppState.FAILED: frozenset({AppState.STARTING, AppState.STOPPED}),
}


def may_follow(state: AppState, following: AppState) -> bool:
    """Whether `following` may come right after `state`; a state may follow itself. Pure."""
    return following == state or following in _NEXT[state]


@dataclass(frozen=True, kw_only=True)
class Failure:
    """Why an application failed.

    code: stable name. message, fix: sentences for people. exit_code: of the command, None when it
    ended by a signal or did not end. signal: such as "SIGKILL". log_tail: last lines it wrote.
    cause: code of the failure behind this one (of a crash loop). retry_at: epoch seconds before
    which a new try is refused; None when it can be tried at once.
    """

    code: str
    message: str
    fix: str
    exit_code: int | None = None
    signal: str | None = None
    log_tail: tuple[str, ...] = ()
    cause: str | None = None
    retry_at: float | None = None


@dataclass(frozen=True, kw_only=True)
class AppStatus:
    """An application at one moment. Times are epoch seconds.

    version: grows by at least 1 with each change of state, phase or failure.
    since: start of the state. started_at: of the present or the last run. pid: of the process that
        was launched, or that serves after the launched one went to the background.
    usual_ready_s: median of earlier starts, None before the first. memory_bytes: as last measured
        by `Supervisor.measure_memory`, shared pages counted once, None when not running or not
        measured. failure: also set while STOPPING because of it. why: reason of the last stop.
    gate: whether other users are kept out of its TCP ports, of the present or the last run; None
    when that was not asked for.
    starts_in_window: starts that count against the limit. endpoint: only while running; it opens
        the application without a password on TCP, so it is not for clients.
    """

    name: str
    state: AppState
    version: int
    since: float
    phase: Phase = Phase.NONE
    started_at: float | None = None
    ready_at: float | None = None
    pid: int | None = None
    endpoint: Endpoint | None = field(default=None, repr=False)
    usual_ready_s: float | None = None
    last_activity: float | None = None
    memory_bytes: int | None = None
    failure: Failure | None = None
    why: str | None = None
    gate: Report | None = None
    starts_in_window: int = 0

    @property
    def running(self) -> bool:
        """Whether it answers requests."""
        return self.state in RUNNING
