"""What a snapshot says about each GPU before anybody asks. Pure.

Worked out once per snapshot, not once per request: a request then costs a comparison per GPU, which
is what keeps a decision over thousands of GPUs within milliseconds.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from nodeagent.gpu.sharing.gate import Confidence, Gate, gpu_gate, lower, node_gate
from nodeagent.gpu.sharing.load import Load, load
from nodeagent.gpu.sharing.memory import Capacity, Room, capacity, holds_memory, room
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import Rejection
from nodeagent.gpu.sharing.request import Mode
from nodeagent.gpu.snapshot import GpuFacts, Snapshot, snapshot_id


@dataclass(frozen=True, kw_only=True, slots=True)
class Card:
    """A GPU or MIG instance that may be given out."""

    node: str
    uuid: str
    facts: GpuFacts
    mode: Mode
    """How a newcomer would share it."""
    room: Room
    load: Load
    free: int
    """`room.free`, at hand."""
    clients: int
    cap: int
    users: frozenset[str | None]
    """Of its tenants; None: one whose user is not known."""
    private: bool
    """A tenant was promised to be alone."""
    single_process: bool
    occupants_known: bool
    occupied: bool
    in_use: Rejection
    """What somebody who wants to be alone is told while it is occupied."""
    ends: tuple[tuple[float, int], ...]
    """Of tenants whose end is known, soonest first: seconds until then, bytes that come free."""
    busy: bool
    """Too busy to be packed."""
    points_per_byte: float
    """Of free memory."""
    base_score: float
    """Points that do not depend on the request."""
    confidence: Confidence
    notes: tuple[str, ...]


@dataclass(frozen=True, kw_only=True, slots=True)
class Standing:
    """A snapshot, judged under one policy."""

    snapshot: Snapshot
    snapshot_id: str
    gate: Gate
    """Of the whole node."""
    cards: tuple[Card, ...]
    rejected: tuple[Rejection, ...]
    shares: Mapping[str, int]
    """User -> GPUs shared, once per tenant."""


def stand(snapshot: Snapshot, policy: Policy) -> Standing:
    """Judge every GPU of a node; the snapshot's age is judged when somebody asks."""
    cards: list[Card] = []
    rejected: list[Rejection] = []
    shares: Counter[str] = Counter()
    for gpu in snapshot.gpus:
        shares.update(tenant.user for tenant in gpu.tenants if tenant.user and not tenant.finished)
        gate = gpu_gate(gpu, policy)
        if gate.code is not None:
            rejected.append(
                Rejection(node=snapshot.node, uuid=gpu.uuid, code=gate.code, detail=gate.detail)
            )
            continue
        seen = capacity(gpu, snapshot, policy)
        if isinstance(seen, Capacity):
            cards.append(_card(snapshot.node, gpu, gate, seen, policy))
        else:
            rejected.append(Rejection(node=snapshot.node, uuid=gpu.uuid, code=seen))
    return Standing(
        snapshot=snapshot,
        snapshot_id=snapshot_id(snapshot),
        gate=node_gate(snapshot),
        cards=tuple(cards),
        rejected=tuple(rejected),
        shares=dict(shares),
    )


def _card(node: str, gpu: GpuFacts, gate: Gate, seen: Capacity, policy: Policy) -> Card:
    space, busy = room(gpu, seen, policy), load(gpu, policy)
    processes = gpu.processes.known
    nameless = sum(
        holds_memory(process) and process.owner.known is None for process in processes or ()
    )
    clients = len(space.committed) + nameless
    mode: Mode = "time_slicing"
    cap = policy.time_slicing_clients
    if gpu.kind == "mig":
        mode, cap = "mig", 1
    elif gpu.mps_state.known == "running":
        mode, cap = "mps", policy.mps_clients
        clients = max(clients, gpu.mps_clients.known or 0)
    notes, confidence = list(gate.notes), gate.confidence
    for note, level, holds in _doubts(space, busy, nameless, processes is None):
        if holds:
            notes.append(note)
            confidence = lower(confidence, level)
    listed = {tenant.owner: tenant for tenant in gpu.tenants}
    users = {listed[owner].user if owner in listed else None for owner in space.committed}
    return Card(
        node=node,
        uuid=gpu.uuid,
        facts=gpu,
        mode=mode,
        room=space,
        load=busy,
        free=space.free,
        clients=clients,
        cap=cap,
        users=frozenset(users | ({None} if nameless else set())),
        private=any(tenant.exclusive and not tenant.finished for tenant in gpu.tenants),
        single_process=gpu.compute_mode.known == "exclusive_process" and mode != "mps",
        occupants_known=processes is not None and nameless == 0,
        occupied=clients > 0 or space.zombie > 0,
        in_use=Rejection(
            node, gpu.uuid, "in_use", detail=f"{clients} client{'' if clients == 1 else 's'}"
        ),
        ends=tuple(
            sorted(
                (listed[owner].ends_in_seconds or 0.0, size)
                for owner, size in space.committed.items()
                if owner in listed and listed[owner].ends_in_seconds is not None
            )
        ),
        busy=busy.busy is not None and busy.busy >= policy.spread_load,
        points_per_byte=policy.weight_memory / seen.total if seen.total else 0.0,
        base_score=_base(busy, clients, cap, policy),
        confidence=confidence,
        notes=tuple(notes),
    )


def _doubts(
    space: Room, busy: Load, nameless: int, unlisted: bool
) -> tuple[tuple[str, Confidence, bool], ...]:
    return (
        ("its load is unknown", "low", busy.busy is None),
        ("which processes use it is unknown", "low", unlisted),
        (f"{nameless} of its processes belong to nobody known", "medium", nameless > 0),
        ("what a tenant uses is unknown, a usual value stands in", "medium", space.guessed),
        ("host memory stands in for GPU memory", "medium", space.unified),
        ("an ended process still holds memory", "medium", space.zombie > 0),
    )


def _base(busy: Load, clients: int, cap: int, policy: Policy) -> float:
    # Neutral where unknown: neither as good as idle nor as bad as busy.
    idle = 0.5 if busy.busy is None else 1 - busy.busy
    active = clients / 2 if busy.active is None else busy.active
    crowd = min(1.0, active / cap)
    return policy.weight_load * idle + policy.weight_clients * (1 - crowd)
