"""What is known about one node's GPUs at one moment. Values only.

Keyed by UUID: the index of a card changes when another is lost. Lists are kept in an order of their
own, so that equal facts have equal JSON and an equal id, however NVML listed them. Bytes, seconds,
shares of 1, watts, degrees Celsius.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.canonical import digest
from nodeagent.gpu.reading import NOT_READ, Reading

ProcessKind = Literal["compute", "graphics", "mps", "mps_server"]
ComputeMode = Literal["default", "exclusive_process", "prohibited"]
MigMode = Literal["off", "on", "changing"]
HealthState = Literal["ok", "lost", "reset_required", "recovering"]
MpsState = Literal["absent", "running", "fault"]
DeviceKind = Literal["gpu", "mig"]


@dataclass(frozen=True, kw_only=True, slots=True)
class ProcessFacts:
    """A process with memory or work on a GPU. Its identity is (pid, started)."""

    pid: int
    started: int | None
    """Start time in ticks after boot (/proc/PID/stat, field 22); None: not seen in /proc."""
    kinds: tuple[ProcessKind, ...]
    alive: Reading[bool] = NOT_READ
    """False: a zombie, or gone from /proc while the driver still charges its memory."""
    memory_bytes: Reading[int] = NOT_READ
    duty_1m: Reading[float] = NOT_READ
    """Share of the samples with its kernels on the SMs."""
    duty_5m: Reading[float] = NOT_READ
    duty_15m: Reading[float] = NOT_READ
    mean_sm_15m: Reading[float] = NOT_READ
    """Mean share of the SMs' time."""
    last_busy: Reading[float] = NOT_READ
    """Epoch seconds."""
    owner: Reading[str] = NOT_READ
    """The tenant's key: namespace/pod, container, unit or user."""
    user: Reading[str] = NOT_READ

    def __post_init__(self) -> None:
        object.__setattr__(self, "kinds", tuple(sorted(set(self.kinds))))


@dataclass(frozen=True, kw_only=True, slots=True)
class Tenant:
    """A container (or user) that was given a GPU or was seen on it."""

    owner: str
    user: str | None = None
    allocated: bool | None
    """Given by the kubelet or the hub; False: seen on the GPU only (a bypass); None: nobody gives
    out GPUs here, or who does so cannot be asked."""
    exclusive: bool = False
    requested_bytes: int | None = None
    usual_peak_bytes: int | None = None
    """What this user's or profile's sessions peaked at before."""
    recent_peak_bytes: Reading[int] = NOT_READ
    """95th percentile of the last 15 minutes."""
    session_peak_bytes: Reading[int] = NOT_READ
    session_peak_age_seconds: float | None = None
    age_seconds: float | None = None
    ends_in_seconds: float | None = None
    """When a time limit or the idle culler ends it; None: not known."""
    finished: bool = False
    """Ended but still listed by the kubelet (before Kubernetes 1.34)."""


@dataclass(frozen=True, kw_only=True, slots=True, order=True)
class Xid:
    """A driver event. `owner`: whose process it names, when that is known."""

    code: int
    seconds_ago: float
    owner: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Health:
    """`recovering`: answers again after a loss, not yet for long enough."""

    state: Reading[HealthState] = NOT_READ
    ecc_uncorrected: Reading[int] = NOT_READ
    """Since the driver was loaded."""
    remap_pending: Reading[bool] = NOT_READ
    """A bad row (or page) is to be replaced at the next reset."""
    remap_failed: Reading[bool] = NOT_READ
    """No spare row was left: the card is to be replaced."""
    xids: tuple[Xid, ...] = ()

    def __post_init__(self) -> None:
        # A missing owner sorts first; the dataclass order would compare None with str.
        ordered = sorted(self.xids, key=lambda xid: (xid.seconds_ago, xid.code, xid.owner or ""))
        object.__setattr__(self, "xids", tuple(ordered))


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuFacts:
    """A GPU, or an instance of one in MIG mode (`parent`: the GPU's UUID)."""

    uuid: str
    index: int
    kind: DeviceKind = "gpu"
    parent: str | None = None
    profile: str | None = None
    """Of a MIG instance, such as 1g.10gb."""
    name: Reading[str] = NOT_READ
    memory_total_bytes: Reading[int] = NOT_READ
    memory_reserved_bytes: Reading[int] = NOT_READ
    """The driver's own; not part of used."""
    memory_used_bytes: Reading[int] = NOT_READ
    memory_free_bytes: Reading[int] = NOT_READ
    unified_memory: Reading[bool] = NOT_READ
    """The GPU uses the host's memory and reports none of its own (GB10, Thor)."""
    busy_now: Reading[float] = NOT_READ
    """Share of the last second or less with a kernel running: busy, not full."""
    busy_1m: Reading[float] = NOT_READ
    busy_5m: Reading[float] = NOT_READ
    busy_15m: Reading[float] = NOT_READ
    busy_p90_15m: Reading[float] = NOT_READ
    memory_busy_1m: Reading[float] = NOT_READ
    memory_busy_5m: Reading[float] = NOT_READ
    memory_busy_15m: Reading[float] = NOT_READ
    power_watts: Reading[float] = NOT_READ
    power_limit_watts: Reading[float] = NOT_READ
    temperature_celsius: Reading[float] = NOT_READ
    compute_mode: Reading[ComputeMode] = NOT_READ
    mig_mode: Reading[MigMode] = NOT_READ
    mps_state: Reading[MpsState] = NOT_READ
    mps_clients: Reading[int] = NOT_READ
    health: Health = Health()
    cordoned: bool = False
    """An operator took it out of use."""
    processes: Reading[tuple[ProcessFacts, ...]] = NOT_READ
    tenants: tuple[Tenant, ...] = ()

    def __post_init__(self) -> None:
        listed = self.processes
        if listed.value is not None:
            ordered = tuple(sorted(listed.value, key=lambda each: (each.pid, each.started or 0)))
            object.__setattr__(
                self,
                "processes",
                Reading(
                    value=ordered,
                    status=listed.status,
                    source=listed.source,
                    age_seconds=listed.age_seconds,
                    why=listed.why,
                ),
            )
        owners = [tenant.owner for tenant in self.tenants]
        if len(set(owners)) != len(owners):
            raise ValueError(f"GPU {self.uuid} lists a tenant twice")
        by_owner = sorted(self.tenants, key=lambda tenant: tenant.owner)
        object.__setattr__(self, "tenants", tuple(by_owner))


@dataclass(frozen=True, kw_only=True, slots=True)
class Snapshot:
    """One node. `taken`: epoch seconds. `driver`: ok with its version, or why there is none."""

    node: str
    taken: float
    tick_seconds: float
    driver: Reading[str]
    expected_gpus: Reading[int] = NOT_READ
    """The node's capacity as the cluster counts it; catches an agent without access."""
    allocations: Reading[str] = NOT_READ
    """Ok (with who tells): each tenant's `allocated` can be relied on."""
    host_total_bytes: Reading[int] = NOT_READ
    host_available_bytes: Reading[int] = NOT_READ
    gpus: tuple[GpuFacts, ...]

    def __post_init__(self) -> None:
        uuids = [gpu.uuid for gpu in self.gpus]
        if len(set(uuids)) != len(uuids):
            raise ValueError(f"Node {self.node} lists a GPU twice")
        object.__setattr__(self, "gpus", tuple(sorted(self.gpus, key=lambda gpu: gpu.uuid)))


def snapshot_id(snapshot: Snapshot) -> str:
    """32 hex digits, the same for the same facts."""
    return digest(snapshot)
