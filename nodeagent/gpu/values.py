"""Single facts from the driver's answers, each a reading. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from nodeagent.gpu.nvml_codes import Code, reading_of
from nodeagent.gpu.procfs import Seen
from nodeagent.gpu.reading import NOT_READ, Reading, ok, same, unknown, unsupported
from nodeagent.gpu.roster import Claim, Roster
from nodeagent.gpu.snapshot import ComputeMode, GpuFacts, MigMode, MpsState, ProcessFacts, Tenant
from nodeagent.gpu.windows import Window

_COMPUTE_MODES: dict[int, ComputeMode] = {
    0: "default",
    1: "exclusive_process",
    2: "prohibited",
    3: "exclusive_process",
}

_NOT_LISTED = unknown("processes are not listed", source="nvml")


@dataclass(kw_only=True)
class TenantMemory:
    """What is remembered of a tenant on one GPU. Bytes, monotonic seconds."""

    window: Window
    first: float
    peak: int = 0
    peak_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Moment:
    """What is not the driver's. `mono`, `wall`: seconds. `sees_host`: a pid that is not in
    `processes` has ended."""

    mono: float
    wall: float
    boot: float | None
    processes: Mapping[int, Seen]
    roster: Roster
    sees_host: bool
    host_pids: bool = True
    """The agent is in the host's pid namespace; from another one drivers may list nobody."""
    host_total: int | None = None
    host_available: int | None = None
    pci_gpus: int | None = None


def tenant_of(
    owner: str,
    claim: Claim | None,
    state: TenantMemory,
    *,
    user: str | None,
    allocated: bool | None,
    begun: float | None,
    listed: bool,
    at: Moment,
) -> Tenant:
    """From what was given out and what was seen. `begun`: epoch seconds of its oldest process."""
    started = begun if claim is None or claim.started is None else claim.started
    age = at.mono - state.first if started is None else max(0.0, at.wall - started)
    recent: Reading[int] = _NOT_LISTED
    peak = recent
    if listed:
        amount = state.window.amount_quantile(0.95, at.mono)
        recent = same(amount or 0, "nvml, 95th percentile of 15 min")
        peak = same(state.peak, "nvml, largest seen")
    return Tenant(
        owner=owner,
        user=user,
        allocated=allocated,
        exclusive=claim is not None and claim.alone,
        requested_bytes=None if claim is None else claim.requested_bytes,
        usual_peak_bytes=None if claim is None else claim.usual_peak_bytes,
        recent_peak_bytes=recent,
        session_peak_bytes=peak,
        session_peak_age_seconds=round(at.mono - state.peak_at, 1) if listed else None,
        age_seconds=round(age, 1),
        ends_in_seconds=None
        if claim is None or claim.ends is None
        else max(0.0, claim.ends - at.wall),
        finished=claim is not None and claim.finished,
    )


def unseen(at: Moment) -> str:
    """Why procfs does not show a process."""
    return (
        "it has ended, or is about to"
        if at.sees_host
        else "the agent does not see the host's processes"
    )


def host_memory(amount: int | None, name: str) -> Reading[int]:
    """A line of /proc/meminfo, in bytes."""
    return (
        unknown("meminfo was not read", source="meminfo")
        if amount is None
        else ok(amount, source=f"meminfo {name}")
    )


def aged_facts(facts: GpuFacts, seconds: float) -> GpuFacts:
    """Every value stale, and older."""

    def old(reading: Reading[Any]) -> Reading[Any]:
        if reading.value is None or reading.age_seconds is None:
            return reading
        age = max(0.0, seconds)
        return replace(reading, status="stale", age_seconds=age)

    changes: dict[str, Any] = {
        each.name: old(value)
        for each in fields(facts)
        if isinstance(value := getattr(facts, each.name), Reading) and each.name != "name"
    }
    health = replace(
        facts.health,
        ecc_uncorrected=old(facts.health.ecc_uncorrected),
        remap_pending=old(facts.health.remap_pending),
        remap_failed=old(facts.health.remap_failed),
    )
    return replace(facts, health=health, **changes)


def profile_of(raw: Mapping[str, Any]) -> str | None:
    """Of a MIG instance, the end of its name: NVIDIA A100-SXM4-40GB MIG 1g.5gb."""
    _, found, profile = str(raw["calls"].get("name", "")).rpartition(" MIG ")
    return profile if found and raw["kind"] == "mig" else None


def unified_memory(raw: Mapping[str, Any]) -> Reading[bool]:
    """Whether the host's memory is the GPU's."""
    source = "nvmlDeviceGetMemoryInfo"
    if raw["calls"].get("memory") is not None:
        return ok(value=False, source=source)
    if raw["kind"] == "mig" or raw["calls"].get("virtualization", 0) in (2, 3):
        return unknown("its memory is not told", source=source)
    if raw["errors"].get("memory") == Code.NOT_SUPPORTED:
        # Cards have memory of their own and tell it; only those that use the host's refuse.
        return ok(value=True, source=f"{source} is not supported")
    return unknown("its memory is not told", source=source)


def compute_mode(raw: Mapping[str, Any]) -> Reading[ComputeMode]:
    """Of a card; an instance has none of its own."""
    if raw["kind"] == "mig":
        return unsupported(source="nvmlDeviceGetComputeMode")
    return reading_of(raw, "compute_mode", "nvmlDeviceGetComputeMode", _COMPUTE_MODES.get)


def mig_mode(raw: Mapping[str, Any]) -> Reading[MigMode]:
    """Current, or changing while another is pending."""
    if raw["kind"] == "mig":
        return ok("on", source="nvmlDeviceGetMigMode")

    def mode(numbers: list[int]) -> MigMode:
        current, pending = numbers
        if current != pending:
            return "changing"
        return "on" if current else "off"

    return reading_of(raw, "mig_mode", "nvmlDeviceGetMigMode", mode)


def mps_state(
    raw: Mapping[str, Any], processes: tuple[ProcessFacts, ...] | None
) -> Reading[MpsState]:
    """A server that is in fault cannot be told from one that runs: NVML does not say."""
    source = "nvmlDeviceGetMPSComputeRunningProcesses"
    if any(process.kinds == ("mps_server",) for process in processes or ()):
        return ok("running", source="nvml, the MPS server's process")

    def state(clients: int) -> MpsState:
        return "running" if clients else "absent"

    return reading_of(raw, "mps_processes", source, state)


def remap(raw: Mapping[str, Any], at: int) -> Reading[bool]:
    """Rows on Ampere and later, pages before."""
    if raw["kind"] == "mig":
        return NOT_READ
    rows = reading_of(raw, "remapped", "nvmlDeviceGetRemappedRows", lambda told: bool(told[at]))
    if rows.status != "unsupported" or at != 2:
        return rows
    source = "nvmlDeviceGetRetiredPagesPendingStatus"
    return reading_of(raw, "retired_pending", source, bool)
