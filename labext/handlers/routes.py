"""Every address of the REST interface."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from labext.courses.service import CourseService
from labext.handlers.apps import AppHandler, AppLogHandler, AppsHandler, Source
from labext.handlers.apps_actions import AppActionHandler, AppOpenHandler, StopAllHandler
from labext.handlers.base import SamepageHandler
from labext.handlers.courses import CoursesHandler, PullHandler
from labext.handlers.courses_files import (
    CopyHandler,
    DiffHandler,
    EditingHandler,
    MergeHandler,
    NewsHandler,
    RedoHandler,
    SeenHandler,
    TakeHandler,
    UndoHandler,
)
from labext.handlers.gpu import GpuHandler, GpuSnoozeHandler, View
from labext.handlers.status import StatusHandler

Route = tuple[str, type[SamepageHandler], dict[str, Any]]


def routes(
    *,
    status: Callable[[], Awaitable[dict[str, Any]]],
    apps: Source,
    courses: Callable[[], CourseService],
    gpu: View,
) -> list[Route]:
    """The routes, below the server's base URL (ExtensionApp puts it in front)."""
    return [
        ("/samepage/api/status", StatusHandler, {"status": status}),
        ("/samepage/api/gpu", GpuHandler, {"gpu": gpu}),
        ("/samepage/api/gpu/snooze", GpuSnoozeHandler, {"gpu": gpu}),
        ("/samepage/api/apps", AppsHandler, {"applications": apps}),
        ("/samepage/api/apps/stop-all", StopAllHandler, {"applications": apps}),
        ("/samepage/api/apps/([^/]+)", AppHandler, {"applications": apps}),
        ("/samepage/api/apps/([^/]+)/log", AppLogHandler, {"applications": apps}),
        (
            "/samepage/api/apps/([^/]+)/(start|stop|restart|retry|cancel|dismiss)",
            AppActionHandler,
            {"applications": apps},
        ),
        ("/samepage/api/apps/([^/]+)/open", AppOpenHandler, {"applications": apps}),
        ("/samepage/api/courses", CoursesHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/pull", PullHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/news", NewsHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/seen", SeenHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/editing", EditingHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/diff", DiffHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/take", TakeHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/copy", CopyHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/merge", MergeHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/undo", UndoHandler, {"service": courses}),
        (r"/samepage/api/courses/([^/]+)/redo", RedoHandler, {"service": courses}),
    ]
