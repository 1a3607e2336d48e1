"""When a node's facts are worth a write to the cluster's store. Pure.

Each write goes to every API server and every watcher. So small changes wait for the next round, and
whatever would change an answer goes out at once, though never faster than `least_seconds`.
"""

from dataclasses import dataclass

from nodeagent.gpu.canonical import digest, plain
from nodeagent.gpu.reading import Reading
from nodeagent.gpu.snapshot import GpuFacts, Snapshot

_MEMORY_STEP = 256 * 2**20
_HOST_STEP = 2**30
_LOAD_STEP = 0.2


@dataclass(frozen=True, kw_only=True)
class Pace:
    """`round_seconds`: at least every so often; `least_seconds`: never two within."""

    round_seconds: float = 30.0
    least_seconds: float = 5.0

    def due(self, *, last: float | None, now: float, changed: bool) -> bool:
        """Whether to write now. `last`: when it was written, on the same clock."""
        if last is None:
            return True
        waited = now - last
        return waited >= (self.least_seconds if changed else self.round_seconds)


@dataclass(frozen=True, kw_only=True)
class Outline:
    """`shape`: a hash of what is one thing or another; `amounts`: of what is more or less, each in
    steps that matter."""

    shape: str
    amounts: tuple[float, ...]

    def differs(self, other: "Outline") -> bool:
        """Whether an answer may differ. Against the last one written, so that a value at the edge
        of a step does not count with each tick."""
        if self.shape != other.shape:
            return True
        return any(abs(a - b) >= 1 for a, b in zip(self.amounts, other.amounts, strict=True))


def outline(snapshot: Snapshot) -> Outline:
    """What an answer may depend on."""
    shape: list[object] = [
        snapshot.node,
        _known(snapshot.driver),
        _known(snapshot.expected_gpus),
        snapshot.host_available_bytes.status,
    ]
    amounts = [(snapshot.host_available_bytes.value or 0) / _HOST_STEP]
    for gpu in snapshot.gpus:
        shape.append(_shape(gpu))
        amounts += [
            (gpu.memory_used_bytes.value or 0) / _MEMORY_STEP,
            (gpu.memory_free_bytes.value or 0) / _MEMORY_STEP,
            (gpu.busy_p90_15m.value or 0) / _LOAD_STEP,
        ]
    return Outline(shape=digest(shape), amounts=tuple(amounts))


def _shape(gpu: GpuFacts) -> list[object]:
    processes = gpu.processes
    return [
        gpu.uuid,
        gpu.kind,
        gpu.cordoned,
        *(_known(each) for each in (gpu.health.state, gpu.compute_mode, gpu.mig_mode)),
        *(_known(each) for each in (gpu.mps_state, gpu.mps_clients)),
        sorted({xid.code for xid in gpu.health.xids}),
        gpu.memory_total_bytes.value,
        *(each.status for each in (gpu.memory_used_bytes, gpu.memory_free_bytes)),
        *(each.status for each in (gpu.busy_p90_15m, processes)),
        sorted({process.owner.value or "" for process in processes.value or ()}),
        [
            [each.owner, each.allocated, each.exclusive, each.finished, each.requested_bytes]
            for each in gpu.tenants
        ],
    ]


def _known(reading: Reading[object]) -> object:
    return [reading.status, plain(reading.value)]
