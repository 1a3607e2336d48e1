"""What was given out against what is used. Pure.

Only what is known is reported: without word from the kubelet nobody bypasses anything, and memory
that the driver does not tell is no overshoot.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.flags.idle import IdleState
from nodeagent.gpu.sharing.rejection import gib
from nodeagent.gpu.snapshot import GpuFacts, Snapshot

Kind = Literal["bypass", "wrong_gpu", "overshoot", "hoarding", "zombie", "unattributed"]
KINDS: tuple[Kind, ...] = (
    "bypass",
    "wrong_gpu",
    "overshoot",
    "hoarding",
    "zombie",
    "unattributed",
)

_CONTEXT_BYTES = 400 * 2**20
_UNATTRIBUTED_BYTES = 512 * 2**20
_UNATTRIBUTED_V1_BYTES = 1536 * 2**20
"""Version 1 of the memory call counts the driver's own reserve as used."""


@dataclass(frozen=True, kw_only=True, order=True)
class Difference:
    """`owner` None: nobody can be named."""

    gpu: str
    kind: Kind
    owner: str | None
    bytes: int | None
    text: str


def differences(
    snapshot: Snapshot, idle: Mapping[tuple[str, str], IdleState]
) -> tuple[Difference, ...]:
    """Of one node. `idle`: the hoarding clock by (GPU, owner)."""
    given: dict[str, set[str]] = {}
    for gpu in snapshot.gpus:
        for tenant in gpu.tenants:
            if tenant.allocated:
                given.setdefault(tenant.owner, set()).add(gpu.uuid)
    found: list[Difference] = []
    for gpu in snapshot.gpus:
        held = _held(gpu)
        if held is None:
            continue
        allocations = snapshot.allocations.known is not None
        found += _of_tenants(gpu, held, given if allocations else None)
        found += _hoarding(gpu, held, idle)
        found += _of_nobody(gpu)
    return tuple(sorted(found, key=lambda each: (each.gpu, each.kind, each.owner or "")))


def _held(gpu: GpuFacts) -> dict[str, int | None] | None:
    """Owner -> bytes of its living processes (None: of one not told); None: nothing is listed."""
    listed = gpu.processes.known
    if listed is None:
        return None
    held: dict[str, int | None] = {}
    for process in listed:
        owner = process.owner.known
        if owner is None or process.alive.known is False or process.kinds == ("mps_server",):
            continue
        before, size = held.get(owner, 0), process.memory_bytes.known
        held[owner] = None if before is None or size is None else before + size
    return held


def _of_tenants(
    gpu: GpuFacts, held: Mapping[str, int | None], given: Mapping[str, set[str]] | None
) -> list[Difference]:
    found: list[Difference] = []
    tenants = {tenant.owner: tenant for tenant in gpu.tenants}
    for owner, size in held.items():
        tenant = tenants.get(owner)
        amount = "memory" if size is None else gib(size)
        if given is not None and (tenant is None or not tenant.allocated):
            # A MIG instance's parent is given with it.
            elsewhere = sorted(given.get(owner, set()) - {gpu.uuid})
            if elsewhere:
                text = f"{amount} on this GPU, was given {', '.join(elsewhere)}"
                kind: Kind = "wrong_gpu"
            else:
                text, kind = f"{amount} held without having been given a GPU", "bypass"
            found.append(Difference(gpu=gpu.uuid, kind=kind, owner=owner, bytes=size, text=text))
        asked = None if tenant is None else tenant.requested_bytes
        if asked is not None and size is not None and size > asked + _CONTEXT_BYTES:
            found.append(
                Difference(
                    gpu=gpu.uuid,
                    kind="overshoot",
                    owner=owner,
                    bytes=size - asked,
                    text=f"{amount} held, {gib(asked)} asked for",
                )
            )
    return found


def _hoarding(
    gpu: GpuFacts, held: Mapping[str, int | None], idle: Mapping[tuple[str, str], IdleState]
) -> list[Difference]:
    return [
        Difference(
            gpu=gpu.uuid,
            kind="hoarding",
            owner=owner,
            bytes=size,
            text=f"{'memory' if size is None else gib(size)} held without work for "
            f"{state.idle_seconds / 60:.0f} min",
        )
        for owner, size in held.items()
        if (state := idle.get((gpu.uuid, owner))) is not None and state.phase == "hoarding"
    ]


def _of_nobody(gpu: GpuFacts) -> list[Difference]:
    found: list[Difference] = []
    listed = gpu.processes.known or ()
    dead = [each for each in listed if each.alive.known is False]
    gone = sum(each.memory_bytes.known or 0 for each in dead)
    if gone:
        pids = ", ".join(str(each.pid) for each in dead)
        owners = {each.owner.known for each in dead}
        found.append(
            Difference(
                gpu=gpu.uuid,
                kind="zombie",
                owner=next(iter(owners)) if len(owners) == 1 else None,
                bytes=gone,
                text=f"{gib(gone)} still charged to ended processes ({pids})",
            )
        )
    used = gpu.memory_used_bytes.known
    sizes = [each.memory_bytes.known for each in listed]
    if used is None or None in sizes or (gpu.mig_mode.known == "on" and gpu.kind == "gpu"):
        return found
    rest = used - sum(size or 0 for size in sizes)
    reserve_known = gpu.memory_reserved_bytes.known is not None
    if rest > (_UNATTRIBUTED_BYTES if reserve_known else _UNATTRIBUTED_V1_BYTES):
        found.append(
            Difference(
                gpu=gpu.uuid,
                kind="unattributed",
                owner=None,
                bytes=rest,
                text=f"{gib(rest)} in use that no listed process holds",
            )
        )
    return found
