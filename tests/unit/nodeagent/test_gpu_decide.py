"""Sharing decisions: the cases of docs/gpu.md, by number, and the edge cases of real drivers."""

from dataclasses import replace
from typing import Any

import pytest

from nodeagent.gpu.reading import NOT_READ, ok, unknown, unsupported
from nodeagent.gpu.sharing.policy import GIB, MIB
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import GpuFacts, Health, Snapshot, Xid
from tests.unit.nodeagent.gpu_support import (
    NOW,
    POLICY,
    ask,
    codes,
    gpu,
    held,
    node,
    process,
    tenant,
)


def xids(*codes: int, ago: float = 60) -> Health:
    return Health(
        state=ok("ok", source="nvml"), xids=tuple(Xid(code=c, seconds_ago=ago) for c in codes)
    )


def state(name: Any) -> Health:
    return Health(state=ok(name, source="nvml"))


OLD = ok(GIB, source="nvml", age_seconds=60)

# What is wrong with the only GPU -> verdict, code, confidence.
GATES: list[Any] = [
    pytest.param(gpu(), "share", None, "high", id="2-healthy"),
    pytest.param(gpu(cordoned=True), "wait", "cordoned", "high", id="1-cordoned"),
    pytest.param(gpu(health=state("lost")), "wait", "unhealthy", "high", id="1-lost"),
    pytest.param(gpu(health=state("reset_required")), "wait", "unhealthy", "high", id="1-reset"),
    pytest.param(gpu(health=state("recovering")), "wait", "unhealthy", "high", id="1-just-back"),
    pytest.param(gpu(health=Health()), "share", None, "low", id="1-health-unknown"),
    pytest.param(gpu(health=xids(79)), "wait", "xid", "high", id="1-xid-fatal"),
    pytest.param(gpu(health=xids(79, ago=7200)), "share", None, "high", id="1-xid-long-ago"),
    pytest.param(gpu(health=xids(63)), "share", None, "medium", id="1-xid-noted"),
    pytest.param(gpu(health=xids(999)), "share", None, "low", id="1-xid-unheard-of"),
    pytest.param(gpu(health=xids(13, 31, 43)), "share", None, "high", id="1-xid-of-a-program"),
    pytest.param(
        gpu(mig_mode=ok("changing", source="nvml")),
        "wait",
        "mig_changing",
        "high",
        id="1-mig-toggle",
    ),
    pytest.param(
        gpu(mig_mode=ok("on", source="nvml")), "wait", "mig_parent", "high", id="1-mig-parent"
    ),
    pytest.param(
        gpu(mig_mode=unsupported(source="nvml")), "share", None, "high", id="1-card-without-mig"
    ),
    pytest.param(
        gpu(compute_mode=ok("prohibited", source="nvml")),
        "wait",
        "prohibited",
        "high",
        id="1-prohibited",
    ),
    pytest.param(
        gpu(compute_mode=ok("exclusive_process", source="nvml")),
        "wait",
        "exclusive_process",
        "high",
        id="4-exclusive-process-without-mps",
    ),
    pytest.param(
        gpu(
            compute_mode=ok("exclusive_process", source="nvml"),
            mps_state=ok("running", source="mps"),
        ),
        "share",
        None,
        "high",
        id="4-exclusive-process-with-mps",
    ),
    pytest.param(
        gpu(mps_state=ok("fault", source="mps")), "wait", "mps_fault", "high", id="1-mps-fault"
    ),
    pytest.param(
        gpu(memory_total_bytes=NOT_READ), "wait", "memory_unknown", "medium", id="2-memory-unknown"
    ),
    pytest.param(
        gpu(memory_free_bytes=ok(99 * GIB, source="nvml")),
        "wait",
        "memory_implausible",
        "high",
        id="2-free-above-total",
    ),
    pytest.param(gpu(busy_p90_15m=NOT_READ), "share", None, "low", id="5-load-unknown"),
    pytest.param(
        gpu(busy_p90_15m=ok(250.0, source="nvml")), "share", None, "low", id="5-load-garbage"
    ),
    pytest.param(gpu(processes=unknown("no hostPID")), "share", None, "low", id="2-list-unknown"),
    pytest.param(gpu(memory_used_bytes=NOT_READ), "share", None, "high", id="2-used-worked-out"),
]


@pytest.mark.parametrize(("card", "verdict", "code", "confidence"), GATES)
def test_one_gpu(card: GpuFacts, verdict: str, code: str | None, confidence: str) -> None:
    # A healthy but full neighbour: what cannot be judged must not hide behind "nothing judged".
    full = held("GPU-full", 16 * GIB)
    decision = ask(node(card, full))
    assert decision.verdict == verdict
    if code is None:
        assert decision.devices == ("GPU-a",)
        assert decision.confidence == confidence
        assert bool(decision.notes) == (confidence != "high")
    else:
        mine = [each for each in decision.rejected if each.uuid == "GPU-a"]
        assert [each.code for each in mine] == [code]
        assert decision.confidence == confidence
        assert mine[0].text


@pytest.mark.parametrize(
    ("snapshot", "code"),
    [
        pytest.param(node(gpu(), taken=NOW - 16), "stale", id="1-three-ticks-old"),
        pytest.param(node(gpu(), taken=NOW + 600), "clock", id="1-clock-ahead"),
        pytest.param(node(driver=unknown("library missing (12)")), "no_driver", id="1-no-library"),
        pytest.param(node(gpu(), driver=unknown("hung")), "no_driver", id="1-driver-hung"),
        pytest.param(
            node(expected_gpus=ok(8, source="kubelet")), "no_access", id="1-no-runtime-class"
        ),
        pytest.param(node(gpu(memory_total_bytes=NOT_READ)), "memory_unknown", id="2-only-unknown"),
    ],
)
def test_7_nothing_known_is_unknown_not_yes(snapshot: Snapshot, code: str) -> None:
    decision = ask(snapshot)
    assert (decision.verdict, decision.fallback) == ("unknown", "allocation_only")
    assert decision.devices == ()
    assert decision.reservations == ()
    assert codes(decision) == {code}
    assert ask(snapshot, policy=replace(POLICY, fallback="deny")).fallback == "deny"


def test_7_no_node_is_unknown_and_a_node_without_gpus_is_no() -> None:
    assert ask().verdict == "unknown"
    assert ask(node()).verdict == "wait"


def test_1_a_missing_gpu_leaves_the_others_with_less_confidence() -> None:
    decision = ask(node(gpu(), expected_gpus=ok(2, source="kubelet")))
    assert (decision.verdict, decision.confidence) == ("share", "medium")
    assert decision.notes == ("1 of the node's 2 GPUs are visible",)


HALF = ok((process(1, "ns/a", 2 * GIB),), source="nvml")

# Facts of the GPU -> the largest newcomer (with context) that fits, headroom of 512 MiB taken off.
ROOMS: list[Any] = [
    pytest.param(gpu(), 16 * GIB, id="2-empty"),
    pytest.param(held("GPU-a", 2 * GIB), 14 * GIB, id="2-held-now"),
    pytest.param(
        gpu(
            memory_reserved_bytes=ok(GIB, source="nvml"), memory_free_bytes=ok(15 * GIB, source="x")
        ),
        15 * GIB,
        id="2-driver-reserve",
    ),
    pytest.param(gpu(used=3 * GIB), 13 * GIB, id="2-unattributed-is-taken"),
    pytest.param(
        gpu(used=3 * GIB, processes=ok((process(1, "ns/a", 3 * GIB, owner=NOT_READ),), source="x")),
        13 * GIB,
        id="2-nameless-is-taken",
    ),
    pytest.param(
        gpu(
            used=3 * GIB,
            processes=ok(
                (process(1, "ns/a", 3 * GIB, alive=ok(value=False, source="procfs")),), source="x"
            ),
        ),
        13 * GIB,
        id="2-zombie-is-taken",
    ),
    pytest.param(
        gpu(used=GIB, processes=ok((process(1, "x", GIB, kinds=("mps_server",)),), source="x")),
        15 * GIB,
        id="2-mps-server-is-overhead",
    ),
    pytest.param(
        gpu(used=2 * GIB, processes=HALF, tenants=(tenant("ns/a", requested_bytes=6 * GIB),)),
        10 * GIB,
        id="2-requested",
    ),
    pytest.param(
        gpu(
            used=2 * GIB,
            processes=HALF,
            tenants=(tenant("ns/a", recent_peak_bytes=ok(5 * GIB, source="ring")),),
        ),
        11 * GIB,
        id="2-recent-peak",
    ),
    pytest.param(
        gpu(
            used=2 * GIB,
            processes=HALF,
            tenants=(
                tenant(
                    "ns/a",
                    session_peak_bytes=ok(8 * GIB, source="ring"),
                    session_peak_age_seconds=3600.0,
                ),
            ),
        ),
        12 * GIB,
        id="2-session-peak-halved-in-an-hour",
    ),
    pytest.param(
        gpu(tenants=(tenant("ns/a", age_seconds=60.0, usual_peak_bytes=5 * GIB),)),
        11 * GIB,
        id="2-young-counts-its-usual-peak",
    ),
    pytest.param(
        gpu(tenants=(tenant("ns/a", usual_peak_bytes=5 * GIB),)),
        11 * GIB,
        id="2-one-sleeper-may-wake",
    ),
    pytest.param(
        gpu(
            tenants=(
                tenant("ns/a", usual_peak_bytes=5 * GIB),
                tenant("ns/b", usual_peak_bytes=4 * GIB),
            )
        ),
        11 * GIB,
        id="2-not-all-sleepers-wake-at-once",
    ),
    pytest.param(
        gpu(used=3 * GIB, tenants=(tenant("ns/a", requested_bytes=6 * GIB),)),
        7 * GIB,
        id="2-promised-and-unattributed-add-up",
    ),
    pytest.param(
        gpu(tenants=(tenant("ns/a", finished=True, requested_bytes=5 * GIB),)),
        16 * GIB,
        id="2-ended-pod-still-listed",
    ),
    pytest.param(
        gpu(
            used=6 * GIB,
            processes=unknown("no hostPID"),
            tenants=(tenant("ns/a", requested_bytes=6 * GIB),),
        ),
        10 * GIB,
        id="2-list-unknown-counts-once",
    ),
    pytest.param(
        gpu(
            used=6 * GIB,
            processes=ok((process(1, "ns/a", 0, memory_bytes=NOT_READ),), source="x"),
            tenants=(tenant("ns/a", requested_bytes=6 * GIB),),
        ),
        10 * GIB,
        id="2-memory-of-a-process-unknown",
    ),
]


@pytest.mark.parametrize(("card", "room"), ROOMS)
def test_2_room_for_a_newcomer(card: GpuFacts, room: int) -> None:
    most = room - 512 * MIB - POLICY.context_bytes
    assert ask(node(card), memory_bytes=most).verdict == "share"
    decision = ask(node(card), memory_bytes=most + 1)
    assert (decision.verdict, codes(decision)) == ("wait", {"memory"})
    assert decision.would_fit == () or decision.would_fit[0].missing_bytes == 1


def test_2_opportunistic_counts_peaks_only_and_says_what_is_promised_twice() -> None:
    card = gpu(used=2 * GIB, processes=HALF, tenants=(tenant("ns/a", requested_bytes=14 * GIB),))
    assert ask(node(card)).verdict == "wait"
    decision = ask(node(card), policy=replace(POLICY, commitment="opportunistic"))
    assert decision.verdict == "share"
    assert decision.promised_share is not None
    assert decision.promised_share > 1


def test_2_unified_memory_is_the_hosts_and_says_so() -> None:
    none = unsupported(source="nvmlDeviceGetMemoryInfo")
    card = gpu(
        unified_memory=ok(value=True, source="nvml"),
        memory_total_bytes=none,
        memory_free_bytes=none,
        memory_used_bytes=none,
    )
    host: dict[str, Any] = {"host_total_bytes": ok(128 * GIB, source="meminfo")}
    free = ok(100 * GIB, source="meminfo")
    decision = ask(node(card, **host, host_available_bytes=free))
    assert (decision.verdict, decision.confidence) == ("share", "medium")
    assert "host memory stands in for GPU memory" in decision.notes
    short = ask(node(card, **host, host_available_bytes=ok(9 * GIB, source="meminfo")))
    assert codes(short) == {"host_memory"}
    assert ask(node(card)).verdict == "unknown"


def test_3_a_need_not_told_is_the_usual_peak_else_the_policys() -> None:
    assert ask(node(gpu()), memory_bytes=None, usual_peak_bytes=3 * GIB).need_bytes == 3 * GIB
    default = POLICY.default_memory_bytes + POLICY.context_bytes
    assert ask(node(gpu()), memory_bytes=None).need_bytes == default


MPS: dict[str, Any] = {"mps_state": ok("running", source="mps")}
INSTANCE: dict[str, Any] = {"kind": "mig", "parent": "GPU-p", "profile": "1g.10gb"}

FITS: list[Any] = [
    pytest.param(held("GPU-a", *[MIB] * 7), {}, "share", "time_slicing", id="4-seven-of-eight"),
    pytest.param(held("GPU-a", *[MIB] * 8), {}, "wait", "clients", id="4-eight-of-eight"),
    pytest.param(gpu(**MPS), {}, "share", "mps", id="4-mps-empty"),
    pytest.param(held("GPU-a", GIB, **MPS), {}, "wait", "mps_other_users", id="4-mps-others"),
    pytest.param(held("GPU-a", GIB, **MPS), {"user": "ns/GPU-a-0"}, "share", "mps", id="4-mps-own"),
    pytest.param(
        gpu(**MPS, mps_clients=ok(48, source="nvml")), {}, "wait", "clients", id="4-mps-full"
    ),
    pytest.param(gpu(**INSTANCE), {}, "share", "mig", id="4-free-instance"),
    pytest.param(held("GPU-a", GIB, **INSTANCE), {}, "wait", "clients", id="4-instance-in-use"),
    pytest.param(gpu(**INSTANCE), {"want": "mig"}, "share", "mig", id="4-mig-wanted"),
    pytest.param(
        gpu(**INSTANCE),
        {"want": "mig", "mig_profile": "2g.20gb"},
        "wait",
        "mig_profile",
        id="4-other-profile",
    ),
    pytest.param(gpu(), {"want": "mig"}, "wait", "kind", id="4-no-instances"),
    pytest.param(gpu(**INSTANCE), {"want": "exclusive"}, "wait", "kind", id="4-instance-is-no-gpu"),
    pytest.param(gpu(), {"want": "exclusive"}, "exclusive", "exclusive", id="4-alone"),
    pytest.param(held("GPU-a", 1), {"want": "exclusive"}, "wait", "in_use", id="4-not-alone"),
    pytest.param(
        gpu(tenants=(tenant("ns/a"),)), {"want": "exclusive"}, "wait", "in_use", id="4-allocated"
    ),
    pytest.param(
        gpu(processes=unknown("no hostPID")),
        {"want": "exclusive"},
        "wait",
        "occupants_unknown",
        id="4-alone-needs-to-know",
    ),
    pytest.param(
        gpu(tenants=(tenant("ns/a", exclusive=True),)), {}, "wait", "taken", id="4-given-to-one"
    ),
    pytest.param(
        gpu(tenants=tuple(tenant(f"ns/{at}", user="new") for at in range(4))),
        {},
        "wait",
        "user_limit",
        id="4-too-many-of-one-user",
    ),
    pytest.param(
        gpu(), {"want": "exclusive", "gpus": 2}, "wait", "too_few", id="4-two-gpus-one-there"
    ),
]


@pytest.mark.parametrize(("card", "request_", "verdict", "found"), FITS)
def test_4_fit(card: GpuFacts, request_: dict[str, Any], verdict: str, found: str) -> None:
    decision = ask(node(card), **request_)
    assert decision.verdict == verdict
    if verdict == "wait":
        assert codes(decision) == {found}
    else:
        assert decision.mode == found
        assert bool(decision.limits) == (found != "exclusive")


def test_4_two_gpus_come_from_one_node() -> None:
    split = ask(
        node(gpu("GPU-a"), name="n1"),
        node(gpu("GPU-b"), gpu("GPU-c"), name="n2"),
        want="exclusive",
        gpus=2,
    )
    assert (split.node, split.devices) == ("n2", ("GPU-b", "GPU-c"))
    assert len(split.reservations) == 2


def test_5_quiet_gpus_are_packed_busy_ones_and_exams_spread() -> None:
    some, none = held("GPU-some", 4 * GIB), gpu("GPU-none")
    assert ask(node(some, none)).devices == ("GPU-some",)
    assert ask(node(some, none), work="exam").devices == ("GPU-none",)
    busy = replace(some, busy_p90_15m=ok(0.9, source="nvml"))
    assert ask(node(busy, none)).devices == ("GPU-none",)


def test_5_unknown_load_is_between_idle_and_busy() -> None:
    idle, dark = gpu("GPU-b"), gpu("GPU-a", busy_p90_15m=NOT_READ)
    busy = gpu("GPU-0", busy_p90_15m=ok(1.0, source="nvml"))
    assert ask(node(idle, dark)).devices == ("GPU-b",)
    assert ask(node(dark, busy)).devices == ("GPU-a",)


def test_5_the_former_gpu_is_kept_unless_another_is_clearly_better() -> None:
    one, two = gpu("GPU-a"), gpu("GPU-b", busy_p90_15m=ok(0.2, source="nvml"))
    assert ask(node(one, two)).devices == ("GPU-a",)
    assert ask(node(one, two), previous="GPU-b").devices == ("GPU-b",)
    slow = replace(two, busy_p90_15m=ok(1.0, source="nvml"))
    assert ask(node(one, slow), previous="GPU-b").devices == ("GPU-a",)


def test_5_a_users_second_notebook_goes_to_the_first() -> None:
    mine = held("GPU-b", GIB, tenants=(tenant("ns/GPU-b-0", user="new"),))
    assert ask(node(held("GPU-a", GIB), mine)).devices == ("GPU-b",)


def test_6_wait_says_what_would_fit_and_when() -> None:
    later = held("GPU-a", 14 * GIB)
    sooner = held("GPU-b", 8 * GIB, 8 * GIB, tenants=(tenant("ns/GPU-b-0", ends_in_seconds=600.0),))
    decision = ask(node(later, sooner))
    assert (decision.verdict, decision.wait_seconds) == ("wait", 600)
    assert [hint.uuid for hint in decision.would_fit] == ["GPU-b", "GPU-a"]
    assert "in about 10 min" in decision.reason
    assert decision.would_fit[1].seconds is None


def test_6_more_than_any_gpu_has_is_said() -> None:
    decision = ask(node(gpu()), memory_bytes=40 * GIB)
    assert decision.verdict == "wait"
    assert decision.would_fit == ()
    assert "no GPU has 40.4 GiB" in decision.reason


def test_every_gpu_of_the_node_is_accounted_for() -> None:
    cards = [gpu("GPU-0"), held("GPU-1", 15 * GIB), gpu("GPU-2", cordoned=True)]
    decision = ask(node(*cards))
    named = set(decision.devices) | {each.uuid for each in decision.rejected}
    named |= {each.uuid for each in decision.others}
    assert named == {"GPU-0", "GPU-1", "GPU-2"}
    assert all(each.text for each in decision.rejected)
    assert any("memory free" in each.name for each in decision.evidence)


def test_index_is_no_key() -> None:
    before = ask(node(gpu("GPU-a", index=0), gpu("GPU-b", index=1)))
    after = ask(node(gpu("GPU-a", index=1), gpu("GPU-b", index=0)))
    assert before.devices == after.devices


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param({"pod": ""}, id="no-pod"),
        pytest.param({"gpus": 0}, id="no-gpu"),
        pytest.param({"gpus": 2}, id="several-shared"),
        pytest.param({"memory_bytes": -1}, id="negative"),
        pytest.param({"mig_profile": "1g.10gb"}, id="profile-without-mig"),
    ],
)
def test_what_cannot_be_asked(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        Request(**({"pod": "ns/p"} | wrong))
