"""The control law for ksmd. Pure: a sample and what was known in, a goal with its reason out.

Objective: as much memory saved as soon as possible, for ksmd CPU within a budget, and no CPU at all
when nothing is left to merge. Work is counted in full scans, not seconds, because KSM merges in
scans: one for checksums, one to compare; and a process that opts in is queued behind the cursor, so
that the pass under way does not count. Hence three ends of a pass from the event to the merge.

    rest    ksmd stopped; new memory, processes that left, or time wakes it
    burst   smart_scan=0 and a rate worked out from the new memory, for three passes
    settle  further passes while the last one still gained
    verify  slow passes now and then: ksmd's numbers freeze while it is stopped, and pages that were
            written to (and so copied) are merged again only by another pass
    hold    a guard stopped ksmd: a container near its memory limit, an uninvited process, no reader
    yield   somebody else steers KSM: hands off
    watch   observe mode

smart_scan=0 while scanning, because the smart scan skips a page 8 of 9 passes once it has found no
partner: two pages that skip out of step never meet, however long ksmd runs.

What a pass gains is set against what it costs (bytes per second of ksmd). A pass that gains too
little ends the burst, a check pass that does doubles the rest until the next one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from nodeagent.ksm import cost
from nodeagent.ksm.facts import KsmSample

Phase = Literal["rest", "burst", "settle", "verify", "hold", "yield", "watch"]
SCANNING: frozenset[Phase] = frozenset({"burst", "settle", "verify"})

WINDOW_SECONDS = 60.0
PASSES = 3
LEAST_BURST = 0.25
"""Of a core. First visits are cheap, and a busy machine gives ksmd less than was planned."""
MAX_SETTLE_PASSES = 10
VERIFY_PASSES = 3
SMALL_GAIN = 0.005
LOW_MEMORY = 0.20
STALL = 0.05
CPU_STALL = 0.40
AT_ONCE = 0.8
"""Of what is left of the budget, between two decisions. What is spent sooner comes back sooner."""
BUSY = 0.6
"""Of the burst's share of a core, while programs wait for the CPU; ksmd is nice besides."""
HOLD_AT = 0.90
"""Of a memory limit: with what merging could add, a container may not come closer."""
RELEASE_AT = 0.85
"""Lower than HOLD_AT, so that a container at the border does not make ksmd start and stop."""
THRASH = 0.5
"""Copies to merges in a pass: above it the memory changes as fast as it is merged."""
THRASH_PAGES = 1000
VOLATILE = 0.2
"""Of the opted-in memory: above it, what changed between two passes is worth a word."""
MAX_BACKOFF = 8


@dataclass(frozen=True, kw_only=True)
class KsmPolicy:
    """Bounds set by the admin; units as in AgentConfig."""

    cpu_budget: float = 0.10
    pressure_cpu_budget: float = 0.25
    burst_cpu: float = 0.5
    burst_bytes: int = 32 * 1024 * 1024
    verify_interval: float = 600.0
    tick: float = 2.0
    """Seconds until the next decision while scanning."""
    min_yield: float = 50 * 1024 * 1024
    """Bytes a further pass must gain per second of ksmd's CPU."""
    limit_guard: bool = True
    """Stop ksmd while a container is close to its memory limit."""
    uninvited_stop: bool = False
    """Stop ksmd while a process that nobody expected has opted in."""


@dataclass(frozen=True, kw_only=True)
class Knobs:
    """Values for the kernel; None: leave as it is."""

    run: bool
    pages_to_scan: int | None = None
    sleep_millisecs: int | None = None
    smart_scan: bool | None = None
    use_zero_pages: bool | None = None


@dataclass(frozen=True, kw_only=True)
class KsmMemory:
    """What the law carries from one decision to the next; a fresh one is always safe."""

    spent: tuple[tuple[float, float], ...] = ()
    """(monotonic seconds, ksmd CPU counter), oldest first, a little over one minute."""
    sample_time: float | None = None
    pages_scanned: int | None = None
    ksmd_cpu: float | None = None
    planned_cores: float = 0.0
    """What the last goal allowed; stands in where the CPU counter cannot be read."""
    cost_us: float = cost.COMPARE_US
    phase_since: float = 0.0
    event_scans: int = 0
    """full_scans at the last event."""
    pass_scans: int = 0
    """full_scans at the last seen end of a pass."""
    pass_saved: int = 0
    """Pages saved at that end."""
    pass_cow: int | None = None
    """Copies of merged pages counted at that end."""
    pass_cpu: float | None = None
    """ksmd's CPU counter at that end."""
    gain: float | None = None
    """Relative gain of the last pass."""
    gain_yield: float | None = None
    """Bytes it gained per second of ksmd; None: too short to tell, or no counter."""
    thrash: bool = False
    """Whether most of what it merged was written to again."""
    event_saved: int = 0
    """Pages saved at the last event."""
    event_cpu: float | None = None
    routine: bool = False
    """Whether the check pass under way began by the clock alone."""
    backoff: int = 1
    """The rest until the next check pass, in verify_intervals."""
    settled_processes: int | None = None
    settled_bytes: int = 0
    settled_unseen: int = 0
    settled_each: Mapping[int, int] = field(default_factory=dict)
    """The same for each process: in the sum, one that left would hide one that came."""
    """Memory ksmd did not take up when it had converged (kernel stacks of it never merge)."""


@dataclass(frozen=True, kw_only=True)
class KsmGoal:
    """What to do now, and why. `knobs` None: write nothing."""

    phase: Phase
    why: str
    knobs: Knobs | None
    memory: KsmMemory = field(default_factory=KsmMemory)


START = KsmGoal(phase="rest", why="starting", knobs=None)


def _mib(amount: int) -> str:
    return f"{amount / 2**20:,.0f} MiB"


def _account(sample: KsmSample, memory: KsmMemory) -> KsmMemory:
    """Enter the time since the last sample into the budget window and the cost average."""
    now = sample.time
    spent = memory.spent
    last_time = memory.sample_time if memory.sample_time is not None else now
    counter = sample.ksmd_cpu_seconds
    if counter is None:
        before = spent[-1][1] if spent else 0.0
        counter = before + memory.planned_cores * max(now - last_time, 0.0)
    elif spent and memory.ksmd_cpu is None and memory.sample_time is not None:
        # The counter has come into sight: what was only estimated goes on from where it stands.
        estimate = spent[-1][1] + memory.planned_cores * max(now - last_time, 0.0)
        spent = tuple((time, value + counter - estimate) for time, value in spent)
    if spent and (counter < spent[-1][1] or now < spent[-1][0]):
        spent = ()
    spent = (*spent, (now, counter))
    # The newest entry outside the window stays: without it the window's start is unknown.
    while len(spent) > 2 and spent[1][0] <= now - WINDOW_SECONDS:
        spent = spent[1:]
    cost_us = memory.cost_us
    if (
        sample.ksmd_cpu_seconds is not None
        and memory.ksmd_cpu is not None
        and sample.pages_scanned is not None
        and memory.pages_scanned is not None
    ):
        cost_us = cost.learn_cost(
            cost_us,
            sample.ksmd_cpu_seconds - memory.ksmd_cpu,
            sample.pages_scanned - memory.pages_scanned,
        )
    return replace(
        memory,
        spent=spent,
        sample_time=now,
        ksmd_cpu=sample.ksmd_cpu_seconds,
        pages_scanned=sample.pages_scanned,
        cost_us=cost_us,
    )


def spent_in_window(memory: KsmMemory) -> float:
    """ksmd CPU seconds within the last minute, rounded up to whole readings."""
    return memory.spent[-1][1] - memory.spent[0][1] if memory.spent else 0.0


def _short_of_memory(sample: KsmSample) -> bool:
    free = sample.available_bytes / max(sample.total_bytes, 1)
    return free < LOW_MEMORY or (sample.memory_stall or 0.0) > STALL


def _pages(sample: KsmSample) -> int:
    candidate = sample.opted_in.candidate_bytes
    if candidate is not None:
        return candidate // sample.page_bytes
    known = (sample.pages_unshared or 0) + (sample.pages_volatile or 0)
    return known + sample.pages_shared + sample.pages_sharing


def _budget(sample: KsmSample, policy: KsmPolicy) -> float:
    """Share of a core, over a minute."""
    return policy.pressure_cpu_budget if _short_of_memory(sample) else policy.cpu_budget


def _left(sample: KsmSample, memory: KsmMemory, policy: KsmPolicy) -> float:
    """CPU seconds of this minute's budget."""
    return _budget(sample, policy) * WINDOW_SECONDS - spent_in_window(memory)


def _cores(sample: KsmSample, phase: Phase, memory: KsmMemory, policy: KsmPolicy) -> float:
    """Share of a core for ksmd until the next decision: from the work, within the budget."""
    short = _short_of_memory(sample)
    budget = _budget(sample, policy)
    ceiling = AT_ONCE * _left(sample, memory, policy) / policy.tick
    work = PASSES * _pages(sample) * memory.cost_us / 1e6
    if phase == "verify":
        wanted = min(max(work / 120, budget / 4), budget / 2)
    else:
        # Soon: what is forked from a process that is merged by then needs no visit any more.
        seconds = 3 if short else 5
        most = policy.burst_cpu
        if (sample.cpu_stall or 0.0) > CPU_STALL and not short:
            most *= BUSY
        wanted = min(max(work / seconds, LEAST_BURST), most)
    return cost.level(min(wanted, ceiling, policy.burst_cpu))


def _scan(
    sample: KsmSample, phase: Phase, why: str, memory: KsmMemory, policy: KsmPolicy
) -> KsmGoal:
    cores = _cores(sample, phase, memory, policy)
    memory = replace(memory, planned_cores=cores)
    if cores == 0.0:
        return KsmGoal(
            phase=phase,
            why=f"{why}; waiting, the minute's CPU budget is used up",
            knobs=Knobs(run=False),
            memory=memory,
        )
    left = _left(sample, memory, policy)
    chosen = cost.rate(cores, cost.careful_cost(memory.cost_us, cores, policy.tick, left))
    return KsmGoal(
        phase=phase,
        why=f"{why}, at up to {cores:.1%} of a core",
        knobs=Knobs(
            run=True,
            pages_to_scan=chosen.pages,
            sleep_millisecs=chosen.sleep_ms,
            smart_scan=None if sample.smart_scan is None else False,
            use_zero_pages=_zero_pages(sample),
        ),
        memory=memory,
    )


def _zero_pages(sample: KsmSample) -> bool | None:
    """On where the kernel also counts them, or the saving would go unseen."""
    if sample.use_zero_pages is None or sample.zero_pages is None:
        return None
    return True


def _rest(sample: KsmSample, why: str, memory: KsmMemory) -> KsmGoal:
    memory = replace(memory, planned_cores=0.0)
    smart = None if sample.smart_scan is None else True
    if sample.opted_in.visible:
        return KsmGoal(
            phase="rest", why=why, knobs=Knobs(run=False, smart_scan=smart), memory=memory
        )
    # Without ksm_merge_any only a running ksmd can tell that somebody has opted in.
    return KsmGoal(
        phase="rest",
        why=f"{why}; this kernel does not show who opts in, so ksmd goes on, 100 pages per 200 ms",
        knobs=Knobs(run=True, pages_to_scan=100, sleep_millisecs=200, smart_scan=smart),
        memory=replace(memory, planned_cores=100 * memory.cost_us / 200_000),
    )


def _begin(
    sample: KsmSample, phase: Phase, why: str, memory: KsmMemory, policy: KsmPolicy
) -> KsmGoal:
    memory = replace(
        memory,
        phase_since=sample.time,
        event_scans=sample.full_scans,
        event_saved=sample.saved_pages,
        event_cpu=sample.ksmd_cpu_seconds,
        pass_scans=sample.full_scans,
        pass_saved=sample.saved_pages,
        pass_cow=sample.cow_faults,
        pass_cpu=sample.ksmd_cpu_seconds,
        gain=None,
        gain_yield=None,
        thrash=False,
        routine=False,
        backoff=1 if phase == "burst" else memory.backoff,
        # What was learnt of merged pages does not hold for new ones.
        cost_us=max(memory.cost_us, cost.FIRST_US),
        **_as_settled(sample),
    )
    return _scan(sample, phase, why, memory, policy)


def _converged(sample: KsmSample, why: str, memory: KsmMemory) -> KsmGoal:
    memory = replace(
        memory,
        phase_since=sample.time,
        **_as_settled(sample),
    )
    return _rest(sample, why, memory)


def _as_settled(sample: KsmSample) -> dict[str, Any]:
    """The fields of KsmMemory that say who is here and known."""
    return {
        "settled_processes": sample.opted_in.processes,
        "settled_bytes": sample.opted_in.candidate_bytes or 0,
        "settled_unseen": sample.opted_in.unseen_bytes or 0,
        "settled_each": {member.pid: member.unseen_bytes for member in sample.opted_in.members},
    }


def _new_bytes(sample: KsmSample, memory: KsmMemory) -> int:
    if sample.opted_in.members:
        known = memory.settled_each
        return sum(
            max(member.unseen_bytes - known.get(member.pid, 0), 0)
            for member in sample.opted_in.members
        )
    return max((sample.opted_in.unseen_bytes or 0) - memory.settled_unseen, 0)


def _enough(sample: KsmSample, policy: KsmPolicy) -> int:
    return max(policy.burst_bytes, (sample.opted_in.candidate_bytes or 0) // 100)


def _nothing_to_scan(sample: KsmSample) -> bool:
    return sample.opted_in.processes == 0 and sample.pages_sharing == 0


def observe(sample: KsmSample, last: KsmGoal, why: str) -> KsmGoal:
    """Observe mode: only keeps the accounts."""
    memory = replace(_account(sample, last.memory), planned_cores=0.0)
    state = "running" if sample.run == 1 else "stopped"
    return KsmGoal(phase="watch", why=f"KSM is {state}; {why}", knobs=None, memory=memory)


def decide(
    sample: KsmSample, last: KsmGoal, policy: KsmPolicy, *, foreign: str | None = None
) -> KsmGoal:
    """The next goal. `foreign`: what somebody else has changed, in words; None: nothing.

    Start with START: whatever was missed while no agent ran is caught up by a pass.
    """
    memory = _account(sample, last.memory)
    if foreign is not None:
        return KsmGoal(
            phase="yield",
            why=f"{foreign}; the agent leaves KSM to them until it is put back or restarted",
            knobs=None,
            # Whatever was under way is not known to be finished.
            memory=replace(
                memory, planned_cores=0.0, settled_processes=None, settled_unseen=0, settled_each={}
            ),
        )
    reason = _guard(sample, last, policy)
    if reason is not None:
        return KsmGoal(
            phase="hold",
            why=reason,
            knobs=Knobs(run=False),
            memory=replace(
                memory, planned_cores=0.0, settled_processes=None, settled_unseen=0, settled_each={}
            ),
        )
    if last.phase in ("rest", "hold", "yield", "watch"):
        return _from_rest(sample, last, memory, policy)
    return _from_scanning(sample, last, memory, policy)


def _guard(sample: KsmSample, last: KsmGoal, policy: KsmPolicy) -> str | None:
    """Why ksmd must stand still now; None: it need not."""
    if sample.blind is not None:
        # Without processes and limits every number of a scan would be a guess.
        return "nobody tells which processes opted in and what their limits are: ksmd stands"
    if policy.uninvited_stop and sample.uninvited:
        count = sample.uninvited
        return f"{count} opted-in process{'' if count == 1 else 'es'} nobody expected: ksmd stands"
    ratio = sample.limit_ratio
    border = RELEASE_AT if last.phase == "hold" else HOLD_AT
    if policy.limit_guard and ratio is not None and ratio > border:
        near = sum(charge.worst_ratio > border for charge in sample.charges)
        return (
            f"{near} container{' is' if near == 1 else 's are'} close to the memory limit, counted "
            "with its merged pages: ksmd stands, or merging might get a kernel killed"
        )
    return None


def _from_rest(sample: KsmSample, last: KsmGoal, memory: KsmMemory, policy: KsmPolicy) -> KsmGoal:
    seen = sample.opted_in
    fresh = memory.settled_processes is None or last.phase != "rest"
    new = _new_bytes(sample, memory)
    if new >= _enough(sample, policy):
        who = f"{seen.processes} process{'' if seen.processes == 1 else 'es'}"
        if seen.workloads:
            who += f" in {seen.workloads} container{'' if seen.workloads == 1 else 's'}"
        return _begin(
            sample, "burst", f"{_mib(new)} of new memory opted in ({who})", memory, policy
        )
    # Freed memory shrinks what is unknown; keep the smaller, or growth after it would not be seen.
    memory = replace(
        memory,
        settled_unseen=min(memory.settled_unseen, seen.unseen_bytes or 0),
        settled_each={
            member.pid: min(memory.settled_each[member.pid], member.unseen_bytes)
            for member in seen.members
            if member.pid in memory.settled_each
        },
    )
    if _nothing_to_scan(sample):
        return _converged(sample, "no process has opted in", memory)
    if fresh:
        return _begin(sample, "verify", "a first pass to learn the present state", memory, policy)
    left = last.memory.settled_each.keys() > memory.settled_each.keys() or (
        seen.processes is not None and seen.processes < (memory.settled_processes or 0)
    )
    if left or (seen.candidate_bytes or 0) < 0.8 * memory.settled_bytes:
        return _begin(
            sample,
            "verify",
            "processes have left: a pass to bring the numbers up to date",
            memory,
            policy,
        )
    if sample.time - memory.phase_since >= policy.verify_interval * memory.backoff:
        why = "a pass now and then, for pages that have changed since"
        goal = _begin(sample, "verify", why, memory, policy)
        return replace(goal, memory=replace(goal.memory, routine=True))
    return _rest(sample, last.why.partition("; this kernel")[0], memory)


def _from_scanning(
    sample: KsmSample, last: KsmGoal, memory: KsmMemory, policy: KsmPolicy
) -> KsmGoal:
    new = _new_bytes(sample, memory)
    arrived = _arrived(sample, memory, policy)
    if last.phase == "verify" and new >= _enough(sample, policy):
        return _begin(sample, "burst", f"{_mib(new)} of new memory opted in", memory, policy)
    if last.phase in ("burst", "settle") and (arrived or new >= _enough(sample, policy)):
        total = _mib(sample.opted_in.candidate_bytes or 0)
        why = f"more memory is opting in, {total} by now"
        return _begin(sample, "burst", why, memory, policy)
    if sample.full_scans > memory.pass_scans:
        memory = _end_of_pass(sample, memory)
    passes = sample.full_scans - memory.event_scans
    small = memory.gain is not None and memory.gain < SMALL_GAIN
    saved = f"{_mib(sample.saved_bytes)} saved"
    if _nothing_to_scan(sample) and sample.time - memory.phase_since > policy.tick:
        return _converged(sample, "no process has opted in any more", memory)
    if last.phase == "verify":
        if passes >= VERIFY_PASSES:
            memory = replace(memory, backoff=_next_backoff(sample, memory, policy))
            return _converged(sample, f"all merged: {saved} after a check pass", memory)
        return _scan(sample, "verify", _stem(last.why), memory, policy)
    if passes < PASSES:
        return _scan(sample, "burst", _stem(last.why), memory, policy)
    profit = sample.general_profit
    if profit is not None and profit < 0:
        why = f"merging does not pay here: KSM's tables take {_mib(-profit)} more than it saves"
        return _converged(sample, why, replace(memory, backoff=MAX_BACKOFF))
    if memory.thrash:
        why = f"{saved}; the rest changes as fast as it is merged"
        return _converged(sample, why, replace(memory, backoff=min(2, MAX_BACKOFF)))
    poor = memory.gain_yield is not None and memory.gain_yield < policy.min_yield
    if small or passes >= MAX_SETTLE_PASSES or (poor and not _short_of_memory(sample)):
        why = f"all merged: {saved} after {passes} passes{_volatile(sample)}"
        return _converged(sample, why, memory)
    gain = f"the last pass still gained {memory.gain or 0:.1%}"
    if memory.gain_yield is not None:
        gain += f", {_mib(int(memory.gain_yield))} per second of ksmd"
    return _scan(sample, "settle", gain, memory, policy)


def _volatile(sample: KsmSample) -> str:
    """What ksmd met and did not consider, since it was written to between two passes."""
    amount = (sample.pages_volatile or 0) * sample.page_bytes
    if amount <= VOLATILE * (sample.opted_in.candidate_bytes or 0) or not amount:
        return ""
    return f"; {_mib(amount)} change too fast to be merged"


def _arrived(sample: KsmSample, memory: KsmMemory, policy: KsmPolicy) -> bool:
    """Whether a process came that is worth more passes.

    A kernel's children are opted in too; a notebook that calls a program every second must not
    keep ksmd awake.
    """
    members = sample.opted_in.members
    if not members:
        return (sample.opted_in.processes or 0) > (memory.settled_processes or 0)
    return any(
        member.pid not in memory.settled_each and member.private_bytes >= policy.burst_bytes // 4
        for member in members
    )


def _end_of_pass(sample: KsmSample, memory: KsmMemory) -> KsmMemory:
    """What the pass that just ended gained, and what for."""
    gained = sample.saved_pages - memory.pass_saved
    spent = None
    if sample.ksmd_cpu_seconds is not None and memory.pass_cpu is not None:
        spent = sample.ksmd_cpu_seconds - memory.pass_cpu
    copies = 0
    if sample.cow_faults is not None and memory.pass_cow is not None:
        copies = max(sample.cow_faults - memory.pass_cow, 0)
    merges = max(gained + copies, 1)
    return replace(
        memory,
        gain=gained / max(sample.saved_pages, 1),
        # Less than 20 ms tells nothing.
        gain_yield=gained * sample.page_bytes / spent if spent and spent > 0.02 else None,
        thrash=copies > THRASH_PAGES and copies > THRASH * merges,
        pass_scans=sample.full_scans,
        pass_saved=sample.saved_pages,
        pass_cow=sample.cow_faults,
        pass_cpu=sample.ksmd_cpu_seconds,
    )


def _next_backoff(sample: KsmSample, memory: KsmMemory, policy: KsmPolicy) -> int:
    """A check pass that was not worth its CPU doubles the rest before the next."""
    if not memory.routine:
        return memory.backoff
    gained = (sample.saved_pages - memory.event_saved) * sample.page_bytes
    spent = 0.0
    if sample.ksmd_cpu_seconds is not None and memory.event_cpu is not None:
        spent = sample.ksmd_cpu_seconds - memory.event_cpu
    if gained > policy.min_yield * spent and gained > 0:
        return 1
    return min(memory.backoff * 2, MAX_BACKOFF)


def _stem(why: str) -> str:
    """The reason without the rate of the last decision."""
    return why.partition(", at up to ")[0].partition("; waiting, ")[0]
