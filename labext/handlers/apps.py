"""GET apps: the applications for the launcher."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.handlers.base import SamepageHandler


class AppsHandler(SamepageHandler):
    """Asked when a launcher opens, and while one is open."""

    _track_activity = False

    def initialize(self, apps: Callable[[], Awaitable[list[dict[str, Any]]]]) -> None:
        """Apps: gives the list. Errors: ApiError."""
        self._apps = apps

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The applications, also those that cannot be used, with the reason."""
        self.finish({"apps": await self._apps()})
