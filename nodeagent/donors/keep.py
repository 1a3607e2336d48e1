"""Keeps donors alive: two processes that hold, for the node, what every student's kernel holds.

A merged page stays charged to the memory cgroup whose copy was kept. When two donors have merged
with each other before the first student arrives, the kept copies are theirs, that is the node's:
a student's equal page is then uncharged, and no student is ever charged for another.

The command must make the same pages as a student's kernel, so it runs in the students' image, with
the students' interpreter and packages. It says `ready` on a line of its output when its memory is
as a kernel's is before the first cell; then it is stopped for good and costs no CPU. One that says
`ready awake` goes on running: it holds the pages in a process of its own and ends when that ends.
"""

import asyncio
import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from nodeagent.donors.launch import Donor, DonorError

log = logging.getLogger("nodeagent.donors")

_FIRST_PAUSE, _LONGEST_PAUSE = 1.0, 60.0


@dataclass(frozen=True, kw_only=True)
class DonorPlan:
    """`command`: program and arguments; `env`: its whole environment."""

    command: Sequence[str]
    env: Mapping[str, str]
    count: int = 2
    warm_seconds: float = 60.0
    """How long to wait for `ready`; a program that never says it is taken as it is then."""


class DonorKeeper:
    """Starts the donors one after the other, and again when one ends."""

    def __init__(self, plan: DonorPlan, *, proc: Path = Path("/proc")) -> None:
        self._plan = plan
        self._proc = proc
        self.ready = 0
        """Donors that are warm and frozen now."""
        self.problem: str | None = None
        """Why the last one failed; None: it did not."""
        self._anew = asyncio.Event()

    def renew(self) -> None:
        """End those that are ready and start others in their place, one after the other: the
        students' kernels are no longer what these hold."""
        log.info("the students' kernels have changed: the donors are started anew")
        ended, self._anew = self._anew, asyncio.Event()
        ended.set()

    async def run(self, stop: asyncio.Event) -> None:
        """Until `stop`; all donors have ended then."""
        # One after the other: a node that starts has better things to do than import twice.
        turn = asyncio.Semaphore(1)
        tasks = [asyncio.create_task(self._keep(turn)) for _ in range(self._plan.count)]
        try:
            await stop.wait()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _keep(self, turn: asyncio.Semaphore) -> None:
        pause = _FIRST_PAUSE
        while True:
            try:
                async with turn:
                    donor = await self._start()
                pause = _FIRST_PAUSE
                if await self._stand(donor, self._anew):
                    continue
            except DonorError as err:
                if err.message != self.problem:
                    log.warning("%s %s", err.message, err.fix)
                self.problem = err.message
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _start(self) -> Donor:
        donor = await Donor.start(self._plan.command, self._plan.env)
        try:
            said = await donor.warm(self._plan.warm_seconds)
            if donor.opted_in(self._proc) is False:
                raise DonorError(
                    f"The donor {donor.pid} is not opted in to merging",
                    fix="Use Linux 6.10 or later, or have the command opt in by itself.",
                )
            donor.freeze()
        except BaseException:
            await donor.end()
            raise
        how = "ready" if said else f"taken as it is after {self._plan.warm_seconds:g} s"
        log.info("donor %d is %s", donor.pid, how)
        return donor

    async def _stand(self, donor: Donor, anew: asyncio.Event) -> bool:
        """Until it is to be replaced: True. DonorError: it ended by itself."""
        self.ready += 1
        self.problem = None
        over, asked = (asyncio.create_task(each) for each in (donor.ended(), anew.wait()))
        try:
            await asyncio.wait((over, asked), return_when=asyncio.FIRST_COMPLETED)
            if not over.done():
                return True
            status = over.result()
        finally:
            for task in (over, asked):
                task.cancel()
            self.ready -= 1
            await donor.end()
        raise DonorError(
            f"The donor {donor.pid} ended with status {status}", fix="Another one is started."
        )
