"""The GPUs of this node, kept up to date: one tick asks the driver, joins, flags and remembers."""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from nodeagent.gpu.desk import Desk
from nodeagent.gpu.differences import Difference, differences
from nodeagent.gpu.facts import FactKeeper
from nodeagent.gpu.flags.live import FlagWatch, Traces
from nodeagent.gpu.flags.snoozes import SnoozeFile
from nodeagent.gpu.model import GpuReport, GpuSample, GpuState
from nodeagent.gpu.procfs import (
    TICKS_PER_SECOND,
    ProcessTable,
    Seen,
    boot_epoch,
    count_pci_gpus,
    in_host_pid_namespace,
)
from nodeagent.gpu.reader import NvmlLink
from nodeagent.gpu.roster import Roster, RosterSource
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts, Snapshot
from nodeagent.gpu.values import Moment
from nodeagent.host import HostReadError, read_memory

log = logging.getLogger("nodeagent.gpu")

Listener = Callable[[Snapshot], None]

_RENEW_SECONDS = 60.0
_ROSTER_SECONDS = 8.0
_FIRST_SECONDS = 10.0
_PCIE_BYTES_PER_LANE = {1: 0.25e9, 2: 0.5e9, 3: 0.985e9, 4: 1.969e9, 5: 3.938e9, 6: 7.563e9}


class GpuMonitor:
    """`snapshot`: the latest, also of a node whose driver does not answer; None before the first.
    `listeners` are called on the loop after every tick and must return at once."""

    def __init__(
        self,
        *,
        link: NvmlLink,
        roster: RosterSource,
        desk: Desk,
        watch: FlagWatch,
        node: str,
        tick: float,
        proc: Path,
        sys_root: Path = Path("/sys"),
        cgroup_root: str = "/",
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
        host_pids: bool | None = None,
        sees_host: bool | None = None,
    ) -> None:
        self.snapshot: Snapshot | None = None
        self.desk = desk
        self.watch = watch
        self.listeners: list[Listener] = []
        self.keepers: list[Listener] = []
        """As listeners, but called in a thread: they write files."""
        self.closers: list[Callable[[], None]] = []
        """Called at the end, to write what is not written yet."""
        self.snoozes: SnoozeFile | None = None
        self.table = ProcessTable(proc, cgroup_root=cgroup_root)
        self.roster = Roster()
        self.tick_seconds = tick
        self.cpu_seconds = 0.0
        """What the agent's own part of the last tick took (not the child's)."""
        self._link = link
        self._source = roster
        self._keeper = FactKeeper(node=node, tick=tick)
        self.proc = proc
        self._sys_root = sys_root
        self._clock = clock
        self._wall_clock = wall_clock
        # A procfs that was mounted from elsewhere is the host's.
        self._host_pids = in_host_pid_namespace() if host_pids is None else host_pids
        self._sees_host = self._host_pids or proc != Path("/proc")
        if sees_host is not None:
            self._sees_host = sees_host
        self._state: GpuState = "starting"
        self._message = "GPUs have not been read yet."
        self._good_at: float | None = None
        self._renewed = clock()
        self._boot = boot_epoch(proc)
        self._paused_until = 0.0
        self._ticking = asyncio.Lock()
        self._keeping = asyncio.Lock()
        self._first = asyncio.Event()
        self._asking: asyncio.Task[None] | None = None
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tick in the background until `close`."""
        if self._task is None:
            self._task = asyncio.create_task(self._run())

    async def read(self) -> GpuReport:
        """For the agent's round: the latest totals, without waiting for the driver."""
        self.start()
        if not self._first.is_set():
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_FIRST_SECONDS):
                    await self._first.wait()
        return self.report(self._clock())

    async def close(self) -> None:
        """Stop ticking and end the child process."""
        for task in (self._task, self._asking):
            if task is not None:
                task.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await task
        await self._link.close()
        for closer in self.closers:
            closer()

    def report(self, now: float) -> GpuReport:
        """Totals for /v1/node. `now`: monotonic seconds."""
        snapshot = self.snapshot
        gpus = () if snapshot is None else snapshot.gpus
        age = None if self._good_at is None else max(0.0, now - self._good_at)
        shown = [gpu for gpu in gpus if gpu.kind == "gpu" and gpu.health.state.known != "lost"]
        return GpuReport(
            state=self._state,
            message=self._message,
            age_seconds=age,
            devices=tuple(sample_of(gpu) for gpu in sorted(shown, key=lambda gpu: gpu.index)),
        )

    def current(self) -> GpuReport:
        """The same as of now."""
        return self.report(self._clock())

    def seen(self, uuid: str, process: ProcessFacts) -> Seen | None:
        """What procfs said of a process of the snapshot."""
        return self._keeper.seen(uuid, process.pid, process.started)

    def started(self, process: ProcessFacts) -> float | None:
        """Epoch seconds; None: not known."""
        if process.started is None or self._boot is None:
            return None
        return round(self._boot + process.started / TICKS_PER_SECOND, 2)

    @property
    def differences(self) -> tuple[Difference, ...]:
        """What was given out against what is used, as of the last tick."""
        return () if self.snapshot is None else differences(self.snapshot, self.watch.states)

    @property
    def child_pid(self) -> int | None:
        """Of the process that talks to the driver."""
        return self._link.child_pid

    async def keep_snoozes(self) -> None:
        """Write the snoozed flags of now, where they are kept; one after the other."""
        if self.snoozes is not None:
            async with self._keeping:
                await asyncio.to_thread(self.snoozes.write, self.watch.snoozes)

    async def pause(self, seconds: float) -> None:
        """Let go of the driver for so long: an open card can neither be reset nor be cut into
        instances. 0 seconds end a pause."""
        self._paused_until = self._clock() + seconds
        async with self._ticking:
            await self._link.renew()

    async def tick(self) -> None:
        """One reading and all that follows from it. Never raises for what a driver may do."""
        async with self._ticking:
            await self._tick()

    async def _tick(self) -> None:
        left = self._paused_until - self._clock()
        if left > 0:
            self._state = "stale" if self._good_at is not None else "starting"
            self._message = f"Reading the GPUs is paused for {left:.0f} s more, as was asked for."
            self._first.set()
            return
        wall = self._wall_clock()
        wanted: dict[str, Any] = {"since": self._keeper.wanted(wall)}
        if suspects := self.watch.suspects:
            wanted["pcie"] = suspects
        answer = await self._link.ask(wanted)
        await self._refresh_roster()
        self._state, self._message = answer.state, answer.message
        if answer.raw is None:
            if answer.state in ("no_driver", "error") or self.snapshot is None:
                self._good_at = None
                at = await asyncio.to_thread(self._moment, set())
                self.snapshot = self._keeper.without_driver(answer.message, at)
            # Stale: the last snapshot stays as it was read; its time says how old it is.
        else:
            raw = dict(answer.raw)
            self.snapshot = await asyncio.to_thread(self._join, raw)
            self._good_at = self._clock()
            await self._renew(raw)
        self._first.set()
        await asyncio.to_thread(self._tell, self.keepers, self.snapshot)
        self._tell(self.listeners, self.snapshot)

    def _tell(self, listeners: list[Listener], snapshot: Snapshot) -> None:
        for listener in listeners:
            try:
                listener(snapshot)
            except Exception:  # a consumer's fault must not stop the facts
                log.exception("a consumer of GPU snapshots failed")

    def _join(self, raw: dict[str, Any]) -> Snapshot:
        started = time.thread_time()
        at = self._moment(self._keeper.pids(raw))
        snapshot = self._keeper.build(raw, at)
        self.watch.update(snapshot, self._traces(raw))
        self.cpu_seconds = time.thread_time() - started
        return snapshot

    def _moment(self, pids: set[int]) -> Moment:
        mono = self._clock()
        total = available = None
        with contextlib.suppress(HostReadError):
            memory = read_memory(self.proc)
            total, available = memory.total_bytes, memory.available_bytes
        return Moment(
            mono=mono,
            wall=self._wall_clock(),
            boot=self._boot,
            # In a pid namespace of its own, a number of the host's is somebody else here.
            processes=self.table.look(pids, mono) if self._sees_host else {},
            roster=self.roster,
            sees_host=self._sees_host,
            host_pids=self._host_pids,
            host_total=total,
            host_available=available,
            pci_gpus=count_pci_gpus(self._sys_root),
        )

    def _traces(self, raw: dict[str, Any]) -> Traces:
        keeper, table = self._keeper, self.table
        return Traces(
            kernel_id=lambda uuid, process: (
                None if (seen := self.seen(uuid, process)) is None else seen.kernel_id
            ),
            recent_sm=keeper.recent_sm,
            cpu_ticks=lambda uuid, process: (
                None if (seen := self.seen(uuid, process)) is None else seen.cpu_ticks
            ),
            disk_bytes=table.disk_bytes,
            notebook_parent=table.notebook_parent,
            odd_program=table.odd_program,
            bus_share=_bus_shares(raw),
        )

    async def _refresh_roster(self) -> None:
        """In the background: a slow API must not make the facts late, apart from the first ones."""
        if self._asking is None or self._asking.done():
            self._asking = asyncio.create_task(self._ask_roster())
        if not self._first.is_set():
            await asyncio.wait({self._asking}, timeout=_ROSTER_SECONDS)

    async def _ask_roster(self) -> None:
        try:
            self.roster = await self._source.read()
        except Exception:  # an unforeseen fault must not end the agent, or its stop
            log.exception("unforeseen fault in asking whose the GPUs are")

    async def _renew(self, raw: dict[str, Any]) -> None:
        """NVML in a process remembers a lost card: a new one sees it when it is back."""
        now = self._clock()
        if any("gone" in card for card in raw["gpus"]) and now - self._renewed > _RENEW_SECONDS:
            self._renewed = now
            await self._link.renew()

    async def _run(self) -> None:
        while True:
            started = self._clock()
            try:
                await self.tick()
            except asyncio.CancelledError:
                raise
            except Exception:  # an unforeseen fault must not end the readings
                log.exception("unforeseen fault in a reading of the GPUs")
                self._state, self._message = "error", "A reading of the GPUs failed; see the log."
                self._first.set()
            await asyncio.sleep(max(0.1, self.tick_seconds - (self._clock() - started)))


def sample_of(gpu: GpuFacts) -> GpuSample:
    """The totals of one card."""
    listed = gpu.processes.known
    busy = gpu.busy_now.known
    return GpuSample(
        uuid=gpu.uuid,
        index=gpu.index,
        name=gpu.name.known,
        memory_used_bytes=gpu.memory_used_bytes.known,
        memory_total_bytes=gpu.memory_total_bytes.known,
        memory_free_bytes=gpu.memory_free_bytes.known,
        busy_percent=None if busy is None else round(busy * 100),
        processes=None if listed is None else len(listed),
    )


def _bus_shares(raw: dict[str, Any]) -> dict[str, float]:
    """Of the PCIe bandwidth in both directions, for the cards that were asked."""
    found: dict[str, float] = {}
    for card in raw["gpus"]:
        calls = card.get("calls", {})
        lane = _PCIE_BYTES_PER_LANE.get(calls.get("pcie_generation", 0))
        if "pcie" in calls and lane is not None and calls.get("pcie_width"):
            whole = lane * int(calls["pcie_width"])
            found[str(card["uuid"])] = max(calls["pcie"]) * 1024 / whole
    return found
