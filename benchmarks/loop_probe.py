"""A Jupyter Server extension that measures how long the event loop could not run.

Loaded in both environments from a folder of its own. A coroutine asks to be woken every
`PERIOD` seconds. What it comes late is split with the kernel's own accounts
(/proc/thread-self/schedstat): time the main thread waited for a CPU is the machine's doing, the
rest - computing or blocked in a system call - is a stall of the server's.

`GET /benchmark/loop` answers `{"lags": [ms, ...], "waited": [ms, ...], "seconds": s}` since the
last call. It is open to anyone with the token, like every other handler of the server.
"""

import asyncio
import time
from pathlib import Path
from typing import Any

from jupyter_server.base.handlers import APIHandler
from jupyter_server.serverapp import ServerApp
from jupyter_server.utils import url_path_join
from tornado import web

PERIOD = 0.005
_SCHEDULER = Path("/proc/thread-self/schedstat")


class LoopProbe:
    """Own stalls and waits for a CPU of each wake-up, in milliseconds."""

    def __init__(self) -> None:
        self._since = time.monotonic()
        self._lags: list[float] = []
        self._waited: list[float] = []

    async def run(self) -> None:
        """Measure for ever; start it in the loop's own thread."""
        waited = _waited_seconds()
        while True:
            due = time.monotonic() + PERIOD
            await asyncio.sleep(PERIOD)
            late = max(0.0, time.monotonic() - due)
            waited, before = _waited_seconds(), waited
            elsewhere = min(late, waited - before)
            self._lags.append(round((late - elsewhere) * 1000, 3))
            self._waited.append(round(elsewhere * 1000, 3))

    def take(self) -> dict[str, object]:
        """What was measured since the last call."""
        now = time.monotonic()
        taken = {"lags": self._lags, "waited": self._waited, "seconds": now - self._since}
        self._since, self._lags, self._waited = now, [], []
        return taken


def _waited_seconds() -> float:
    return int(_SCHEDULER.read_text().split()[1]) / 1e9


class LoopHandler(APIHandler):
    """Hands out the measurements."""

    def initialize(self, probe: LoopProbe) -> None:
        """Take the probe of this server."""
        self._probe = probe

    @web.authenticated
    async def get(self) -> None:
        """Answer and start anew."""
        self.finish(self._probe.take())


_tasks: set[asyncio.Task[None]] = set()


def _load_jupyter_server_extension(server: ServerApp) -> None:
    probe = LoopProbe()
    path = url_path_join(server.base_url, "benchmark", "loop")
    web_app: Any = server.web_app  # tornado leaves this method untyped
    web_app.add_handlers(".*$", [(path, LoopHandler, {"probe": probe})])

    async def begin() -> None:
        _tasks.add(asyncio.ensure_future(probe.run()))

    server.io_loop.add_callback(begin)
