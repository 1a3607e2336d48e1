"""GET courses, and POST courses/ID/pull."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.courses.model import Course
from labext.courses.service import CourseService
from labext.errors import ApiError
from labext.handlers.base import SamepageHandler

Service = Callable[[], CourseService]


class CoursesHandler(SamepageHandler):
    """Polled while a pull runs."""

    _track_activity = False

    def initialize(self, service: Service) -> None:
        """Service: the courses. Errors: ApiError when they could not be set up."""
        self._service = service

    @web.authenticated
    @authorized
    def get(self) -> None:
        """All courses as they are now."""
        listing = self._service().listing()
        self.finish(
            {
                "state": listing.state,
                "message": listing.message,
                "fix": listing.fix,
                "courses": [as_json(course) for course in listing.courses],
            }
        )


class PullHandler(SamepageHandler):
    """Somebody pressed Pull."""

    def initialize(self, service: Service) -> None:
        """Service: the courses. Errors: ApiError when they could not be set up."""
        self._service = service

    @web.authenticated
    @authorized
    def post(self, course_id: str) -> None:
        """Begin a pull, unless one runs; answers at once."""
        course = self._service().pull(course_id)
        if course is None:
            raise unknown(course_id)
        self.set_status(202)
        self.finish(as_json(course))


def unknown(course_id: str) -> ApiError:
    """There is no such course."""
    return ApiError(
        404,
        "unknown_course",
        f"This server has no course {course_id!r}.",
        "Reload the page: the list of courses may have changed.",
    )


def as_json(course: Course) -> dict[str, Any]:
    """A course as the REST interface shows it."""
    return asdict(course)
