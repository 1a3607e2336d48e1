"""What it means that nobody has used an application for a while. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from serverproxy.supervisor.spec import AppPolicy
from serverproxy.supervisor.state import AppState


@dataclass(frozen=True, kw_only=True)
class IdleVerdict:
    """state: READY or IDLE. stop: its timer has run out. look_again_s: next change, None: never."""

    state: AppState
    stop: bool
    look_again_s: float | None


def judge_idle(quiet_s: float, policy: AppPolicy) -> IdleVerdict:
    """Judge `quiet_s` seconds without activity; a time of the future counts as now."""
    quiet = max(0.0, quiet_s)
    limits = [policy.idle_shown_after_s]
    if policy.idle_after_s is not None:
        limits.append(policy.idle_after_s)
    ahead = [limit - quiet for limit in limits if limit > quiet]
    return IdleVerdict(
        state=AppState.IDLE if quiet >= policy.idle_shown_after_s else AppState.READY,
        stop=policy.idle_after_s is not None and quiet >= policy.idle_after_s,
        look_again_s=min(ahead) if ahead else None,
    )
