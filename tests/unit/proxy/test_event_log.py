import json
import logging
from dataclasses import replace

import pytest

from serverproxy.jupyter.event_log import EventLog, event
from serverproxy.supervisor.state import AppState, AppStatus, Failure, Phase

STOPPED = AppStatus(name="web", state=AppState.STOPPED, version=0, since=0.0)
STARTING = replace(STOPPED, state=AppState.STARTING, started_at=100.0, starts_in_window=1)
READY = replace(STARTING, state=AppState.READY, ready_at=102.5, pid=7)
STOPPING = replace(READY, state=AppState.STOPPING, phase=Phase.SAVING, why="idle")
KILLING = replace(STOPPING, phase=Phase.KILLING)
ENDED = replace(STOPPING, state=AppState.STOPPED, phase=Phase.NONE, pid=None)
FAILED = replace(
    ENDED,
    state=AppState.FAILED,
    why="failed",
    failure=Failure(
        code="exited_early", message="m", fix="f", exit_code=3, log_tail=("token=secret",)
    ),
)


@pytest.mark.parametrize(
    ("before", "now", "name", "cause", "seconds"),
    [
        (STOPPED, STARTING, "start", None, None),
        (STARTING, READY, "ready", None, 2.5),
        (READY, STOPPING, "stopping", "idle", 60.0),
        (STOPPING, KILLING, "killed", "idle", 60.0),
        (KILLING, ENDED, "idle stop", "idle", 60.0),
        (STOPPING, replace(ENDED, why="stopped"), "stop", "stopped", 60.0),
        (STOPPING, FAILED, "failed", "exited_early", 60.0),
        (FAILED, replace(ENDED, why="dismissed"), "dismissed", "dismissed", 60.0),
    ],
)
def test_each_event_has_a_line(
    before: AppStatus, now: AppStatus, name: str, cause: str | None, seconds: float | None
) -> None:
    told = event(now, before, 160.0)
    assert told is not None
    assert (told["event"], told["cause"], told["seconds"]) == (name, cause, seconds)
    assert told["app"] == "web"
    assert told["state"] == str(now.state)
    assert told["exit_code"] == (3 if now is FAILED else None)


def test_other_changes_are_no_events() -> None:
    idle = replace(READY, state=AppState.IDLE)
    assert event(idle, READY, 1.0) is None
    assert event(READY, idle, 1.0) is None
    assert event(replace(STARTING, phase=Phase.LAUNCHING), STARTING, 1.0) is None


def test_lines_are_json_and_hold_no_output(caplog: pytest.LogCaptureFixture) -> None:
    observer = EventLog(wall=lambda: 160.0)
    logger = logging.getLogger("serverproxy.jupyter.event_log")
    logger.addHandler(caplog.handler)
    try:
        for status in (STARTING, READY, STOPPING, FAILED):
            observer(status)
    finally:
        logger.removeHandler(caplog.handler)
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [line["event"] for line in lines] == ["start", "ready", "stopping", "failed"]
    assert caplog.records[-1].levelno == logging.WARNING
    assert "secret" not in caplog.text
