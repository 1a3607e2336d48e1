"""What holds for every decision, whatever the facts."""

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.gpu.canonical import encode
from nodeagent.gpu.reading import NOT_READ, Reading, ok, unsupported
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.ledger import Ledger, reserve
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.record import lines, read_records, record_of, replay
from nodeagent.gpu.sharing.request import Request, Want
from nodeagent.gpu.snapshot import GpuFacts, Health, ProcessFacts, Snapshot, Tenant
from tests.unit.nodeagent.gpu_support import NOW

TOTAL = 16 * GIB
POLICIES = st.builds(
    Policy,
    commitment=st.sampled_from(["strict", "opportunistic"]),
    wakers=st.integers(0, 2),
    mps_mixed_users=st.booleans(),
)


def maybe(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Reading[Any]]:
    """Mostly known."""
    known = values.map(lambda value: ok(value, source="nvml"))
    return st.one_of(known, known, known, st.just(NOT_READ), st.just(unsupported(source="nvml")))


@st.composite
def cards(draw: st.DrawFn, uuid: str) -> GpuFacts:
    owners = draw(st.lists(st.sampled_from(["ns/a", "ns/b", "ns/c"]), unique=True, max_size=3))
    processes = tuple(
        ProcessFacts(
            pid=at + 1,
            started=at,
            kinds=("compute",),
            alive=draw(maybe(st.booleans())),
            memory_bytes=draw(maybe(st.integers(0, 6 * GIB))),
            duty_15m=draw(maybe(st.floats(0, 1))),
            owner=draw(maybe(st.just(owner))),
        )
        for at, owner in enumerate(owners)
    )
    tenants = tuple(
        Tenant(
            owner=owner,
            user=draw(st.sampled_from([None, "ada", "new"])),
            allocated=True,
            exclusive=draw(st.sampled_from([False, False, True])),
            requested_bytes=draw(st.none() | st.integers(0, 8 * GIB)),
            usual_peak_bytes=draw(st.none() | st.integers(0, 8 * GIB)),
            age_seconds=draw(st.none() | st.floats(0, 7200)),
            ends_in_seconds=draw(st.none() | st.floats(0, 7200)),
        )
        for owner in draw(st.sets(st.sampled_from(["ns/a", "ns/b", "ns/c", "ns/d"]), max_size=3))
    )
    used = sum(process.memory_bytes.known or 0 for process in processes)
    used = min(TOTAL, used + draw(st.integers(0, 2 * GIB)))
    return GpuFacts(
        uuid=uuid,
        index=0,
        memory_total_bytes=draw(maybe(st.just(TOTAL))),
        memory_reserved_bytes=draw(maybe(st.just(0))),
        memory_used_bytes=draw(maybe(st.just(used))),
        memory_free_bytes=draw(maybe(st.just(TOTAL - used))),
        busy_p90_15m=draw(maybe(st.floats(0, 1))),
        compute_mode=draw(maybe(st.sampled_from(["default", "exclusive_process"]))),
        mps_state=draw(maybe(st.sampled_from(["absent", "running", "fault"]))),
        health=Health(state=draw(maybe(st.sampled_from(["ok", "ok", "lost"])))),
        processes=draw(maybe(st.just(processes))),
        tenants=tenants,
    )


@st.composite
def fleets(draw: st.DrawFn) -> list[Snapshot]:
    return [
        Snapshot(
            node=f"n{at}",
            taken=NOW - draw(st.sampled_from([0, 0, 0, 100])),
            tick_seconds=5,
            driver=draw(maybe(st.just("590"))),
            gpus=tuple(draw(cards(f"GPU-{at}-{card}")) for card in range(draw(st.integers(0, 3)))),
        )
        for at in range(draw(st.integers(0, 3)))
    ]


@st.composite
def requests(draw: st.DrawFn) -> Request:
    want: Want = draw(st.sampled_from(["share", "share", "exclusive", "mig"]))
    return Request(
        pod="ns/new",
        user=draw(st.sampled_from([None, "new", "ada"])),
        work=draw(st.sampled_from(["interactive", "batch", "exam"])),
        want=want,
        memory_bytes=draw(st.none() | st.integers(0, 12 * GIB)),
        gpus=draw(st.integers(1, 2)) if want == "exclusive" else 1,
    )


def card(fleet: list[Snapshot], uuid: str) -> GpuFacts:
    return next(gpu for node in fleet for gpu in node.gpus if gpu.uuid == uuid)


@settings(max_examples=80, deadline=None)
@given(fleets(), requests(), POLICIES)
def test_unknown_facts_are_never_shared_in_silence(
    fleet: list[Snapshot], request: Request, policy: Policy
) -> None:
    decision = decide(request, fleet, policy, NOW)
    assert decision.reason
    if decision.verdict not in ("share", "exclusive"):
        assert not decision.devices
        assert not decision.reservations
        return
    for uuid in decision.devices:
        facts = card(fleet, uuid)
        assert facts.memory_total_bytes.known is not None
        if decision.verdict == "exclusive":
            assert facts.processes.known is not None
        doubts = (facts.health.state, facts.processes, facts.busy_p90_15m)
        if any(reading.status in ("unknown", "stale") for reading in doubts):
            assert decision.confidence == "low"
            assert decision.notes


@settings(max_examples=80, deadline=None)
@given(fleets(), requests(), POLICIES)
def test_never_above_free_memory(fleet: list[Snapshot], request: Request, policy: Policy) -> None:
    decision = decide(request, fleet, policy, NOW)
    for uuid in decision.devices:
        facts = card(fleet, uuid)
        free = facts.memory_free_bytes.known
        if free is None:
            free = TOTAL - (facts.memory_used_bytes.known or 0)
        assert decision.need_bytes + policy.headroom_bytes <= free


@settings(max_examples=50, deadline=None)
@given(fleets(), st.lists(st.integers(1 * GIB, 8 * GIB), min_size=1, max_size=8), POLICIES)
def test_reservations_never_promise_more_than_is_free(
    fleet: list[Snapshot], sizes: list[int], policy: Policy
) -> None:
    ledger = Ledger()
    for at, size in enumerate(sizes):
        request = Request(pod=f"ns/new-{at}", memory_bytes=size)
        decision = decide(request, fleet, policy, NOW, ledger)
        if decision.reservations:
            ledger = reserve(
                ledger, decision.reservations, seen_version=decision.ledger_version, now=NOW
            )
    for uuid in {entry.uuid for entry in ledger.entries}:
        facts = card(fleet, uuid)
        promised = sum(entry.memory_bytes for entry in ledger.entries if entry.uuid == uuid)
        free = facts.memory_free_bytes.known
        if free is None:
            free = TOTAL - (facts.memory_used_bytes.known or 0)
        assert promised <= free


@settings(max_examples=50, deadline=None)
@given(fleets(), requests(), POLICIES, st.randoms())
def test_order_does_not_matter_and_replay_is_equal(
    fleet: list[Snapshot], request: Request, policy: Policy, chance: Any
) -> None:
    decision = decide(request, fleet, policy, NOW)
    shuffled = [
        replace(node, gpus=tuple(chance.sample(node.gpus, len(node.gpus)))) for node in fleet
    ]
    chance.shuffle(shuffled)
    assert encode(decide(request, shuffled, policy, NOW)) == encode(decision)
    record = record_of(request, fleet, policy, NOW, Ledger(), decision)
    (again,) = [each for _, each in read_records(lines(record, set()))]
    assert encode(replay(again)) == encode(decision) == again.said


@settings(max_examples=80, deadline=None)
@given(fleets(), requests(), POLICIES, st.integers(0, 8 * GIB), st.integers(0, 20))
def test_more_free_memory_never_turns_yes_into_no(
    fleet: list[Snapshot], request: Request, policy: Policy, more: int, at: int
) -> None:
    decision = decide(request, fleet, policy, NOW)
    if decision.verdict not in ("share", "exclusive"):
        return
    every = [gpu.uuid for node in fleet for gpu in node.gpus]
    lucky = every[at % len(every)]

    def freer(gpu: GpuFacts) -> GpuFacts:
        used, free = gpu.memory_used_bytes.known, gpu.memory_free_bytes.known
        if gpu.uuid != lucky:
            return gpu
        # Only what is nobody's can leave without an owner holding less.
        less = min(more, used if used is not None else more)
        if free is not None:
            gpu = replace(gpu, memory_free_bytes=ok(min(TOTAL, free + less), source="nvml"))
        if used is not None:
            gpu = replace(gpu, memory_used_bytes=ok(used - less, source="nvml"))
        return gpu

    better = [replace(node, gpus=tuple(freer(gpu) for gpu in node.gpus)) for node in fleet]
    assert decide(request, better, policy, NOW).verdict == decision.verdict


@settings(max_examples=50, deadline=None)
@given(fleets(), requests(), POLICIES)
def test_every_gpu_is_taken_rejected_or_fits(
    fleet: list[Snapshot], request: Request, policy: Policy
) -> None:
    decision = decide(request, fleet, policy, NOW)
    rejected = {each.uuid for each in decision.rejected}
    closed = {each.node for each in decision.rejected if each.uuid is None}
    for node in fleet:
        for gpu in node.gpus:
            if node.node in closed:
                assert gpu.uuid not in decision.devices
            elif decision.verdict in ("wait", "unknown"):
                assert gpu.uuid in rejected
            else:
                assert not (gpu.uuid in rejected and gpu.uuid in decision.devices)
    assert all(each.text for each in decision.rejected)
