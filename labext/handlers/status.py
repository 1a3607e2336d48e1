"""GET status: memory, node and features, for the status bar and the panel."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.handlers.base import SamepageHandler


class StatusHandler(SamepageHandler):
    """Polled: a tab left open does not keep a server from being culled as idle."""

    _track_activity = False

    def initialize(self, status: Callable[[], Awaitable[dict[str, Any]]]) -> None:
        """Status: gives the whole answer."""
        self._status = status

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """The status."""
        self.finish(await self._status())
