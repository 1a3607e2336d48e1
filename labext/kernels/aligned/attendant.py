"""Looks after a running kernel: gives memory back when it is quiet, and says what was imported."""

from __future__ import annotations

import gc
import json
import os
import site
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from . import arrays, layout

_ARRAYS_SECONDS = 5.0
"""After the last cell: until then its freed arrays serve the next one, and save page faults."""


class Attendant:
    """One per kernel, on the thread and loop that run the cells; so never while a cell runs.

    `quiet`: seconds after the last cell until it acts, 0 for never. `report`: the file to write,
    None for none. It sleeps until the first cell has run and acts once per quiet time.
    """

    def __init__(self, loop: Any, *, quiet: float, report: str | None) -> None:
        self._loop = loop
        self._quiet = quiet
        self._report = report
        self._running = 0
        self._ended = time.monotonic()
        self._waiting = self._releasing = False
        self._known = set(sys.modules)

    def cell_begins(self, *_: Any) -> None:
        """Event of the shell."""
        self._running += 1

    def cell_ended(self, *_: Any) -> None:
        """Event of the shell."""
        self._running = max(self._running - 1, 0)
        self._ended = time.monotonic()
        if not self._waiting and self._quiet > 0:
            self._waiting = True
            self._loop.call_later(self._quiet, self._look)
        if not self._releasing and self._quiet > 0 and arrays.current() is not None:
            self._releasing = True
            self._loop.call_later(_ARRAYS_SECONDS, self._release)

    def _release(self) -> None:
        """Give back the memory of freed arrays, unless cells still follow each other."""
        self._releasing = False
        left = self._ended + _ARRAYS_SECONDS - time.monotonic()
        given = arrays.current()
        if self._running or given is None:
            return  # its end starts a new wait
        if left > 0.001:
            self._releasing = True
            self._loop.call_later(left, self._release)
            return
        given.release()

    def _look(self) -> None:
        self._waiting = False
        left = self._ended + self._quiet - time.monotonic()
        if self._running:
            return  # its end starts a new wait
        if left > 0.001:
            self._waiting = True
            self._loop.call_later(left, self._look)
            return
        with suppress(Exception):  # a kernel must not suffer from its attendant
            self.tidy()

    def tidy(self) -> dict[str, Any]:
        """Collect garbage, give free memory back, report. Returns the report."""
        before, began = anonymous_bytes(), time.monotonic()
        gc.collect()
        if (given := arrays.current()) is not None:
            given.release()
        layout.trim_heap()
        after = anonymous_bytes()
        report = {
            "pid": os.getpid(),
            "modules": imported(self._known),
            "before_bytes": before,
            "after_bytes": after,
            "seconds": round(time.monotonic() - began, 4),
        }
        if self._report is not None:
            write(Path(self._report), report)
        return report


def anonymous_bytes() -> int | None:
    """Anonymous memory of this process in RAM."""
    try:
        rows = Path("/proc/self/status").read_text().splitlines()
        return next(int(row.split()[1]) << 10 for row in rows if row.startswith("RssAnon:"))
    except (OSError, StopIteration, ValueError):
        return None


def imported(known: set[str]) -> list[str]:
    """Installed packages, and their parts one level down, that came after `known`.

    Only of site-packages of this Python: names of a student's own modules stay private.
    """
    installed = tuple(folder + os.sep for folder in site.getsitepackages())
    found = []
    for name in sorted(set(sys.modules) - known):
        if name.count(".") > 1 or any(part.startswith("_") for part in name.split(".")):
            continue
        spec = getattr(sys.modules.get(name), "__spec__", None)
        origin = getattr(spec, "origin", None)
        if isinstance(origin, str) and origin.startswith(installed):
            found.append(name)
    return found


def write(file: Path, report: dict[str, Any]) -> None:
    """Replace the file in one step, for this user's eyes only. Errors: OSError."""
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    with os.fdopen(descriptor, "w") as out:
        json.dump(report, out)
    beside.replace(file)


def attach_at_start(report: str | None, settings: dict[str, Any]) -> None:
    """Attach an attendant to the kernel that is about to start in this process."""
    quiet = float(settings.get("quiet_seconds", 0))
    if quiet <= 0:
        return
    try:
        from ipykernel.kernelapp import IPKernelApp
    except ImportError:
        return
    application: Any = IPKernelApp
    start = application.start

    def start_attended(app: Any) -> Any:
        application.start = start  # only the first start is ours
        with suppress(Exception):
            import tornado.ioloop

            loops: Any = tornado.ioloop
            attendant = Attendant(loops.IOLoop.current(), quiet=quiet, report=report)
            app.shell.events.register("pre_execute", attendant.cell_begins)
            app.shell.events.register("post_execute", attendant.cell_ended)
        return start(app)

    application.start = start_attended
