"""GET gpu, and POST gpu/snooze: this user's GPUs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from jupyter_server.auth.decorator import authorized
from tornado import web

from labext.errors import ApiError
from labext.gpu import GpuView
from labext.handlers.base import SamepageHandler

View = Callable[[], GpuView]


class GpuHandler(SamepageHandler):
    """Polled: a tab left open does not keep a server from being culled as idle."""

    _track_activity = False

    def initialize(self, gpu: View) -> None:
        """Gpu: asks the agent. Errors: ApiError when it could not be set up."""
        self._gpu = gpu

    @web.authenticated
    @authorized
    async def get(self) -> None:
        """Own processes, flags and totals."""
        self.finish(await self._gpu().read())


class GpuSnoozeHandler(SamepageHandler):
    """Somebody wants to be reminded later."""

    def initialize(self, gpu: View) -> None:
        """Gpu: remembers it. Errors: ApiError when it could not be set up."""
        self._gpu = gpu

    @web.authenticated
    @authorized
    async def post(self) -> None:
        """Put it off; the answer says until when."""
        body = self.get_json_body()
        given: dict[str, Any] = body if isinstance(body, dict) else {}
        gpu, seconds = given.get("gpu"), given.get("seconds")
        is_number = isinstance(seconds, int | float) and not isinstance(seconds, bool)
        if not isinstance(gpu, str) or seconds is None or not is_number:
            raise ApiError(
                400,
                "bad_request",
                "There is no GPU, or no time.",
                'Send {"gpu": UUID, "seconds": 3600}.',
            )
        self.finish(self._gpu().snooze(gpu, float(seconds)))
