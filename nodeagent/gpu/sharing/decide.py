"""Where a notebook's GPU work goes. Pure: facts, policy, reservations and the time in, answer out.

gate -> memory -> fit -> load -> score -> verdict. Each GPU that is not taken has its reason. Facts
that are not known never become a yes: a GPU of unknown memory or of unknown users (for somebody who
wants to be alone) is left out, one of unknown load is neutral and lowers the confidence.
"""

from collections import Counter
from collections.abc import Iterable, Sequence

from nodeagent.gpu.canonical import digest
from nodeagent.gpu.sharing.fit import Claim, misfit, need_bytes
from nodeagent.gpu.sharing.gate import age_gate
from nodeagent.gpu.sharing.ledger import Ledger
from nodeagent.gpu.sharing.policy import Policy, policy_id
from nodeagent.gpu.sharing.rejection import UNKNOWN_CODES, Rejection
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.sharing.score import score
from nodeagent.gpu.sharing.standing import Card, Standing, stand
from nodeagent.gpu.sharing.survey import Survey, answer
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.gpu.snapshot import Snapshot


def decide(
    request: Request,
    snapshots: Iterable[Snapshot],
    policy: Policy,
    now: float,
    ledger: Ledger | None = None,
) -> Decision:
    """The answer to one request. `now`: epoch seconds, as in the snapshots."""
    standings = [stand(snapshot, policy) for snapshot in snapshots]
    return decide_over(request, standings, policy, now, ledger or Ledger())


def decide_over(
    request: Request, standings: Iterable[Standing], policy: Policy, now: float, ledger: Ledger
) -> Decision:
    """`decide` for callers that keep what `stand` found until a node's next snapshot."""
    return answer(survey(request, standings, policy, now, ledger))


def survey(
    request: Request, standings: Iterable[Standing], policy: Policy, now: float, ledger: Ledger
) -> Survey:
    """Every GPU judged for the request, before one is chosen."""
    nodes = _newest(standings)
    need = need_bytes(request, policy)
    claims = _claims(request, nodes, ledger, now)
    limited = _over_limit(request, nodes, policy, ledger, now)
    rejected: list[Rejection] = []
    fitting: list[tuple[float, Card]] = []
    refused: list[tuple[Rejection, Card]] = []
    judged = 0
    node_notes = {}
    for node in nodes:
        name = node.snapshot.node
        gate = age_gate(node.snapshot, now, policy) or node.gate
        if gate.code is not None:
            rejected.append(Rejection(name, None, gate.code, detail=gate.detail))
            continue
        if gate.notes:
            node_notes[name] = gate
        rejected += node.rejected
        judged += len(node.cards)
        for card in node.cards:
            claim = claims.get((name, card.uuid)) if claims else None
            if limited is not None:
                rejected.append(Rejection(name, card.uuid, "user_limit", limited, limited))
                continue
            reason = misfit(request, need, card, claim, policy)
            if reason is not None:
                rejected.append(reason)
                refused.append((reason, card))
                continue
            left = card.free - need - (claim.memory_bytes if claim else 0)
            fitting.append((score(request, card, left, policy), card))
    if request.gpus > 1:
        fitting, short = _together(fitting, request.gpus)
        rejected += short
    return Survey(
        request=request,
        policy=policy,
        now=now,
        need=need,
        ledger=ledger,
        claims=claims,
        refused=refused,
        fitting=fitting,
        rejected=rejected,
        node_notes=node_notes,
        nothing_judged=not judged and (not nodes or _any_unknown(rejected)),
        snapshot_id=digest([node.snapshot_id for node in nodes]),
        policy_id=policy_id(policy),
    )


def _newest(standings: Iterable[Standing]) -> list[Standing]:
    """One per node, by name; of two snapshots of a node the later."""
    by_node: dict[str, Standing] = {}
    for each in standings:
        kept = by_node.get(each.snapshot.node)
        if kept is None or (each.snapshot.taken, each.snapshot_id) > (
            kept.snapshot.taken,
            kept.snapshot_id,
        ):
            by_node[each.snapshot.node] = each
    return [by_node[name] for name in sorted(by_node)]


def _claims(
    request: Request, nodes: Sequence[Standing], ledger: Ledger, now: float
) -> dict[tuple[str, str], Claim]:
    """What other pods reserved and do not hold yet."""
    live = [entry for entry in ledger.live(now) if entry.pod != request.pod]
    if not live:
        return {}
    wanted = {(entry.node, entry.uuid) for entry in live}
    cards = {
        (card.node, card.uuid): card
        for node in nodes
        for card in node.cards
        if (card.node, card.uuid) in wanted
    }
    claims: dict[tuple[str, str], Claim] = {}
    for entry in live:
        card = cards.get((entry.node, entry.uuid))
        claim = claims.setdefault((entry.node, entry.uuid), Claim())
        held = card.room.committed.get(entry.pod) if card is not None else None
        # Once its container is seen there, only what it has not taken yet is still to come.
        claim.memory_bytes += max(0, entry.memory_bytes - (held or 0))
        claim.clients += held is None
        claim.private = claim.private or entry.mode == "exclusive"
    return claims


def _over_limit(
    request: Request, nodes: Sequence[Standing], policy: Policy, ledger: Ledger, now: float
) -> int | None:
    """The user's shares where there are as many as allowed, else None."""
    if policy.shares_per_user is None or request.user is None:
        return None
    held = Counter({request.user: 0})
    for node in nodes:
        held[request.user] += node.shares.get(request.user, 0)
    owners = {
        tenant.owner
        for node in nodes
        if request.user in node.shares
        for gpu in node.snapshot.gpus
        for tenant in gpu.tenants
    }
    if request.pod in owners:
        held[request.user] -= 1
    held[request.user] += sum(
        entry.user == request.user and entry.pod != request.pod and entry.pod not in owners
        for entry in ledger.live(now)
    )
    return held[request.user] if held[request.user] >= policy.shares_per_user else None


def _together(
    fitting: list[tuple[float, Card]], gpus: int
) -> tuple[list[tuple[float, Card]], list[Rejection]]:
    """Only GPUs of nodes that have enough of them."""
    per_node = Counter(card.node for _, card in fitting)
    short = [
        Rejection(card.node, card.uuid, "too_few", per_node[card.node], gpus)
        for _, card in fitting
        if per_node[card.node] < gpus
    ]
    return [each for each in fitting if per_node[each[1].node] >= gpus], short


def _any_unknown(rejected: Iterable[Rejection]) -> bool:
    return any(each.code in UNKNOWN_CODES for each in rejected)
