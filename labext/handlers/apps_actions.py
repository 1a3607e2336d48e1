"""POST apps/NAME/ACTION, apps/NAME/open and apps/stop-all: what people do with applications."""

from __future__ import annotations

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.errors import ApiError
from labext.handlers.apps import Source
from labext.handlers.base import SamepageHandler


class AppActionHandler(SamepageHandler):
    """Somebody pressed a button."""

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def post(self, name: str, action: str) -> None:
        """Do it; the answer is the application after that."""
        applications = self._applications()
        act = {
            "start": applications.start,
            "stop": applications.stop,
            "restart": applications.restart,
            "retry": applications.retry,
            "cancel": applications.cancel,
            "dismiss": applications.dismiss,
        }[action]
        self.speak(await act(name))


class AppOpenHandler(SamepageHandler):
    """Somebody opens a file or folder of the file browser in an application."""

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def post(self, name: str) -> None:
        """Start it if need be, bring the file into it, and answer with the page to show."""
        body = self.get_json_body()
        path = body.get("path") if isinstance(body, dict) else None
        if not isinstance(path, str):
            raise ApiError(400, "bad_request", "There is no path.", 'Send {"path": "folder/file"}.')
        self.finish(await self._applications().open(name, path))


class StopAllHandler(SamepageHandler):
    """Somebody pressed "Stop all"."""

    def initialize(self, applications: Source) -> None:
        """Applications: gives them."""
        self._applications = applications

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Stop them, side by side; the answer is the list after that."""
        self.speak({"apps": await self._applications().stop_all()})
