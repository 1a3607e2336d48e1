from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.ksm import cost
from nodeagent.ksm.decide import (
    SCANNING,
    START,
    KsmGoal,
    KsmMemory,
    KsmPolicy,
    Phase,
    decide,
    observe,
    spent_in_window,
)
from nodeagent.ksm.facts import KsmSample
from tests.unit.nodeagent.support import MIB, SimulatedKsmd, opted, sample

POLICY = KsmPolicy()


def resting(
    processes: int = 2, settled_mib: int = 400, unseen_mib: int = 0, since: float = 900.0
) -> KsmGoal:
    memory = KsmMemory(
        phase_since=since,
        settled_processes=processes,
        settled_bytes=settled_mib * MIB,
        settled_unseen=unseen_mib * MIB,
    )
    return KsmGoal(phase="rest", why="all merged", knobs=None, memory=memory)


@pytest.mark.parametrize(
    ("taken", "last", "phase"),
    [
        pytest.param(sample(), START, "rest", id="nobody"),
        pytest.param(
            sample(opted_in=opted(2, 100, 0)), START, "verify", id="start-learns-the-present"
        ),
        pytest.param(sample(opted_in=opted(2, 100)), START, "burst", id="start-with-new-memory"),
        pytest.param(sample(opted_in=opted(2, 400, 31)), resting(), "rest", id="just-too-little"),
        pytest.param(sample(opted_in=opted(2, 400, 32)), resting(), "burst", id="just-enough"),
        pytest.param(
            sample(opted_in=opted(2, 400, 100)), resting(unseen_mib=90), "rest", id="known-rest"
        ),
        pytest.param(
            sample(opted_in=opted(9, 8000, 60)),
            resting(processes=9, settled_mib=8000),
            "rest",
            id="one-percent-of-a-large-node",
        ),
        pytest.param(sample(opted_in=opted(1, 400, 0)), resting(), "verify", id="one-left"),
        pytest.param(sample(opted_in=opted(2, 300, 0)), resting(), "verify", id="memory-freed"),
        pytest.param(
            sample(time=1499.0, opted_in=opted(2, 400, 0)), resting(), "rest", id="not-yet"
        ),
        pytest.param(
            sample(time=1500.0, opted_in=opted(2, 400, 0)), resting(), "verify", id="now-and-then"
        ),
        pytest.param(
            sample(pages_sharing=9), resting(), "verify", id="all-left-but-numbers-are-old"
        ),
    ],
)
def test_from_rest(taken: KsmSample, last: KsmGoal, phase: Phase) -> None:
    goal = decide(taken, last, POLICY)
    assert goal.phase == phase
    assert goal.why
    assert goal.knobs is not None
    assert goal.knobs.run is (phase in SCANNING)
    assert goal.knobs.smart_scan is (phase not in SCANNING)


def scanning(phase: Phase, *, saved: int, event: int = 10, at: int | None = None) -> KsmGoal:
    memory = KsmMemory(
        phase_since=990.0,
        event_scans=event,
        pass_scans=event if at is None else at,
        pass_saved=saved,
        settled_processes=2,
        settled_bytes=400 * MIB,
    )
    return KsmGoal(phase=phase, why="why, at up to 1.0% of a core", knobs=None, memory=memory)


def test_pages_of_zeros_are_a_gain_as_well() -> None:
    last = scanning("burst", saved=50_000, at=12)
    taken = sample(full_scans=13, pages_sharing=50_000, opted_in=opted(2, 400, 0))
    assert decide(taken, last, POLICY).phase == "rest"
    assert decide(replace(taken, zero_pages=2000), last, POLICY).phase == "settle"


@pytest.mark.parametrize(
    ("scans", "sharing", "processes", "last", "phase"),
    [
        (12, 50_000, 2, scanning("burst", saved=0), "burst"),
        (13, 50_000, 2, scanning("burst", saved=0, at=12), "settle"),
        (13, 50_000, 2, scanning("burst", saved=49_900, at=12), "rest"),
        (13, 40_000, 2, scanning("burst", saved=50_000, at=12), "rest"),
        (14, 50_000, 2, scanning("settle", saved=49_000, at=13), "settle"),
        (14, 50_000, 2, scanning("settle", saved=49_990, at=13), "rest"),
        (20, 50_000, 2, scanning("settle", saved=40_000, at=19), "rest"),
        (14, 50_000, 3, scanning("settle", saved=49_990, at=13), "burst"),
        (12, 50_000, 2, scanning("verify", saved=0), "verify"),
        (13, 50_000, 2, scanning("verify", saved=0), "rest"),
        (10, 0, 0, scanning("burst", saved=0), "rest"),
    ],
)
def test_passes_count_not_seconds(
    scans: int, sharing: int, processes: int, last: KsmGoal, phase: Phase
) -> None:
    taken = sample(
        full_scans=scans,
        pages_sharing=sharing,
        opted_in=opted(processes, 400 if processes else 0, 0),
    )
    goal = decide(taken, last, POLICY)
    assert goal.phase == phase
    if phase in SCANNING:
        assert goal.knobs is not None
        assert goal.knobs.smart_scan is False


def test_kernel_without_smart_scan_is_not_asked_for_it() -> None:
    goal = decide(sample(smart_scan=None, opted_in=opted(2, 100)), START, POLICY)
    assert goal.knobs is not None
    assert goal.knobs.smart_scan is None


def test_kernel_that_hides_opt_ins_keeps_looking_slowly() -> None:
    hidden = replace(opted(0, 0), visible=False)
    goal = decide(sample(opted_in=hidden), START, POLICY)
    assert goal.phase == "rest"
    assert goal.knobs is not None
    assert (goal.knobs.run, goal.knobs.pages_to_scan) == (True, 100)
    assert "does not show who opts in" in goal.why
    again = decide(sample(time=1010.0, opted_in=hidden), goal, POLICY)
    assert again.why.count("does not show") == 1


def test_yields_to_others_and_comes_back() -> None:
    taken = sample(opted_in=opted(2, 400))
    goal = decide(taken, resting(), POLICY, foreign="somebody set run to 1")
    assert (goal.phase, goal.knobs) == ("yield", None)
    assert "somebody set run to 1" in goal.why
    assert decide(taken, goal, POLICY).phase == "burst"


def test_observing_never_writes() -> None:
    goal = observe(sample(run=1, opted_in=opted(2, 400)), START, "no permission")
    assert (goal.phase, goal.knobs) == ("watch", None)
    assert goal.why == "KSM is running; no permission"


def test_short_memory_hurries() -> None:
    taken = sample(opted_in=opted(8, 300))
    relaxed = decide(taken, START, POLICY)
    pressed = decide(replace(taken, available_bytes=taken.total_bytes // 10), START, POLICY)
    assert pressed.memory.planned_cores > relaxed.memory.planned_cores
    stalled = decide(replace(taken, memory_stall=0.2), START, POLICY)
    assert stalled.memory.planned_cores == pressed.memory.planned_cores


def test_a_busy_cpu_slows_the_burst() -> None:
    taken = sample(opted_in=opted(8, 4000))
    calm = decide(taken, START, POLICY).memory.planned_cores
    assert decide(replace(taken, cpu_stall=0.6), START, POLICY).memory.planned_cores < calm


def test_a_used_up_budget_pauses_the_burst() -> None:
    used = replace(START.memory, spent=((950.0, 0.0),))
    goal = decide(
        sample(ksmd_cpu_seconds=6.0, opted_in=opted(8, 4000)), replace(START, memory=used), POLICY
    )
    assert goal.phase == "burst"
    assert goal.knobs is not None
    assert goal.knobs.run is False
    assert "budget is used up" in goal.why


@given(cores=st.floats(0.001, 0.95), cost_us=st.floats(0.0, 100.0))
def test_rate_never_exceeds_its_share(cores: float, cost_us: float) -> None:
    chosen = cost.rate(cores, cost_us)
    assert cost.MIN_BATCH_PAGES <= chosen.pages <= cost.MAX_BATCH_PAGES
    busy = chosen.pages * cost_us / 1e6
    share = busy / (busy + chosen.sleep_ms / 1000)
    assert share <= cores * 1.001 or chosen.sleep_ms == 10_000


def test_a_higher_cost_is_believed_at_once_and_a_lower_one_by_half() -> None:
    assert cost.learn_cost(1.0, 0.06, 10_000) == pytest.approx(6.0)
    assert cost.learn_cost(6.0, 0.01, 10_000) == pytest.approx(3.5)
    assert cost.learn_cost(6.0, 0.01, 999) == 6.0


@given(
    known=st.floats(0.2, cost.DEAR_US),
    left=st.floats(0.01, 20.0),
    part=st.floats(0.001, 0.8),
)
def test_pages_that_turn_out_dear_stay_in_the_budget(
    known: float, left: float, part: float
) -> None:
    cores, seconds = min(part * left / 2.0, 0.95), 2.0
    pages = cores * seconds * 1e6 / cost.careful_cost(known, cores, seconds, left)
    assert pages * cost.DEAR_US / 1e6 <= left * 1.001


def test_first_visits_are_planned_at_what_they_cost() -> None:
    """Most of a class arrives while its first pages are only looked at."""

    def pages_a_second(cost_us: float) -> float:
        begun = replace(START, memory=replace(START.memory, cost_us=cost_us))
        knobs = decide(sample(opted_in=opted(8, 4000)), begun, POLICY).knobs
        assert knobs is not None
        return (knobs.pages_to_scan or 0) / max(knobs.sleep_millisecs or 0, 1)

    assert pages_a_second(cost.FIRST_US) > 1.5 * pages_a_second(cost.COMPARE_US)
    # What merged pages cost says nothing of new ones.
    assert pages_a_second(0.25) == pages_a_second(cost.FIRST_US)


@given(st.floats(0.001, 1.0))
def test_levels_round_down_by_less_than_a_step(cores: float) -> None:
    assert cores / 1.5001 <= cost.level(cores) <= cores * 1.0001


def run_for(ksmd: SimulatedKsmd, goal: KsmGoal, seconds: float, policy: KsmPolicy) -> KsmGoal:
    until = ksmd.now + seconds
    while ksmd.now < until:
        goal = decide(ksmd.sample(), goal, policy)
        ksmd.set(goal.knobs)
        ksmd.advance(2.0 if goal.phase in SCANNING else 10.0)
    return goal


arrivals = st.lists(
    st.tuples(st.integers(2_000, 400_000), st.floats(0.0, 90.0)), min_size=1, max_size=6
)


@settings(max_examples=20, deadline=None)
@given(arrivals=arrivals, page_us=st.floats(0.3, 12.0), budget=st.floats(0.02, 0.3))
def test_budget_holds_in_every_minute(
    arrivals: list[tuple[int, float]], page_us: float, budget: float
) -> None:
    policy = KsmPolicy(cpu_budget=budget, pressure_cpu_budget=max(budget, 0.25))
    ksmd, goal = SimulatedKsmd(page_us=page_us), START
    spent: list[tuple[float, float]] = []
    for pages, pause in arrivals:
        ksmd.arrive(pages)
        until = ksmd.now + pause + 2
        while ksmd.now < until:
            goal = decide(ksmd.sample(), goal, policy)
            ksmd.set(goal.knobs)
            ksmd.advance(2.0 if goal.phase in SCANNING else 10.0)
            spent.append((ksmd.now, ksmd.cpu))
            assert spent_in_window(goal.memory) >= 0
    for now, cpu in spent:
        start = next(before for moment, before in spent if moment >= now - 60)
        # A page twice as dear as known costs more until the average has learnt it.
        assert cpu - start <= 60 * budget * 1.25 + 0.2


@settings(max_examples=20, deadline=None)
@given(pages=st.lists(st.integers(20_000, 150_000), min_size=2, max_size=5))
def test_converges_and_rests(pages: list[int]) -> None:
    patient = KsmPolicy(verify_interval=86400)
    ksmd = SimulatedKsmd()
    for count in pages:
        ksmd.arrive(count)
    goal = run_for(ksmd, START, 400, patient)
    assert goal.phase == "rest"
    assert ksmd.merged == sum(pages) - max(pages)
    assert ksmd.knobs.run is False
    used = ksmd.cpu
    assert run_for(ksmd, goal, 300, patient).phase == "rest"
    assert ksmd.cpu == used


@settings(max_examples=15, deadline=None)
@given(pages=st.integers(20_000, 80_000), moment=st.integers(0, 40))
def test_a_restarted_agent_ends_at_the_same_place(pages: int, moment: int) -> None:
    ksmd = SimulatedKsmd()
    ksmd.arrive(pages)
    ksmd.arrive(pages)
    run_for(ksmd, START, moment, POLICY)
    goal = run_for(ksmd, START, 400, POLICY)
    assert goal.phase == "rest"
    assert ksmd.merged == pages


def test_hundreds_of_megabytes_within_half_a_minute() -> None:
    ksmd = SimulatedKsmd()
    for _ in range(4):
        ksmd.arrive(150 * 256)
    run_for(ksmd, START, 30, POLICY)
    assert ksmd.merged == 3 * 150 * 256


def test_without_a_cpu_counter_the_plan_is_the_account() -> None:
    ksmd, goal = SimulatedKsmd(), START
    for _ in range(8):
        ksmd.arrive(400_000)
    first = ksmd.cpu
    for _ in range(30):
        goal = decide(ksmd.sample(ksmd_cpu_seconds=None), goal, POLICY)
        ksmd.set(goal.knobs)
        ksmd.advance(2.0)
    assert ksmd.cpu - first <= 60 * POLICY.cpu_budget * 1.1
