"""What a request does while its application does not answer yet."""

from __future__ import annotations

import json
from typing import Any

from tornado.web import HTTPError

from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.supervisor.errors import AppFailed, AppTimeout
from serverproxy.supervisor.spec import Endpoint
from serverproxy.supervisor.state import AppState, AppStatus


class NotReadyError(HTTPError):
    """Ends a request; `reply` is its JSON."""

    def __init__(self, status: int, reply: dict[str, Any]) -> None:
        super().__init__(status, "%s", reply["message"])
        self.reply = reply


def is_navigation(request: Any) -> bool:
    """Whether a person looks at the answer: a page in a tab or a frame. Pure."""
    if request.method != "GET":
        return False
    mode = request.headers.get("Sec-Fetch-Mode")
    if mode is not None:
        return bool(mode == "navigate")
    return "text/html" in request.headers.get("Accept", "")


def is_left_over(proxied: ProxiedApp, request: Any) -> bool:
    """Whether a page of an application that was stopped goes on asking for it.

    Starting it again for that would undo every stop while its tab is open. A page of somebody
    else, which only uses it as a backend, starts it, and so does a program.
    """
    mode = request.headers.get("Sec-Fetch-Mode")
    # Without https, browsers do not send the mode; the origin they send with all but plain reads.
    by_page = mode != "navigate" if mode is not None else "Origin" in request.headers
    return bool(
        proxied.opened
        and by_page
        and proxied.app.status.state in {AppState.STOPPED, AppState.STOPPING, AppState.FAILED}
    )


async def endpoint_when_ready(proxied: ProxiedApp, request: Any) -> Endpoint:
    """Start the application unless it runs, and wait for it. NotReadyError when that fails."""
    app = proxied.app
    status = app.status
    if status.running and status.endpoint is not None:
        return status.endpoint
    if is_left_over(proxied, request):
        raise NotReadyError(503, _reply(status, proxied))
    await proxied.app.ensure_started()
    try:
        return await app.wait_ready(proxied.limits.wait_s)
    except AppFailed as error:
        raise NotReadyError(503, _reply(error.status, proxied)) from error
    except AppTimeout as error:
        raise NotReadyError(504, _reply(error.status, proxied)) from error


def _reply(status: AppStatus, proxied: ProxiedApp) -> dict[str, Any]:
    title = proxied.entry.title
    failure = status.failure
    if failure is not None:
        return {
            "code": failure.code,
            "message": failure.message,
            "fix": failure.fix,
            "exit_code": failure.exit_code,
            "log_tail": list(failure.log_tail),
        }
    if status.state is AppState.STARTING:
        message = f"{title} is still starting ({status.phase or 'starting'})."
        return {"code": "starting", "message": message, "fix": "Try again in a few seconds."}
    return {
        "code": "stopped",
        "message": f"{title} was stopped.",
        "fix": "Reload its page to start it again.",
    }


def write_reply(handler: Any, status_code: int, error: BaseException | None) -> None:
    """Finish with JSON {"code", "message", "fix", ...}, never a traceback."""
    if isinstance(error, NotReadyError):
        reply = error.reply
    else:
        message = getattr(handler, "_reason", "") or "The request failed."
        if isinstance(error, HTTPError) and error.log_message:
            try:
                message = error.log_message % error.args if error.args else error.log_message
            except (TypeError, ValueError):
                message = error.log_message
        reply = {"code": f"http_{status_code}", "message": message, "fix": None}
    handler.set_header("Content-Type", "application/json")
    handler.set_header("Cache-Control", "no-store")
    handler.finish(json.dumps(reply))
