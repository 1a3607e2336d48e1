"""Writes records of decisions in a thread of its own, in the order in which they were made."""

import asyncio
import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor

from nodeagent.gpu.sharing.record import Record

log = logging.getLogger("nodeagent.gpu")

MOST_WAITING = 1000
"""Records that wait for a disk; more are not kept, as decisions do not wait for it."""
_WAIT_SECONDS = 1.0


class Recorder:
    """`keep` writes one record and may block. Used on one event loop."""

    def __init__(
        self,
        keep: Callable[[Record], None],
        *,
        most_waiting: int = MOST_WAITING,
        wait_seconds: float = _WAIT_SECONDS,
    ) -> None:
        self._keep = keep
        self._wait = wait_seconds
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="gpu-records")
        self._room = threading.Semaphore(most_waiting)
        self._last: Future[None] | None = None
        self._dropping = False

    def add(self, record: Record) -> None:
        """To be written after those before it; returns at once. Never raises for a disk."""
        if not self._room.acquire(blocking=False):
            if not self._dropping:
                log.warning("GPU decisions are not recorded for now: the disk does not keep up")
            self._dropping = True
            return
        self._dropping = False
        self._last = self._thread.submit(self._write, record)

    async def written(self) -> None:
        """Until all so far are written, or a moment has gone by: who is told of a decision can then
        count on its record, also when the agent is killed; a hung disk keeps nobody waiting."""
        if self._last is not None and not self._last.done():
            await asyncio.wait({asyncio.wrap_future(self._last)}, timeout=self._wait)

    def close(self) -> None:
        """Write what is not written yet. Blocks for as long as that takes."""
        self._thread.shutdown()

    def _write(self, record: Record) -> None:
        try:
            self._keep(record)
        except Exception:  # a record that cannot be kept costs no decision
            log.exception("a GPU decision cannot be recorded")
        finally:
            self._room.release()
