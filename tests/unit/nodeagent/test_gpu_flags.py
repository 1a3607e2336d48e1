"""Idle hoarders and miner-like load: what is flagged, and above all what is not."""

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodeagent.gpu.flags.idle import IdleRules, IdleState, Usage, kind_of, step
from nodeagent.gpu.flags.ladder import Flag, LadderRules, Snooze, idle_flag, miner_flag
from nodeagent.gpu.flags.miner import Load, MinerRules, judge
from nodeagent.gpu.reading import NOT_READ, Reading, ok
from nodeagent.gpu.sharing.policy import GIB, MIB

RULES, LADDER, MINER = IdleRules(), LadderRules(), MinerRules()


def usage(held: int = 9 * GIB, duty: float = 0.0, mean: float = 0.0, **changes: Any) -> Usage:
    facts = Usage(
        process_key="1:100",
        memory_bytes=ok(held, source="nvml"),
        total_bytes=ok(16 * GIB, source="nvml"),
        duty_5m=ok(duty, source="nvml"),
        mean_sm=ok(mean, source="nvml"),
        allocated=True,
    )
    return replace(facts, **changes)


def after(
    minutes: int, facts: Usage, state: IdleState | None = None, start: float = 0
) -> IdleState:
    """Watched every 30 s for so long."""
    state = state or IdleState(process_key=facts.process_key, seen=start)
    for tick in range(1, minutes * 2 + 1):
        state = step(state, facts, start + tick * 30, RULES)
    return state


@pytest.mark.parametrize(
    ("minutes", "facts", "phase"),
    [
        pytest.param(1, usage(), "quiet", id="just-quiet"),
        pytest.param(15, usage(), "idle", id="idle-at-15-min"),
        pytest.param(29, usage(), "idle", id="not-yet"),
        pytest.param(30, usage(), "hoarding", id="hoarding-at-30-min"),
        pytest.param(60, usage(held=200 * MIB), "idle", id="only-a-context"),
        pytest.param(60, usage(duty=0.9, mean=0.5), "active", id="works"),
        pytest.param(60, usage(duty=0.5, mean=0.001), "hoarding", id="keep-alive-is-no-work"),
        pytest.param(60, usage(duty_5m=NOT_READ), "active", id="duty-unknown-is-not-idle"),
        pytest.param(60, usage(memory_bytes=NOT_READ), "active", id="memory-unknown"),
        pytest.param(60, usage(duty=0.5, mean_sm=NOT_READ), "active", id="mean-unknown"),
    ],
)
def test_phases(minutes: int, facts: Usage, phase: str) -> None:
    assert after(minutes, facts).phase == phase


def test_one_blip_is_no_work_two_readings_are() -> None:
    state = after(40, usage())
    busy = usage(duty=0.5, mean=0.3)
    once = step(state, busy, 2430, RULES)
    assert once.phase == "hoarding"
    assert step(once, usage(), 2460, RULES).phase == "hoarding"
    assert step(once, busy, 2460, RULES) == IdleState(
        process_key="1:100", busy_readings=2, seen=2460
    )


def test_unknown_readings_freeze_and_their_time_does_not_count() -> None:
    state = after(20, usage())
    blind = after(60, usage(duty_5m=NOT_READ), state, start=1200)
    assert (blind.phase, blind.idle_seconds) == ("idle", state.idle_seconds)
    assert step(blind, usage(), 4830, RULES).idle_seconds == state.idle_seconds + 30


def test_a_gap_in_watching_proves_little() -> None:
    state = after(20, usage())
    assert step(state, usage(), 90_000, RULES).idle_seconds == state.idle_seconds + 60


def test_a_new_process_starts_again() -> None:
    state = after(40, usage())
    assert step(state, usage(process_key="2:500"), 2430, RULES).phase == "quiet"


@pytest.mark.parametrize(
    ("facts", "kind"),
    [
        pytest.param(usage(), "context_holder", id="holds"),
        pytest.param(usage(held=15 * GIB), "preallocation", id="framework"),
        pytest.param(usage(duty=0.2), "keep_alive", id="keep-alive"),
        pytest.param(usage(alive=False), "zombie", id="zombie"),
        pytest.param(usage(allocated=False), "bypass", id="bypass"),
    ],
)
def test_kinds_have_something_to_run(facts: Usage, kind: str) -> None:
    assert kind_of(facts, RULES) == kind
    flag = flagged(40, facts=facts)
    assert flag is not None
    assert flag.command


def flagged(minutes: int, *, facts: Usage | None = None, **changes: Any) -> Flag | None:
    facts = facts or usage()
    state = IdleState(phase="hoarding", idle_seconds=minutes * 60)
    given_: dict[str, Any] = {
        "cell_running": False,
        "snoozes": (),
        "now": 1000.0,
        "rules": LADDER,
    } | changes
    return idle_flag("ns/p", "ada", state, facts, kind_of(facts, RULES), **given_)


@pytest.mark.parametrize(
    ("minutes", "changes", "stage", "quiet"),
    [
        pytest.param(30, {}, "notice", None, id="notice"),
        pytest.param(59, {}, "notice", None, id="still-notice"),
        pytest.param(60, {}, "warning", None, id="warning"),
        pytest.param(120, {}, "admin", None, id="admin"),
        pytest.param(60, {"cell_running": True}, "none", "a cell is running", id="running-cell"),
        pytest.param(120, {"cell_running": True}, "warning", None, id="grace-ends"),
        pytest.param(
            120,
            {"snoozes": (Snooze(owner="ns/p", until=1001, by="ada"),)},
            "none",
            "snoozed by ada",
            id="snoozed",
        ),
        pytest.param(
            120,
            {"snoozes": (Snooze(owner="ns/p", until=1000, by="ada"),)},
            "admin",
            None,
            id="snooze-over",
        ),
        pytest.param(
            120,
            {"snoozes": (Snooze(owner="ns/q", until=9999, by="bob"),)},
            "admin",
            None,
            id="snooze-of-another",
        ),
        pytest.param(
            120,
            {"rules": replace(LADDER, exempt=("exam-*/*", "ns/*"))},
            "none",
            "exempt (ns/*)",
            id="exempt-pod",
        ),
        pytest.param(
            120,
            {"rules": replace(LADDER, exempt=("ada",))},
            "none",
            "exempt (ada)",
            id="exempt-user",
        ),
    ],
)
def test_ladder(minutes: int, changes: dict[str, Any], stage: str, quiet: str | None) -> None:
    flag = flagged(minutes, **changes)
    assert flag is not None
    assert (flag.stage, flag.quiet_because) == (stage, quiet)
    assert "9.0 GiB held for" in flag.text


def test_who_works_has_no_flag() -> None:
    state = IdleState(phase="idle", idle_seconds=1000)
    assert (
        idle_flag(
            "ns/p",
            None,
            state,
            usage(),
            "context_holder",
            cell_running=None,
            snoozes=(),
            now=0,
            rules=LADDER,
        )
        is None
    )


def load(**changes: Any) -> Load:
    """A long training run: everything at the limit, in a notebook whose kernel works."""
    numbers = {
        "seconds": 9000.0,
        "sm_mean": 0.99,
        "sm_deviation": 0.005,
        "power_share": 0.97,
        "memory_change": 0.0,
        "bus_share": 0.01,
        "host_cpu_share": 0.01,
        "disk_share": 0.0,
    }
    facts: dict[str, Any] = {name: ok(value, source="x") for name, value in numbers.items()} | {
        "kernel_idle": ok(value=False, source="x"),
        "notebook_parent": ok(value=True, source="x"),
        "odd_program": ok(value=False, source="x"),
        "allocated": ok(value=True, source="x"),
    }
    facts |= {
        name: value if isinstance(value, Reading) else ok(value, source="x")
        for name, value in changes.items()
    }
    return Load(**facts)


@pytest.mark.parametrize(
    ("facts", "verdict"),
    [
        pytest.param(load(), "clear", id="long-training-run"),
        pytest.param(load(kernel_idle=True), "flagged", id="kernel-idle"),
        pytest.param(load(notebook_parent=False), "flagged", id="no-notebook"),
        pytest.param(load(odd_program=True), "flagged", id="program-in-tmp"),
        pytest.param(load(allocated=False), "flagged", id="no-allocation"),
        pytest.param(load(kernel_idle=True, seconds=3600.0), "clear", id="not-long-enough"),
        pytest.param(load(kernel_idle=True, sm_deviation=0.2), "clear", id="varies"),
        pytest.param(load(kernel_idle=True, power_share=0.5), "clear", id="low-power"),
        pytest.param(load(kernel_idle=True, memory_change=0.3), "clear", id="memory-moves"),
        pytest.param(load(kernel_idle=True, host_cpu_share=0.8), "clear", id="feeds-data"),
        pytest.param(load(kernel_idle=NOT_READ), "unknown", id="kernel-unknown"),
        pytest.param(load(kernel_idle=True, power_share=NOT_READ), "unknown", id="power-unknown"),
        pytest.param(load(kernel_idle=True, odd_program=NOT_READ), "flagged", id="one-is-enough"),
    ],
)
def test_miner_like(facts: Load, verdict: str) -> None:
    assert judge(facts, MINER).verdict == verdict


@given(
    st.sampled_from(
        ["seconds", "sm_mean", "sm_deviation", "power_share", "memory_change", "bus_share"]
    ),
    st.booleans(),
)
def test_unknown_load_never_flags(name: str, idle: bool) -> None:
    finding = judge(load(kernel_idle=idle, **{name: NOT_READ}), MINER)
    assert finding.verdict != "flagged"
    assert finding.unknown


def test_a_miner_like_load_goes_to_the_admin_unless_exempt() -> None:
    finding = judge(load(kernel_idle=True), MINER)
    flag = miner_flag("ns/p", "ada", finding, snoozes=(), now=0, rules=LADDER)
    assert flag is not None
    assert (flag.stage, flag.command) == ("admin", None)
    assert "its kernel is idle" in flag.evidence
    exempt = replace(LADDER, exempt=("ada",))
    quiet = miner_flag("ns/p", "ada", finding, snoozes=(), now=0, rules=exempt)
    assert quiet is not None
    assert quiet.stage == "none"
    clear = judge(load(), MINER)
    assert miner_flag("ns/p", "ada", clear, snoozes=(), now=0, rules=LADDER) is None
