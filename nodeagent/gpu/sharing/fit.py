"""Does one request fit one GPU: None, or why not. Pure."""

from dataclasses import dataclass

from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import Rejection
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.standing import Card


@dataclass(kw_only=True, slots=True)
class Claim:
    """What reservations of other pods take on one GPU."""

    memory_bytes: int = 0
    clients: int = 0
    private: bool = False


def need_bytes(request: Request, policy: Policy) -> int:
    """With CUDA's context. A usual peak was measured with it."""
    if request.memory_bytes is not None:
        return request.memory_bytes + policy.context_bytes
    if request.usual_peak_bytes is not None:
        return max(request.usual_peak_bytes, policy.context_bytes)
    return policy.default_memory_bytes + policy.context_bytes


def misfit(
    request: Request, need: int, card: Card, claim: Claim | None, policy: Policy
) -> Rejection | None:
    """Why the request does not go on this GPU; None: it fits."""
    free, clients = card.free, card.clients
    private, reserved = card.private, False
    if claim is not None:
        free -= claim.memory_bytes
        clients += claim.clients
        private, reserved = private or claim.private, claim.clients > 0
    instance = card.mode == "mig"
    if request.want == "exclusive" and instance:
        return Rejection(card.node, card.uuid, "kind")
    if request.want == "mig":
        if not instance:
            return Rejection(card.node, card.uuid, "kind")
        if request.mig_profile not in (None, card.facts.profile):
            return Rejection(
                card.node, card.uuid, "mig_profile", detail=card.facts.profile or "not known"
            )
    if private:
        return Rejection(card.node, card.uuid, "taken")
    if request.want != "share":
        # Alone is a promise: a GPU whose users are not known cannot give it.
        if card.occupied:
            return card.in_use
        if reserved:
            return Rejection(card.node, card.uuid, "in_use", detail="reserved")
        if not card.occupants_known:
            return Rejection(card.node, card.uuid, "occupants_unknown")
    elif card.single_process:
        return Rejection(card.node, card.uuid, "exclusive_process")
    if free < need:
        return Rejection(card.node, card.uuid, "memory", free if free > 0 else 0, need)
    if clients >= card.cap:
        return Rejection(card.node, card.uuid, "clients", clients, card.cap)
    if (
        card.mode == "mps"
        and request.want == "share"
        and not policy.mps_mixed_users
        and any(user is None or user != request.user for user in card.users)
    ):
        return Rejection(card.node, card.uuid, "mps_other_users")
    return None
