"""An application's status as JSON: for the REST interface and for the start page."""

from __future__ import annotations

import time
from typing import TypedDict

from serverproxy.supervisor.app import ManagedApp
from serverproxy.supervisor.gate.report import Report
from serverproxy.supervisor.state import Failure


class FailureJson(TypedDict):
    """As `Failure`. retry_seconds: until a try is allowed, 0 when it is now."""

    code: str
    message: str
    fix: str
    exit_code: int | None
    signal: str | None
    log_tail: list[str]
    retry_seconds: float


class StatusJson(TypedDict):
    """Durations in seconds, null when they do not apply. revision: grows with each change.

    ready_seconds: what the present or last start took. uptime_seconds: since it answers.
    port_gate: "on" when other users are kept out of its TCP port, "unavailable" when that is not
    possible here (port_gate_reason); null when it has none or needs no gate, or before a start.
    """

    state: str
    phase: str
    why: str | None
    revision: int
    starting_seconds: float | None
    uptime_seconds: float | None
    idle_seconds: float | None
    ready_seconds: float | None
    usual_ready_seconds: float | None
    memory_bytes: int | None
    port_gate: str | None
    port_gate_reason: str | None
    failure: FailureJson | None


def status_json(app: ManagedApp, now: float | None = None) -> StatusJson:
    """The status now; `now` in epoch seconds."""
    now = time.time() if now is None else now
    status = app.status
    started, ready = status.started_at, status.ready_at
    starting = status.state == "starting"
    return StatusJson(
        state=str(status.state),
        phase=str(status.phase),
        why=status.why,
        revision=status.version,
        starting_seconds=_since(started, now) if starting else None,
        uptime_seconds=_since(ready, now) if status.running else None,
        idle_seconds=_since(status.last_activity, now) if status.running else None,
        ready_seconds=None if ready is None or started is None else max(0.0, ready - started),
        usual_ready_seconds=status.usual_ready_s,
        memory_bytes=status.memory_bytes,
        port_gate=_gate(status.gate),
        port_gate_reason=None if status.gate is None else status.gate.reason,
        failure=None if status.failure is None else _failure(status.failure, now),
    )


def _gate(report: Report | None) -> str | None:
    if report is None:
        return None
    return "on" if report.guarded else "unavailable"


def _since(at: float | None, now: float) -> float | None:
    return None if at is None else round(max(0.0, now - at), 3)


def _failure(failure: Failure, now: float) -> FailureJson:
    wait = 0.0 if failure.retry_at is None else max(0.0, failure.retry_at - now)
    return FailureJson(
        code=failure.code,
        message=failure.message,
        fix=failure.fix,
        exit_code=failure.exit_code,
        signal=failure.signal,
        log_tail=list(failure.log_tail),
        retry_seconds=round(wait, 1),
    )
