"""Takes a student's wishes from the event loop to a thread, and refuses them while a pull runs."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from labext.courses.desk.place import Place, busy

T = TypeVar("T")
_LONGEST_SECONDS = 120.0


class Desk:
    """`place_of`: where a course is; None for an unknown one. `is_pulling`: whether it moves."""

    def __init__(
        self, place_of: Callable[[str], Place | None], is_pulling: Callable[[str], bool]
    ) -> None:
        self._place_of = place_of
        self._is_pulling = is_pulling
        self._threads = ThreadPoolExecutor(max_workers=2, thread_name_prefix="samepage-desk")

    async def look(self, course_id: str, read: Callable[[Place], T]) -> T:
        """What `read` finds, also while a pull runs. Errors: KeyError, TimeoutError, its own."""
        place = self._place_of(course_id)
        if place is None:
            raise KeyError(course_id)
        loop = asyncio.get_running_loop()
        async with asyncio.timeout(_LONGEST_SECONDS):
            return await loop.run_in_executor(self._threads, functools.partial(read, place))

    async def act(self, course_id: str, do: Callable[[Place], T]) -> T:
        """As `look`, but not while the course is being pulled. Errors: CourseError `pulling`."""
        if self._is_pulling(course_id):
            place = self._place_of(course_id)
            raise busy(place.target if place is not None else course_id)
        return await self.look(course_id, do)

    def close(self) -> None:
        """Take nothing more on."""
        self._threads.shutdown(wait=False, cancel_futures=True)
