"""How much memory a newcomer may count on. Pure.

A tenant's peak is the largest of: what its processes hold now, the 95th percentile of the last 15
minutes, its session's peak with a half-life, and, while it is young, what its sessions usually peak
at. What nobody can be named for (contexts of unlisted processes, the MPS server, zombies) counts as
taken. A context (300 to 500 MiB) is part of its process's memory.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import Code
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts, Snapshot, Tenant


@dataclass(frozen=True, kw_only=True, slots=True)
class Capacity:
    """What the card, or for unified memory the host, says. Bytes; `used` without `reserved`."""

    total: int
    reserved: int
    used: int
    free: int
    unified: bool


@dataclass(frozen=True, kw_only=True, slots=True)
class Room:
    """`free`: for a newcomer, before reservations; below 0 when too much is promised already."""

    total: int
    free: int
    committed: Mapping[str, int]
    """Tenant -> bytes that are its own."""
    promised_share: float
    """All that was promised to tenants, of the total; above 1: promised twice."""
    unattributed: int
    zombie: int
    unified: bool
    guessed: bool
    """Some tenant's use is not known and a usual value stands in."""


def capacity(gpu: GpuFacts, snapshot: Snapshot, policy: Policy) -> Capacity | Code:
    """The memory's size and use, or why it cannot be told."""
    if gpu.unified_memory.known and gpu.memory_total_bytes.known is None:
        total, free = snapshot.host_total_bytes.known, snapshot.host_available_bytes.known
        if total is None or free is None:
            return "memory_unknown"
        if not 0 <= free <= total:
            return "memory_implausible"
        if free < total * policy.unified_reserve_share:
            return "host_memory"
        kept = int(total * policy.unified_reserve_share)
        return Capacity(total=total, reserved=kept, used=total - free, free=free, unified=True)
    total, free = gpu.memory_total_bytes.known, gpu.memory_free_bytes.known
    used, reserved = gpu.memory_used_bytes.known, gpu.memory_reserved_bytes.known or 0
    if total is None or (free is None and used is None):
        return "memory_unknown"
    if free is None:
        free = total - reserved - (used or 0)
    if used is None:
        used = total - reserved - free
    if min(total, reserved, used, free) < 0 or free > total or used > total:
        return "memory_implausible"
    return Capacity(total=total, reserved=reserved, used=used, free=free, unified=False)


def peak_bytes(tenant: Tenant, now_bytes: int | None, policy: Policy) -> int:
    """What a tenant is expected to hold at most, from what was measured."""
    young = tenant.age_seconds is None or tenant.age_seconds < policy.young_seconds
    seen = [now_bytes, tenant.recent_peak_bytes.known, _session_peak(tenant, policy)]
    if young:
        seen.append(tenant.usual_peak_bytes)
    known = [size for size in seen if size is not None]
    if not known or (now_bytes is None and young and tenant.usual_peak_bytes is None):
        known.append(_usual(tenant, policy))
    return max(known)


def _session_peak(tenant: Tenant, policy: Policy) -> int | None:
    peak = tenant.session_peak_bytes.known
    if peak is None:
        return None
    since = tenant.session_peak_age_seconds or 0.0
    return int(peak * 0.5 ** (since / policy.peak_half_life_seconds))


def _usual(tenant: Tenant, policy: Policy) -> int:
    if tenant.usual_peak_bytes is not None:
        return tenant.usual_peak_bytes
    return policy.default_memory_bytes + policy.context_bytes


def holds_memory(process: ProcessFacts) -> bool:
    """Whether its owner counts as its user; a dead process's memory is nobody's."""
    return process.alive.known is not False and process.kinds != ("mps_server",)


def room(gpu: GpuFacts, seen: Capacity, policy: Policy) -> Room:
    """What is left for a newcomer on a usable GPU."""
    processes = gpu.processes.known
    zombie = sum(
        process.memory_bytes.known or 0
        for process in processes or ()
        if process.alive.known is False
    )
    held: dict[str, int | None] = {}
    attributed = 0
    for process in processes or ():
        if not holds_memory(process):
            continue
        size, owner = process.memory_bytes.known, process.owner.known
        if owner is None:
            continue
        attributed += size or 0
        before = held.get(owner, 0)
        held[owner] = None if size is None or before is None else before + size
    committed: dict[str, int] = {}
    peaks = now = covered = 0
    below_usual: list[int] = []
    guessed = processes is None
    for tenant in _tenants(gpu, held):
        current = held.get(tenant.owner, 0) if processes is not None else None
        peak = peak_bytes(tenant, current, policy)
        asked_for = tenant.requested_bytes or 0
        mine = max(asked_for, peak) if policy.commitment == "strict" else peak
        committed[tenant.owner] = mine
        peaks, now = peaks + mine, now + (current or 0)
        below_usual.append(max(0, (tenant.usual_peak_bytes or 0) - mine))
        if current is None:
            guessed = True
            covered += mine
    unattributed = max(0, seen.used - attributed - zombie)
    # Memory of tenants whose share is not known is counted once, with what they are promised.
    unattributed = max(0, unattributed - covered)
    wake = sum(sorted(below_usual, reverse=True)[: policy.wakers])
    headroom = max(int(seen.total * policy.headroom_share), policy.headroom_bytes)
    if seen.unified or policy.commitment == "opportunistic":
        free = seen.free - max(0, peaks - now) - (seen.reserved if seen.unified else 0)
    else:
        promised = seen.reserved + unattributed + zombie + peaks
        free = min(seen.free, seen.total - promised)
    asked = sum(max(t.requested_bytes or 0, committed[t.owner]) for t in _tenants(gpu, held))
    return Room(
        total=seen.total,
        free=free - wake - headroom,
        committed=committed,
        promised_share=asked / seen.total if seen.total else 0.0,
        unattributed=0 if seen.unified else unattributed,
        zombie=zombie,
        unified=seen.unified,
        guessed=guessed,
    )


def _tenants(gpu: GpuFacts, held: Mapping[str, int | None]) -> list[Tenant]:
    """Those listed and not over, and owners of processes whom nobody listed."""
    listed = {tenant.owner: tenant for tenant in gpu.tenants}
    present = [each for each in gpu.tenants if not each.finished or each.owner in held]
    # Not young: what an unlisted process holds is all that is known of it.
    present += [
        Tenant(owner=owner, allocated=False, age_seconds=1e9)
        for owner in sorted(set(held) - set(listed))
    ]
    return present
