"""How long a tenant has held GPU memory without working. Pure: state and reading in, state out.

active -> quiet (no duty) -> idle -> hoarding (idle for longer, with memory). Busy again only by two
readings in a row with a mean SM share of 1 %: a tiny kernel at a fixed period, run to look busy, is
not work. While a reading is stale or unknown nothing advances: not knowing is no idleness.
"""

from dataclasses import dataclass, replace
from typing import Literal

from nodeagent.gpu.reading import Reading

IdlePhase = Literal["active", "quiet", "idle", "hoarding"]
HoldKind = Literal["context_holder", "keep_alive", "preallocation", "zombie", "bypass"]


@dataclass(frozen=True, kw_only=True)
class IdleRules:
    """Seconds, bytes, shares of 1."""

    idle_seconds: float = 900.0
    hoarding_seconds: float = 1800.0
    hoarding_bytes: int = 256 * 2**20
    busy_mean_sm: float = 0.01
    busy_readings: int = 2
    most_seconds_per_reading: float = 60.0
    """A gap between readings (the agent was down) proves no more idleness than this."""
    preallocated_share: float = 0.70
    """Of the GPU's memory: frameworks such as JAX take most of it at the start, needed or not."""


@dataclass(frozen=True, kw_only=True)
class Usage:
    """One tenant on one GPU now. `process_key`: changes when its processes are restarted."""

    process_key: str
    memory_bytes: Reading[int]
    total_bytes: Reading[int]
    duty_5m: Reading[float]
    mean_sm: Reading[float]
    allocated: bool
    alive: bool = True


@dataclass(frozen=True, kw_only=True)
class IdleState:
    """`idle_seconds`: time known to be without work; `seen`: epoch seconds of the last reading."""

    phase: IdlePhase = "active"
    idle_seconds: float = 0.0
    busy_readings: int = 0
    process_key: str = ""
    seen: float | None = None


def step(state: IdleState, usage: Usage, now: float, rules: IdleRules) -> IdleState:
    """The state after one more reading."""
    if usage.process_key != state.process_key:
        state = IdleState(process_key=usage.process_key, seen=state.seen)
    duty, mean, held = usage.duty_5m.known, usage.mean_sm.known, usage.memory_bytes.known
    if duty is None or held is None or (duty > 0 and mean is None):
        # Frozen, and the time until the next good reading does not count either.
        return replace(state, seen=now, busy_readings=0)
    passed = 0.0 if state.seen is None else max(0.0, now - state.seen)
    passed = min(passed, rules.most_seconds_per_reading)
    if duty > 0 and mean is not None and mean >= rules.busy_mean_sm:
        busy = state.busy_readings + 1
        if busy >= rules.busy_readings:
            return IdleState(process_key=usage.process_key, busy_readings=busy, seen=now)
        return replace(state, busy_readings=busy, seen=now)
    idle = state.idle_seconds + passed
    return IdleState(
        phase=_phase(idle, held, rules),
        idle_seconds=idle,
        process_key=usage.process_key,
        seen=now,
    )


def _phase(idle: float, held: int, rules: IdleRules) -> IdlePhase:
    if idle >= rules.hoarding_seconds and held > rules.hoarding_bytes:
        return "hoarding"
    return "idle" if idle >= rules.idle_seconds else "quiet"


def kind_of(usage: Usage, rules: IdleRules) -> HoldKind:
    """What sort of holding it is; for the text, not for the verdict."""
    held, total = usage.memory_bytes.known, usage.total_bytes.known
    if not usage.alive:
        return "zombie"
    if not usage.allocated:
        return "bypass"
    if (usage.duty_5m.known or 0) > 0:
        return "keep_alive"
    if held is not None and total and held >= total * rules.preallocated_share:
        return "preallocation"
    return "context_holder"
