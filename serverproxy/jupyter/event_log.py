"""The life of applications in the server's log: one line for each event."""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from typing import Any

from serverproxy.supervisor.state import AppState, AppStatus, Phase

# Without the prefix of the server's log, which no JSON parser takes.
log = logging.getLogger(__name__)

_EVENTS = {
    AppState.STARTING: "start",
    AppState.READY: "ready",
    AppState.STOPPING: "stopping",
    AppState.STOPPED: "stop",
    AppState.FAILED: "failed",
}


def event(status: AppStatus, before: AppStatus | None, now: float) -> dict[str, Any] | None:
    """What a change means to an operator; None when it is no event. Pure.

    cause: why it stopped (idle, stopped, restart, server stopping ...), or the failure's code.
    seconds: of "ready", what the start took; of "stop" and "failed", how long it had run since its
    start. Neither arguments, environment, addresses nor the application's output are in it, for
    those may hold secrets.
    """
    state = status.state
    previous = None if before is None else before.state
    name = _EVENTS.get(state)
    killing = Phase.KILLING
    if status.phase is killing and (before is None or before.phase is not killing):
        name = "killed"
    elif state == previous or (state is AppState.READY and previous is AppState.IDLE):
        return None
    if name is None:
        return None
    failure = status.failure
    cause = failure.code if failure else status.why
    if name == "stop" and status.why == "idle":
        name = "idle stop"
    if name == "stop" and status.why == "dismissed":
        name = "dismissed"
    end = status.ready_at if state is AppState.READY else now
    seconds = None
    if status.started_at is not None and end is not None and state is not AppState.STARTING:
        seconds = round(max(0.0, end - status.started_at), 3)
    return {
        "event": name,
        "app": status.name,
        "state": str(state),
        "cause": cause,
        "seconds": seconds,
        "exit_code": failure.exit_code if failure else None,
        "signal": failure.signal if failure else None,
        "pid": status.pid if state is not AppState.STARTING else None,
        "starts_in_window": status.starts_in_window,
        "time": round(now, 3),
    }


class EventLog:
    """A subscriber of the supervisor that writes JSON lines."""

    def __init__(self, wall: Callable[[], float] = time.time) -> None:
        """wall: epoch seconds."""
        self._wall = wall
        log.propagate = False
        log.setLevel(logging.INFO)
        if not log.handlers:  # unless an operator sends them somewhere
            handler = logging.StreamHandler()
            handler.setFormatter(logging.Formatter("%(message)s"))
            log.addHandler(handler)
        self._before: dict[str, AppStatus] = {}

    def __call__(self, status: AppStatus) -> None:
        """Of each change."""
        told = event(status, self._before.get(status.name), self._wall())
        self._before[status.name] = status
        if told is not None:
            level = logging.WARNING if told["event"] == "failed" else logging.INFO
            log.log(level, "%s", json.dumps(told), extra={"samepage_event": told})
