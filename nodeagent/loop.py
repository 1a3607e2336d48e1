"""The agent's loop: read, decide, write what changed; then wait, with an eye on arrivals."""

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path

from nodeagent.errors import AgentError, Problem
from nodeagent.gpu.model import GpuReader
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.history import History, Point
from nodeagent.host import HostMemory, read_memory
from nodeagent.kernels.renew import DonorAdvice
from nodeagent.kernels.switches import ALL_ON, Switches
from nodeagent.ksm.control import KsmController, KsmReport
from nodeagent.view import NodeStatus

log = logging.getLogger("nodeagent.loop")

TICK_SECONDS = 2.0


class Agent:
    """Everything that is read and written on this node, and the latest status of it."""

    def __init__(
        self,
        *,
        ksm: KsmController,
        gpus: GpuReader,
        history: History,
        proc: Path,
        interval: float,
        version: str,
        node: str,
        switches: Switches = ALL_ON,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.history = history
        self.interval = interval
        self.status: NodeStatus | None = None
        """None until the first good reading."""
        self.problem: Problem | None = None
        """Why the last reading failed as a whole; None: it did not."""
        self.read_seconds = 0.0
        """How long the last round took."""
        self.rounds = 0
        self.failures = 0
        self.gpu_monitor = gpus if isinstance(gpus, GpuMonitor) else None
        """All facts of the GPUs; None where they are not read."""
        self._ksm = ksm
        self._gpus = gpus
        self._proc = proc
        self._version = version
        self._node = node
        self._switches = switches
        self._donors = DonorAdvice()
        self._clock = clock
        self._wall_clock = wall_clock

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; then KSM is put back. A failing round is shown and tried again."""
        try:
            while not stop.is_set():
                await self.round()
                await self._wait(stop)
        finally:
            await asyncio.to_thread(self._ksm.stop)
            await self._gpus.close()

    async def round(self) -> None:
        """Read, decide, write once."""
        started = self._clock()
        try:
            # Side by side: a GPU that answers late must not hold KSM back by much.
            (report, memory), gpus = await asyncio.gather(
                asyncio.to_thread(self._ksm_and_memory), self._gpus.read()
            )
        except AgentError as err:
            self._failed(err.problem)
            return
        except Exception as err:  # an unforeseen fault must not leave KSM unattended
            log.exception("unforeseen fault in a round")
            self._failed(
                Problem(
                    code="internal",
                    message=f"A reading failed in an unforeseen way: {err!r}.",
                    fix="Report it with the agent's log; the agent tries again.",
                )
            )
            return
        finally:
            self.rounds += 1
            self.read_seconds = self._clock() - started
        now = self._wall_clock()
        self.problem = None
        kernels = None if report.sample is None else report.sample.kernels
        self._donors.look(kernels, self._clock())
        self.status = NodeStatus(
            version=self._version,
            node=self._node,
            time=now,
            interval_seconds=self.interval,
            ksm=report,
            memory=memory,
            gpus=gpus,
            switches=self._switches,
            donor_restarts=self._donors.number,
        )
        self.history.add(
            Point(
                time=round(now, 1),
                saved_bytes=None if report.sample is None else report.sample.saved_bytes,
                available_bytes=memory.available_bytes,
                ksmd_cpu_ratio=report.cpu_ratio,
            )
        )

    async def donor_restarts(self) -> int:
        """How often donors should have been started anew."""
        return self._donors.number

    @property
    def healthy(self) -> str | None:
        """None: healthy. Else why not, in a sentence."""
        if self.status is None:
            return self.problem.message if self.problem else "The first reading is under way."
        age = self._wall_clock() - self.status.time
        if age > 3 * self.interval + 10:
            return f"The last good reading is {age:.0f} s old."
        return None

    def _ksm_and_memory(self) -> tuple[KsmReport, HostMemory]:
        return self._ksm.step(), read_memory(self._proc)

    def _failed(self, problem: Problem) -> None:
        self.failures += 1
        if problem != self.problem:
            log.warning("%s: %s %s", problem.code, problem.message, problem.fix)
        self.problem = problem

    async def _wait(self, stop: asyncio.Event) -> None:
        """One interval; in steps of a tick, cut short by scanning or by an arrival."""
        until = self._clock() + self.interval
        while (left := until - self._clock()) > 0:
            try:
                async with asyncio.timeout(min(left, TICK_SECONDS)):
                    await stop.wait()
                return
            except TimeoutError:
                pass
            if self._ksm.scanning:
                return
            try:
                if await asyncio.to_thread(self._ksm.arrivals):
                    return
            except OSError as err:
                log.warning("cannot look for new processes: %s", err)
