"""From a finding to what is said to whom: notice, warning, the admin's list. Pure.

Nothing is ended. The owner sees the same evidence as the admin; nobody sees another student's.
"""

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal

from nodeagent.gpu.flags.idle import HoldKind, IdleState, Usage
from nodeagent.gpu.flags.miner import MinerFinding

Stage = Literal["none", "notice", "warning", "admin"]

_DOES: dict[HoldKind, str] = {
    "context_holder": "without work on it",
    "keep_alive": "with next to no work on it",
    "preallocation": "without work on it; frameworks take most of the memory at their start",
    "zombie": "although its process has ended",
    "bypass": "without an allocation and without work on it",
}
_RUN: dict[HoldKind, str] = {
    "context_holder": "del model; torch.cuda.empty_cache(), or shut the kernel down",
    "keep_alive": "shut the kernel down when its result is saved",
    "preallocation": "shut the kernel down; XLA_PYTHON_CLIENT_PREALLOCATE=false for the next one",
    "zombie": "restart the server: nothing in the notebook can free it",
    "bypass": "shut the kernel down and start a server with a GPU",
}


@dataclass(frozen=True, kw_only=True)
class LadderRules:
    """Seconds of hoarding time; `exempt`: shell patterns of owners and users."""

    notice_seconds: float = 1800.0
    warning_seconds: float = 3600.0
    admin_seconds: float = 7200.0
    running_cell_grace_seconds: float = 3600.0
    """Later by this while a cell runs: it may come back to the GPU."""
    exempt: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Snooze:
    """Until when (epoch seconds) an owner is left alone, and by whose word."""

    owner: str
    until: float
    by: str


@dataclass(frozen=True, kw_only=True)
class Flag:
    """`text`: what is held and for how long; `command`: what frees it."""

    owner: str
    stage: Stage
    what: Literal["idle", "miner"]
    text: str
    command: str | None = None
    evidence: tuple[str, ...] = ()
    quiet_because: str | None = None
    """Why the stage is none although there is a finding."""


def idle_flag(
    owner: str,
    user: str | None,
    state: IdleState,
    usage: Usage,
    kind: HoldKind,
    *,
    cell_running: bool | None,
    snoozes: tuple[Snooze, ...],
    now: float,
    rules: LadderRules,
) -> Flag | None:
    """None: nothing is held idle."""
    held = usage.memory_bytes.known
    if state.phase != "hoarding" or held is None:
        return None
    grace = rules.running_cell_grace_seconds if cell_running else 0.0
    stage: Stage = "none"
    steps: tuple[tuple[Stage, float], ...] = (
        ("notice", rules.notice_seconds),
        ("warning", rules.warning_seconds),
        ("admin", rules.admin_seconds),
    )
    for name, after in steps:
        if state.idle_seconds >= after + grace:
            stage = name
    quiet = _quiet(owner, user, snoozes, now, rules)
    if quiet is None and stage == "none":
        quiet = "a cell is running" if grace else "not for long enough"
    return Flag(
        owner=owner,
        stage="none" if quiet else stage,
        what="idle",
        text=f"{held / 2**30:.1f} GiB held for {_time(state.idle_seconds)} {_DOES[kind]}",
        command=_RUN[kind],
        evidence=(
            f"memory {usage.memory_bytes.text()}",
            f"duty of 5 min {usage.duty_5m.text()}",
            f"mean SM share {usage.mean_sm.text()}",
        ),
        quiet_because=quiet,
    )


def miner_flag(
    owner: str,
    user: str | None,
    finding: MinerFinding,
    *,
    snoozes: tuple[Snooze, ...],
    now: float,
    rules: LadderRules,
) -> Flag | None:
    """For the admin at once. None: not flagged."""
    if finding.verdict != "flagged":
        return None
    quiet = _quiet(owner, user, snoozes, now, rules)
    return Flag(
        owner=owner,
        stage="none" if quiet else "admin",
        what="miner",
        text="a load that looks like mining; look before you act",
        evidence=finding.signs,
        quiet_because=quiet,
    )


def _quiet(
    owner: str, user: str | None, snoozes: tuple[Snooze, ...], now: float, rules: LadderRules
) -> str | None:
    for pattern in rules.exempt:
        if fnmatchcase(owner, pattern) or (user is not None and fnmatchcase(user, pattern)):
            return f"exempt ({pattern})"
    for snooze in snoozes:
        if snooze.owner == owner and now < snooze.until:
            return f"snoozed by {snooze.by}"
    return None


def _time(seconds: float) -> str:
    minutes = int(seconds // 60)
    return f"{minutes} min" if minutes < 120 else f"{minutes // 60} h"
