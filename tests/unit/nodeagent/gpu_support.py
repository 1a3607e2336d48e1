"""Facts of healthy GPUs, to be changed by a test."""

from dataclasses import replace
from typing import Any

from nodeagent.gpu.reading import ok
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.ledger import Ledger
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.gpu.snapshot import GpuFacts, Health, ProcessFacts, Snapshot, Tenant

NOW = 1_800_000_000.0
POLICY = Policy()


def gpu(uuid: str = "GPU-a", *, used: int = 0, total: int = 16 * GIB, **changes: Any) -> GpuFacts:
    """A T4-like card with everything known and nobody on it."""
    facts = GpuFacts(
        uuid=uuid,
        index=0,
        name=ok("T4", source="nvml"),
        memory_total_bytes=ok(total, source="nvml"),
        memory_reserved_bytes=ok(0, source="nvml"),
        memory_used_bytes=ok(used, source="nvml"),
        memory_free_bytes=ok(total - used, source="nvml"),
        busy_p90_15m=ok(0.0, source="nvml"),
        compute_mode=ok("default", source="nvml"),
        mig_mode=ok("off", source="nvml"),
        mps_state=ok("absent", source="nvml"),
        health=Health(state=ok("ok", source="nvml")),
        processes=ok((), source="nvml"),
    )
    return replace(facts, **changes)


def process(pid: int, owner: str, size: int, /, **changes: Any) -> ProcessFacts:
    """A living compute process."""
    facts = ProcessFacts(
        pid=pid,
        started=pid,
        kinds=("compute",),
        alive=ok(value=True, source="procfs"),
        memory_bytes=ok(size, source="nvml"),
        duty_15m=ok(0.0, source="nvml"),
        owner=ok(owner, source="cgroup"),
    )
    return replace(facts, **changes)


def tenant(owner: str, **changes: Any) -> Tenant:
    """One hour old, so that only what was measured counts."""
    return replace(Tenant(owner=owner, user=owner, allocated=True, age_seconds=3600.0), **changes)


def held(uuid: str, *sizes: int, total: int = 16 * GIB, **changes: Any) -> GpuFacts:
    """A card with one tenant per size, each holding so much now."""
    owners = [f"ns/{uuid}-{at}" for at in range(len(sizes))]
    return gpu(
        uuid,
        used=sum(sizes),
        total=total,
        **{
            "processes": ok(
                tuple(
                    process(at + 1, owner, size)
                    for at, (owner, size) in enumerate(zip(owners, sizes, strict=True))
                ),
                source="nvml",
            ),
            "tenants": tuple(tenant(owner) for owner in owners),
        }
        | changes,
    )


def node(*gpus: GpuFacts, name: str = "n1", **changes: Any) -> Snapshot:
    """Read just now."""
    facts = Snapshot(
        node=name, taken=NOW, tick_seconds=5, driver=ok("590", source="nvml"), gpus=gpus
    )
    return replace(facts, **changes)


def ask(
    *snapshots: Snapshot, policy: Policy = POLICY, ledger: Ledger | None = None, **request: Any
) -> Decision:
    """The decision for ns/new, who needs 4 GiB unless told otherwise."""
    wanted: dict[str, Any] = {"pod": "ns/new", "user": "new", "memory_bytes": 4 * GIB} | request
    return decide(Request(**wanted), snapshots, policy, NOW, ledger)


def codes(decision: Decision) -> set[str]:
    """Why GPUs were not taken."""
    return {each.code for each in decision.rejected}
