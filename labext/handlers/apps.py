"""GET apps, GET apps/NAME and GET apps/NAME/log: the applications, for launcher and sidebar."""

from __future__ import annotations

from collections.abc import Callable

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.applications import Applications
from labext.errors import ApiError
from labext.handlers.base import SamepageHandler

Source = Callable[[], Applications]


class AppsHandler(SamepageHandler):
    """Asked when a launcher opens, and while one is open."""

    _track_activity = False

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The applications, also those that cannot be used, with the reason."""
        self.speak({"apps": await self._applications().listing()})


class AppHandler(SamepageHandler):
    """One application; a long poll with `revision` and `wait`."""

    _track_activity = False

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """What it does now, or, with `revision`, as soon as that is something else."""
        revision = self._number("revision", None)
        wait = self._number("wait", 0.0)
        self.speak(
            await self._applications().one(
                name, None if revision is None else int(revision), wait or 0.0
            )
        )

    def _number(self, name: str, default: float | None) -> float | None:
        text = self.get_query_argument(name, None)
        if text is None:
            return default
        try:
            value = float(text)
        except ValueError:
            value = float("nan")
        if not abs(value) < 1e15:
            raise ApiError(400, "bad_request", f"{name} is {text!r}.", "Give a number.")
        return value


class AppLogHandler(SamepageHandler):
    """What it wrote."""

    _track_activity = False

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def get(self, name: str) -> None:
        """The last lines; `lines` of them, 200 by default."""
        text = self.get_query_argument("lines", "200")
        if not text.isdecimal() or len(text) > 9:
            raise ApiError(400, "bad_request", f"lines is {text!r}.", "Give a whole number.")
        self.finish({"lines": await self._applications().log(name, int(text))})
