"""Shows a file of the file browser in RStudio, whatever state its R session is in."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from serverproxy.errors import AppError
from serverproxy.rstudio_session import HANDLER, SessionFolder
from serverproxy.supervised import Ask, Opened

log = logging.getLogger(__name__)

SUFFIXES = frozenset({".r", ".rmd", ".qmd", ".rproj", ".rnw", ".rhtml", ".rd"})

# R answers at once, or it computes.
_ANSWER_S = 3.0
# A page that is loaded anew forgets what was to be shown in it, so it is told again.
_AGAIN_S = 60.0
_SETTLE_S = 1.5


@dataclass(frozen=True, kw_only=True)
class _Shown:
    file: Path
    at: float


class Opener:
    """Of one application; `folder` gives the files of its present start, None without any."""

    def __init__(
        self,
        title: str,
        folder: Callable[[], SessionFolder | None],
        clock: Callable[[], float] = time.monotonic,
        settle_s: float = _SETTLE_S,
    ) -> None:
        self._title = title
        self._folder = folder
        self._clock = clock
        self._settle_s = settle_s
        self._shown: _Shown | None = None
        self._telling: asyncio.Task[None] | None = None

    async def open(self, ask: Ask, file: Path) -> Opened:
        """Show the file; AppError when this RStudio gives no way to."""
        box = self._folder()
        if box is None:
            raise AppError(
                "no_session_wrapper",
                f"{self._title} runs, but its installation gives no way to show {file.name} in it.",
                f"Open {self._title} and choose the file there: File > Open File.",
            )
        try:
            wish = await asyncio.to_thread(box.wish, file)
            runs = await asyncio.to_thread(box.session_runs)
        except OSError as error:
            raise AppError(
                "not_opened",
                f"{self._title} could not be told to open {file.name}: {error}.",
                f"Make room in {box.folder}, or open the file in RStudio: File > Open File.",
            ) from error
        if not runs:
            return Opened(page="")  # the session that the page starts finds the wish
        self._shown = _Shown(file=file, at=self._clock())
        if await self._told(ask, wish):
            return Opened(page="")
        return Opened(
            page="",
            note=f"R is busy. {file.name} is shown in {self._title} when it has finished.",
        )

    def on_use(self, path: str, ask: Ask) -> None:
        """A browser asked for `path`: a page that begins is told again what was to be shown."""
        if not path.endswith("/rpc/client_init"):
            return
        shown = self._shown
        if shown is None or self._clock() - shown.at > _AGAIN_S:
            return
        if self._telling is not None:
            self._telling.cancel()
        self._telling = asyncio.ensure_future(self._tell_again(ask, shown.file))

    async def _tell_again(self, ask: Ask, file: Path) -> None:
        await asyncio.sleep(self._settle_s)
        self._shown = None
        box = self._folder()
        if box is None:
            return
        try:
            wish = await asyncio.to_thread(box.wish, file)
            await self._told(ask, wish)
        except OSError:
            log.warning("%s could not be told to open a file", self._title, exc_info=True)

    async def _told(self, ask: Ask, wish: Path) -> bool:
        try:
            async with asyncio.timeout(_ANSWER_S):
                await ask("GET", f"custom/{HANDLER}")
        except (OSError, TimeoutError):
            log.info("%s did not answer at once", self._title)
        return not await asyncio.to_thread(wish.exists)
