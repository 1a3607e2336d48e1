"""Bounds set by the operator. Starting values chosen by reasoning, to be checked by replay."""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.canonical import digest

MIB = 2**20
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Policy:
    """Bytes, seconds, shares of 1, points of 100."""

    context_bytes: int = 400 * MIB
    """CUDA's context, on top of what a newcomer asks for."""
    default_memory_bytes: int = 4 * GIB
    """Needed by a newcomer of whom nothing is known."""
    headroom_share: float = 0.03
    headroom_bytes: int = 512 * MIB
    """Kept free: the larger of both."""
    commitment: Literal["strict", "opportunistic"] = "strict"
    """strict: what tenants asked for or peaked at is theirs; opportunistic: only what they peaked
    at, and the answer says by how much the GPU is promised twice."""
    wakers: int = 1
    """Idle tenants below their usual peak that may wake at once without running out of memory."""
    young_seconds: float = 900.0
    """A younger tenant counts its usual peak: it has not loaded its model yet."""
    peak_half_life_seconds: float = 3600.0
    time_slicing_clients: int = 8
    mps_clients: int = 48
    """60 from CUDA 13.1 (driver 590) on."""
    mps_mixed_users: bool = False
    """Share an MPS server between users: one's fatal fault ends all clients."""
    shares_per_user: int | None = 4
    unified_reserve_share: float = 0.10
    """Of the host's memory, kept for the host where the GPU uses it."""
    stale_ticks: float = 3.0
    clock_skew_seconds: float = 60.0
    xid_window_seconds: float = 3600.0
    active_duty: float = 0.05
    spread_load: float = 0.40
    """Busier than this: no longer packed."""
    weight_memory: float = 40.0
    weight_load: float = 30.0
    weight_clients: float = 20.0
    weight_same_user: float = 10.0
    keep_previous_points: float = 10.0
    reservation_seconds: float = 120.0
    fallback: Literal["allocation_only", "deny"] = "allocation_only"
    """What a consumer does when nothing is known: its own default, or nothing."""

    def __post_init__(self) -> None:
        shares = (self.headroom_share, self.unified_reserve_share, self.active_duty)
        if any(not 0 <= share <= 1 for share in (*shares, self.spread_load)):
            raise ValueError("A share in the policy is not between 0 and 1")
        counts = (self.time_slicing_clients, self.mps_clients, self.reservation_seconds)
        if any(count <= 0 for count in (*counts, self.stale_ticks, self.peak_half_life_seconds)):
            raise ValueError("A limit in the policy is not above 0")
        weights = (self.weight_memory, self.weight_load, self.weight_clients)
        sizes = (self.context_bytes, self.default_memory_bytes, self.headroom_bytes, self.wakers)
        if any(number < 0 for number in (*weights, self.weight_same_user, *sizes)):
            raise ValueError("A weight or size in the policy is below 0")


def policy_id(policy: Policy) -> str:
    """32 hex digits, the same for the same policy."""
    return digest(policy)
