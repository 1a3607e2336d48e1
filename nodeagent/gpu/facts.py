"""From the driver's answers to facts: windows, owners, peaks and health are kept between ticks.

Pure apart from its memory: answers, processes, roster and the time in, a snapshot out.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, TypeVar

from nodeagent.gpu.nvml_codes import Code, reading_of
from nodeagent.gpu.procfs import TICKS_PER_SECOND, Seen
from nodeagent.gpu.reading import Reading, ok, same, unknown, unsupported
from nodeagent.gpu.snapshot import (
    GpuFacts,
    Health,
    HealthState,
    ProcessFacts,
    ProcessKind,
    Snapshot,
    Tenant,
    Xid,
)
from nodeagent.gpu.values import (
    Moment,
    TenantMemory,
    aged_facts,
    compute_mode,
    host_memory,
    mig_mode,
    mps_state,
    profile_of,
    remap,
    tenant_of,
    unified_memory,
    unseen,
)
from nodeagent.gpu.windows import MINUTES, Window

V = TypeVar("V")

_SAMPLES = "nvmlDeviceGetProcessUtilization"
_RATES = {minutes: f"nvmlDeviceGetUtilizationRates, mean of {minutes} min" for minutes in MINUTES}
_GPM = "nvmlGpmMigSampleGet"
_NO_USER = unknown("nothing names the user of this container", source="cgroup")
_GOOD_TICKS = 6
"""In a row, until a card that was lost counts as healthy again."""
_FORGET_SECONDS = 86_400.0
_XIDS_KEPT = 32
_XID_SECONDS = 86_400.0
_HIDDEN_BYTES = 300 * 2**20
"""In use with no process listed: the driver hides them from this pid namespace."""

_GONE: dict[int, HealthState] = {Code.LOST: "lost", Code.RESET: "reset_required"}
_KINDS: dict[str, ProcessKind] = {"C": "compute", "M": "mps", "G": "graphics"}


@dataclass(kw_only=True)
class _Process:
    window: Window
    last_busy: float | None = None
    """Epoch seconds."""
    whole_life: bool = False
    """Watched since its start."""
    missing: int = 0
    """Ticks in a row without a sign of it in procfs."""
    seen: Seen | None = None
    minute: tuple[float, float | None, float | None] = (0.0, None, None)
    """Of its window, as of the last tick."""


@dataclass(kw_only=True)
class _Device:
    window: Window
    processes: dict[tuple[int, int | None], _Process] = field(default_factory=dict)
    tenants: dict[str, TenantMemory] = field(default_factory=dict)
    xids: list[tuple[int, float]] = field(default_factory=list)
    last_sample: int | None = None
    """Microseconds of the epoch, of the newest sample."""
    good_ticks: int = _GOOD_TICKS
    facts: GpuFacts | None = None
    answered: float = 0.0
    uncertain: bool = False
    """The last samples could not be used."""


class FactKeeper:
    """Remembers what a snapshot needs of the ticks before it."""

    def __init__(self, *, node: str, tick: float) -> None:
        self._node = node
        self._tick = tick
        self._devices: dict[str, _Device] = {}
        self._last: float | None = None

    def wanted(self, wall: float) -> dict[str, int]:
        """For the next reading: per GPU the time from which samples are wanted, in µs."""
        first = int((wall - self._tick) * 1e6)
        return {
            uuid: first if device.last_sample is None else device.last_sample
            for uuid, device in self._devices.items()
        }

    def pids(self, raw: Mapping[str, Any]) -> set[int]:
        """Of all processes in an answer."""
        return {int(each[0]) for card in raw["gpus"] for each in card.get("processes", ())}

    def seen(self, uuid: str, pid: int, started: int | None) -> Seen | None:
        """What procfs said of a process of the last snapshot."""
        device = self._devices.get(uuid)
        process = None if device is None else device.processes.get((pid, started))
        return None if process is None else process.seen

    def recent_sm(self, uuid: str, process: ProcessFacts) -> float | None:
        """Mean SM share of the last minute; None: not known, or not watched for so long."""
        device = self._devices.get(uuid)
        kept = None if device is None else device.processes.get((process.pid, process.started))
        watched, _, mean = (0.0, None, None) if kept is None else kept.minute
        return mean if watched >= MINUTES[1] / 2 else None

    def without_driver(self, why: str, at: Moment) -> Snapshot:
        """A node where nothing is to be read, or not yet."""
        return self._snapshot((), unknown(why, source="nvml"), at)

    def build(self, raw: Mapping[str, Any], at: Moment) -> Snapshot:
        """The node's snapshot from one answer of the driver."""
        # A gap (a hung driver, a sleeping agent) is time in which nobody looked.
        passed = self._tick if self._last is None else at.mono - self._last
        seconds = min(passed, 2 * self._tick)
        self._last = at.mono
        for uuid, code in raw.get("events", ()):
            for name in self._devices if uuid is None else (str(uuid),):
                self._device(name, at).xids.append((int(code), at.mono))
        found: dict[str, GpuFacts] = {}
        nameless: list[int] = []
        for card in raw["gpus"]:
            uuid = card["uuid"]
            if uuid is None:
                nameless.append(int(card["gone"]))
            elif "gone" in card:
                found[uuid] = self._gone(uuid, int(card["index"]), int(card["gone"]), at)
            else:
                found[uuid] = self._card(card, seconds, at)
        # A card that fails before it says its name is one of those that are missing.
        for uuid, device in list(self._devices.items()):
            if uuid in found:
                continue
            whole = device.facts is not None and device.facts.kind == "gpu"
            if whole and at.mono - device.answered < _FORGET_SECONDS:
                found[uuid] = self._gone(uuid, None, nameless[0] if nameless else Code.LOST, at)
            else:
                del self._devices[uuid]
        driver = ok(str(raw["driver"]), source="nvmlSystemGetDriverVersion")
        return self._snapshot(tuple(found.values()), driver, at)

    def _snapshot(self, gpus: tuple[GpuFacts, ...], driver: Reading[str], at: Moment) -> Snapshot:
        expected: Reading[int] = unknown("no PCI bus to be seen", source="sysfs")
        if at.pci_gpus is not None:
            expected = ok(at.pci_gpus, source="sysfs: PCI devices of NVIDIA")
        return Snapshot(
            node=self._node,
            taken=round(at.wall, 3),
            tick_seconds=self._tick,
            driver=driver,
            expected_gpus=expected,
            allocations=at.roster.allocations,
            host_total_bytes=host_memory(at.host_total, "MemTotal"),
            host_available_bytes=host_memory(at.host_available, "MemAvailable"),
            gpus=gpus,
        )

    def _device(self, uuid: str, at: Moment) -> _Device:
        if uuid not in self._devices:
            self._devices[uuid] = _Device(window=Window(at.mono))
        return self._devices[uuid]

    def _gone(self, uuid: str, index: int | None, code: int, at: Moment) -> GpuFacts:
        """The last facts of a card that does not answer, as stale ones."""
        device = self._device(uuid, at)
        device.good_ticks = 0
        state: Reading[HealthState] = unknown(f"NVML answers {code} for it", source="nvml")
        if code in _GONE:
            state = ok(_GONE[code], source="nvml")
        before = device.facts or GpuFacts(uuid=uuid, index=index or 0)
        stale = aged_facts(before, at.mono - device.answered)
        xids = self._xids(device, at)
        return replace(
            stale,
            index=before.index if index is None else index,
            health=replace(stale.health, state=state, xids=xids),
            cordoned=self._cordoned(uuid, None, at),
        )

    def _cordoned(self, uuid: str, parent: str | None, at: Moment) -> bool:
        return not at.roster.cordoned.isdisjoint({"all", uuid, parent or uuid})

    def _xids(self, device: _Device, at: Moment) -> tuple[Xid, ...]:
        device.xids = [each for each in device.xids if at.mono - each[1] < _XID_SECONDS][
            -_XIDS_KEPT:
        ]
        return tuple(Xid(code=code, seconds_ago=at.mono - seen) for code, seen in device.xids)

    def _card(self, raw: Mapping[str, Any], seconds: float, at: Moment) -> GpuFacts:
        uuid, kind = str(raw["uuid"]), raw["kind"]
        device = self._device(uuid, at)
        device.good_ticks += 1
        device.answered = at.mono
        rates = raw["calls"].get("rates")
        gpm = raw["calls"].get("gpm")
        if gpm is not None:
            device.window.add(at.mono, seconds, gpm / 100)
        elif rates is not None and 0 <= rates[0] <= 100:
            device.window.add(at.mono, seconds, rates[0] / 100, min(rates[1], 100) / 100)

        def told(name: str, source: str, convert: Callable[[Any], V | None]) -> Reading[V]:
            return reading_of(raw, name, source, convert)

        memory = raw["calls"].get("memory")
        source = "nvmlDeviceGetMemoryInfo" + ("_v2" if memory and memory[1] is not None else "")

        def size(at_index: int) -> Reading[int]:
            return told("memory", source, lambda numbers: numbers[at_index])

        reserved: Reading[int] = size(1)
        if memory is not None and memory[1] is None:
            # Version 1 counts it as used.
            reserved = unsupported(source="nvmlDeviceGetMemoryInfo")
        listed = self._processes(device, raw, seconds, at)
        known = listed.known
        shares = device.window.over(at.mono)
        busy = {minutes: _share(raw, minutes, each[0], each[1]) for minutes, each in shares.items()}
        # GPM is asked for one number only.
        traffic = {
            minutes: _share(raw, minutes, each[0], each[2], name="rates")
            for minutes, each in shares.items()
        }
        recovering = device.good_ticks < _GOOD_TICKS
        facts = GpuFacts(
            uuid=uuid,
            index=int(raw["index"]),
            kind=kind,
            parent=raw.get("parent"),
            profile=profile_of(raw),
            name=told("name", "nvmlDeviceGetName", str),
            memory_total_bytes=size(0),
            memory_reserved_bytes=reserved,
            memory_used_bytes=size(2),
            memory_free_bytes=size(3),
            unified_memory=unified_memory(raw),
            busy_now=told("rates", "nvmlDeviceGetUtilizationRates", _busy_now)
            if gpm is None
            else ok(gpm / 100, source=_GPM),
            busy_1m=busy[1],
            busy_5m=busy[5],
            busy_15m=busy[15],
            busy_p90_15m=self._p90(device, busy[15], at),
            memory_busy_1m=traffic[1],
            memory_busy_5m=traffic[5],
            memory_busy_15m=traffic[15],
            power_watts=told("power", "nvmlDeviceGetPowerUsage", lambda value: value / 1000),
            power_limit_watts=told(
                "power_limit", "nvmlDeviceGetEnforcedPowerLimit", lambda value: value / 1000
            ),
            temperature_celsius=told("temperature", "nvmlDeviceGetTemperature", float),
            compute_mode=compute_mode(raw),
            mig_mode=mig_mode(raw),
            mps_state=mps_state(raw, known),
            mps_clients=told("mps_processes", "nvmlDeviceGetMPSComputeRunningProcesses", int),
            health=Health(
                state=ok("recovering" if recovering else "ok", source="nvml"),
                ecc_uncorrected=told("ecc", "nvmlDeviceGetTotalEccErrors", int),
                remap_pending=remap(raw, 2),
                remap_failed=remap(raw, 3),
                xids=self._xids(device, at),
            ),
            cordoned=self._cordoned(uuid, raw.get("parent"), at),
            processes=listed,
            tenants=self._tenants(device, uuid, known, seconds, at),
        )
        device.facts = facts
        return facts

    def _p90(self, device: _Device, mean: Reading[float], at: Moment) -> Reading[float]:
        share = None if mean.known is None else device.window.first_quantile(0.9, at.mono)
        if share is None:
            return mean
        source = f"{mean.source.partition(',')[0]}, 90th percentile of 15 min"
        return ok(round(share, 4), source=source)

    def _processes(
        self, device: _Device, raw: Mapping[str, Any], seconds: float, at: Moment
    ) -> Reading[tuple[ProcessFacts, ...]]:
        source = "nvmlDeviceGetComputeRunningProcesses"
        trouble = self._list_trouble(raw, at)
        if trouble is not None:
            device.processes.clear()
            return trouble
        merged: dict[int, tuple[set[str], int | None]] = {}
        for pid, held, letter in raw["processes"]:
            kinds, before = merged.get(pid, (set(), None))
            # A pid can be in several lists with the same memory: the largest, not the sum.
            known = [each for each in (before, held) if each is not None]
            merged[pid] = (kinds | {letter}, max(known) if known else None)
        work = self._work(device, raw, at)
        kept: dict[tuple[int, int | None], _Process] = {}
        found: list[ProcessFacts] = []
        for pid, (letters, held) in merged.items():
            seen = at.processes.get(pid)
            key = (pid, None if seen is None else seen.started)
            # One that has just left procfs is still the one it was.
            if seen is None:
                key = next((each for each in device.processes if each[0] == pid), key)
            process = device.processes.get(key) or self._new_process(seen, at)
            process.missing = 0 if seen is not None else process.missing + 1
            process.seen = seen or process.seen
            kept[key] = process
            self._add_work(process, work, pid, held, seconds, at)
            found.append(self._process_facts(process, key, letters, held, raw, at))
        device.processes = kept
        return ok(tuple(found), source=source)

    def _list_trouble(
        self, raw: Mapping[str, Any], at: Moment
    ) -> Reading[tuple[ProcessFacts, ...]] | None:
        """Why the list of processes is not to be believed; None: it is."""
        source = "nvmlDeviceGetComputeRunningProcesses"
        if "processes" not in raw["calls"]:
            return reading_of(raw, "processes", source, lambda value: None)
        listed = {int(each[0]) for each in raw["processes"]}
        memory = raw["calls"].get("memory")
        if not listed and not at.host_pids and memory is not None:
            used = (memory[2] or 0) - (0 if memory[1] is not None else _HIDDEN_BYTES)
            if used > _HIDDEN_BYTES:
                return unknown(
                    "memory is used and no process is listed: the agent needs the host's pids",
                    source=source,
                )
        strangers = listed - set(at.processes)
        if at.sees_host and len(listed) >= 4 and len(strangers) > len(listed) / 2:
            return unknown(
                f"{len(strangers)} of {len(listed)} listed pids do not exist: this driver's list "
                "is not to be believed",
                source=source,
            )
        return None

    def _new_process(self, seen: Seen | None, at: Moment) -> _Process:
        age = None
        if seen is not None and at.boot is not None:
            age = at.wall - (at.boot + seen.started / TICKS_PER_SECOND)
        whole = age is not None and age <= 2 * self._tick
        return _Process(window=Window(at.mono), whole_life=whole)

    def _work(
        self, device: _Device, raw: Mapping[str, Any], at: Moment
    ) -> dict[int, list[int]] | None:
        """SM percents per pid since the last tick; None: not to be told."""
        samples = raw["calls"].get("samples")
        if samples is None:
            return None
        newest = max((int(each[1]) for each in samples), default=0)
        if newest > (at.wall + 1) * 1e6:
            # The clock was set back: everything in the driver's buffer is from the future.
            device.last_sample = None
            return None
        since = device.last_sample or 0
        work: dict[int, list[int]] = {}
        for pid, stamp, share, _ in samples:
            if stamp > since and 0 <= share <= 100:
                work.setdefault(int(pid), []).append(int(share))
        device.last_sample = max(since, newest) or int(at.wall * 1e6)
        return work

    def _add_work(
        self,
        process: _Process,
        work: dict[int, list[int]] | None,
        pid: int,
        held: int | None,
        seconds: float,
        at: Moment,
    ) -> None:
        if work is None:
            process.window.add(at.mono, seconds, None, None, held)
            return
        # No sample: it did nothing. The driver lists only those that did something.
        shares = work.get(pid, [])
        busy = any(shares)
        mean = sum(shares) / len(shares) / 100 if shares else 0.0
        process.window.add(at.mono, seconds, float(busy), mean, held)
        if busy:
            process.last_busy = at.wall

    def _process_facts(
        self,
        process: _Process,
        key: tuple[int, int | None],
        letters: set[str],
        held: int | None,
        raw: Mapping[str, Any],
        at: Moment,
    ) -> ProcessFacts:
        seen = process.seen
        if seen is None:
            owner: Reading[str] = unknown(unseen(at), source="procfs")
            user = owner
        else:
            name, person = at.roster.owner(seen)
            owner = same(name, "cgroup")
            user = _NO_USER if person is None else same(person, "cgroup")
        kinds: tuple[ProcessKind, ...] = tuple(_KINDS[letter] for letter in letters)
        if seen is not None and seen.name.startswith("nvidia-cuda-mps"):
            kinds = ("mps_server",)
        shares = process.window.over(at.mono)
        process.minute = shares[1]
        duty = {
            minutes: _duty(process, raw, minutes, each[0], each[1])
            for minutes, each in shares.items()
        }
        return ProcessFacts(
            pid=key[0],
            started=key[1],
            kinds=kinds,
            alive=self._alive(process, at),
            memory_bytes=unknown("the driver does not tell it", source="nvml")
            if held is None
            else same(held, "nvml"),
            duty_1m=duty[1],
            duty_5m=duty[5],
            duty_15m=duty[15],
            mean_sm_15m=_duty(process, raw, 15, shares[15][0], shares[15][2]),
            last_busy=self._last_busy(process, duty[1], at),
            owner=owner,
            user=user,
        )

    def _alive(self, process: _Process, at: Moment) -> Reading[bool]:
        if process.missing == 0 and process.seen is not None:
            return same(not process.seen.zombie, "procfs")
        if not at.sees_host:
            return unknown(unseen(at), source="procfs")
        if process.missing < 2:
            return unknown("it has just ended, or is about to", source="procfs")
        return ok(value=False, source="procfs")

    def _last_busy(self, process: _Process, duty: Reading[float], at: Moment) -> Reading[float]:
        if process.last_busy is not None:
            return ok(round(process.last_busy, 1), source=_SAMPLES)
        if duty.status == "unsupported":
            return unsupported(source=_SAMPLES)
        watched = at.mono - process.window.since
        return unknown(f"not within the {watched:.0f} s it was watched", source=_SAMPLES)

    def _tenants(
        self,
        device: _Device,
        uuid: str,
        processes: tuple[ProcessFacts, ...] | None,
        seconds: float,
        at: Moment,
    ) -> tuple[Tenant, ...]:
        claims = {claim.owner: claim for claim in at.roster.claims.get(uuid, ())}
        held: dict[str, int] = {}
        users: dict[str, str | None] = {}
        starts: dict[str, float] = {}
        for process in processes or ():
            owner = process.owner.known
            if owner is None or process.kinds == ("mps_server",):
                continue
            if process.alive.known is False:
                continue
            held[owner] = held.get(owner, 0) + (process.memory_bytes.known or 0)
            users[owner] = process.user.known
            if process.started is not None and at.boot is not None:
                begun = at.boot + process.started / TICKS_PER_SECOND
                starts[owner] = min(begun, starts.get(owner, begun))
        known = at.roster.allocations.known is not None
        kept: dict[str, TenantMemory] = {}
        found: list[Tenant] = []
        for owner in sorted(set(held) | set(claims)):
            state = device.tenants.get(owner) or TenantMemory(window=Window(at.mono), first=at.mono)
            kept[owner] = state
            amount = held.get(owner, 0)
            state.window.add(at.mono, seconds, None, None, amount)
            if amount >= state.peak:
                state.peak, state.peak_at = amount, at.mono
            claim = claims.get(owner)
            found.append(
                tenant_of(
                    owner,
                    claim,
                    state,
                    user=users.get(owner) or (None if claim is None else claim.user),
                    allocated=True if claim is not None else (False if known else None),
                    begun=starts.get(owner),
                    listed=processes is not None,
                    at=at,
                )
            )
        device.tenants = kept
        return tuple(found)


def _busy_now(rates: list[int]) -> float | None:
    return rates[0] / 100 if 0 <= rates[0] <= 100 else None


def _share(
    raw: Mapping[str, Any], minutes: int, watched: float, share: float | None, name: str = ""
) -> Reading[float]:
    name = name or ("gpm" if "gpm" in raw["calls"] else "rates")
    source = _RATES[minutes] if name == "rates" else f"{_GPM}, mean of {minutes} min"
    if name not in raw["calls"]:
        return reading_of(raw, name, source, lambda value: None)
    if share is None or watched < MINUTES[minutes] / 3:
        return unknown(f"watched for {watched:.0f} s only", source=source)
    return ok(round(share, 4), source=source)


def _duty(
    process: _Process, raw: Mapping[str, Any], minutes: int, watched: float, share: float | None
) -> Reading[float]:
    if share is None and "samples" not in raw["calls"]:
        return reading_of(raw, "samples", _SAMPLES, lambda value: None)
    if share is None or (watched < MINUTES[minutes] / 3 and not process.whole_life):
        return unknown(f"watched for {watched:.0f} s only", source=_SAMPLES)
    return same(round(share, 4), _SAMPLES)
