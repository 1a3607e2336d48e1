"""Flags from live facts: feeds the clocks of idleness and of full load, tick by tick."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from nodeagent.gpu.flags.idle import IdleRules, IdleState, Usage, kind_of, step
from nodeagent.gpu.flags.ladder import Flag, LadderRules, Snooze, idle_flag, miner_flag
from nodeagent.gpu.flags.miner import MinerRules, judge
from nodeagent.gpu.flags.streak import Look, Streak, advance, load_of
from nodeagent.gpu.procfs import TICKS_PER_SECOND
from nodeagent.gpu.reading import Reading, ok, unknown
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts, Snapshot

_SUSPECT_SECONDS = 600.0
_DISK_BYTES_PER_SECOND = 100e6


@dataclass(frozen=True, kw_only=True)
class LiveFlag:
    """A flag on one GPU. `kernel_ids`: of the Jupyter kernels that hold the memory."""

    gpu: str
    flag: Flag
    held_bytes: int | None = None
    idle_seconds: float | None = None
    kernel_ids: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Traces:
    """What is known of processes beside the snapshot. Each may say None: not known."""

    kernel_id: Callable[[str, ProcessFacts], str | None]
    recent_sm: Callable[[str, ProcessFacts], float | None]
    cpu_ticks: Callable[[str, ProcessFacts], int | None]
    disk_bytes: Callable[[int], int | None]
    notebook_parent: Callable[[int], bool | None]
    odd_program: Callable[[int], bool | None]
    bus_share: Mapping[str, float] = field(default_factory=dict)


class FlagWatch:
    """`states`: the idle clock by (GPU, owner); `flags`: as of the last tick."""

    def __init__(
        self,
        *,
        ladder: LadderRules,
        idle: IdleRules | None = None,
        miner: MinerRules | None = None,
    ) -> None:
        self.states: dict[tuple[str, str], IdleState] = {}
        self.flags: tuple[LiveFlag, ...] = ()
        self.snoozes: tuple[Snooze, ...] = ()
        self._idle = idle or IdleRules()
        self._miner = miner or MinerRules()
        self._ladder = ladder
        self._streaks: dict[tuple[str, int, int | None], Streak] = {}
        self._at: float | None = None

    @property
    def suspects(self) -> list[str]:
        """GPUs whose bus is to be looked at."""
        return sorted(
            {key[0] for key, each in self._streaks.items() if each.seconds > _SUSPECT_SECONDS}
        )

    def snooze(self, snooze: Snooze, now: float) -> None:
        """Leave an owner alone for a while; a new word replaces the former."""
        rest = [each for each in self.snoozes if each.owner != snooze.owner and each.until > now]
        self.snoozes = (*rest, snooze)

    def update(self, snapshot: Snapshot, traces: Traces) -> None:
        """After each tick. A node without good facts advances nothing."""
        now, before = snapshot.taken, self._at
        self._at = now
        passed = 0.0 if before is None else now - before
        states: dict[tuple[str, str], IdleState] = {}
        streaks: dict[tuple[str, int, int | None], Streak] = {}
        flags: list[LiveFlag] = []
        for gpu in snapshot.gpus:
            groups: dict[str, list[ProcessFacts]] = {}
            listed = gpu.processes.value or ()
            for process in listed:
                owner = process.owner.value
                if owner is not None and process.kinds != ("mps_server",):
                    groups.setdefault(owner, []).append(process)
            for owner, group in groups.items():
                flag = self._idle_one(gpu, owner, group, now, states, traces)
                if flag is not None:
                    flags.append(flag)
                if gpu.processes.status == "ok" and 0 < passed <= 3 * snapshot.tick_seconds:
                    flags += self._miner_ones(gpu, owner, group, passed, now, streaks, traces)
        self.states, self._streaks = states, streaks
        self.flags = tuple(flags)

    def _idle_one(
        self,
        gpu: GpuFacts,
        owner: str,
        group: list[ProcessFacts],
        now: float,
        states: dict[tuple[str, str], IdleState],
        traces: Traces,
    ) -> LiveFlag | None:
        usage = usage_of(gpu, owner, group)
        state = step(self.states.get((gpu.uuid, owner), IdleState()), usage, now, self._idle)
        states[gpu.uuid, owner] = state
        flag = idle_flag(
            owner,
            group[0].user.known,
            state,
            usage,
            kind_of(usage, self._idle),
            cell_running=None,
            snoozes=self.snoozes,
            now=now,
            rules=self._ladder,
        )
        if flag is None:
            return None
        kernels = {traces.kernel_id(gpu.uuid, process) for process in group}
        return LiveFlag(
            gpu=gpu.uuid,
            flag=flag,
            held_bytes=usage.memory_bytes.known,
            idle_seconds=round(state.idle_seconds, 1),
            kernel_ids=tuple(sorted(each for each in kernels if each is not None)),
        )

    def _miner_ones(
        self,
        gpu: GpuFacts,
        owner: str,
        group: list[ProcessFacts],
        passed: float,
        now: float,
        streaks: dict[tuple[str, int, int | None], Streak],
        traces: Traces,
    ) -> list[LiveFlag]:
        found: list[LiveFlag] = []
        for process in group:
            sm = traces.recent_sm(gpu.uuid, process)
            key = (gpu.uuid, process.pid, process.started)
            if sm is None or sm < 0.5:
                continue
            look = Look(
                sm=sm,
                power_share=_share(gpu.power_watts.known, gpu.power_limit_watts.known),
                memory_bytes=process.memory_bytes.known,
                bus_share=traces.bus_share.get(gpu.uuid),
                cpu_ticks=traces.cpu_ticks(gpu.uuid, process),
                disk_bytes=traces.disk_bytes(process.pid),
            )
            streak = advance(self._streaks.get(key), look, passed)
            if streak is None:
                continue
            streaks[key] = streak
            if streak.seconds < self._miner.seconds:
                continue
            tenant = next((each for each in gpu.tenants if each.owner == owner), None)
            load = load_of(
                streak,
                ticks_per_second=TICKS_PER_SECOND,
                disk_bytes_per_second=_DISK_BYTES_PER_SECOND,
                notebook_parent=traces.notebook_parent(process.pid),
                odd_program=traces.odd_program(process.pid),
                allocated=None if tenant is None else tenant.allocated,
            )
            flag = miner_flag(
                owner,
                process.user.known,
                judge(load, self._miner),
                snoozes=self.snoozes,
                now=now,
                rules=self._ladder,
            )
            if flag is not None:
                found.append(LiveFlag(gpu=gpu.uuid, flag=flag))
        return found


def usage_of(gpu: GpuFacts, owner: str, group: list[ProcessFacts]) -> Usage:
    """One tenant's processes on one GPU, as the idle clock wants them. Pure."""
    oldest = min(group, key=lambda each: (each.started is None, each.started or 0, each.pid))
    tenant = next((each for each in gpu.tenants if each.owner == owner), None)
    stale = gpu.processes.status != "ok"
    memory: Reading[int] = unknown("not told for each of its processes", source="nvml")
    sizes = [each.memory_bytes.known for each in group]
    if not stale and None not in sizes:
        memory = ok(sum(size or 0 for size in sizes), source="nvml")
    duties = [each.duty_5m if not stale else _STALE for each in group]
    means = [each.mean_sm_15m if not stale else _STALE for each in group]
    return Usage(
        process_key=f"{oldest.pid}:{oldest.started}",
        memory_bytes=memory,
        total_bytes=gpu.memory_total_bytes,
        duty_5m=_largest(duties),
        mean_sm=_largest(means),
        allocated=tenant is None or tenant.allocated is not False,
        alive=any(each.alive.known is not False for each in group),
    )


_STALE: Reading[float] = unknown("the GPU does not answer", source="nvml")


def _largest(readings: list[Reading[float]]) -> Reading[float]:
    """One that works is enough; one that is not known may be the one that works."""
    known = [each for each in readings if each.known is not None]
    best = max(known, key=lambda each: each.known or 0.0, default=None)
    if best is not None and (len(known) == len(readings) or (best.known or 0) > 0):
        return best
    return next(each for each in readings if each.known is None)


def _share(value: float | None, whole: float | None) -> float | None:
    return None if value is None or not whole else value / whole
