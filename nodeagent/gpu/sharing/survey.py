"""From all GPUs judged to one answer in words. Pure."""

import heapq
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.gpu.sharing.fit import Claim
from nodeagent.gpu.sharing.gate import Confidence, Gate, lower
from nodeagent.gpu.sharing.ledger import Ledger, Reservation
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import UNKNOWN_CODES, Code, Rejection, gib
from nodeagent.gpu.sharing.request import Mode, Request
from nodeagent.gpu.sharing.score import memory_points, user_points
from nodeagent.gpu.sharing.standing import Card
from nodeagent.gpu.sharing.verdict import LIMITS, Candidate, Decision, Evidence, Points
from nodeagent.gpu.sharing.waiting import what_would_fit

_OTHERS = 3


@dataclass(frozen=True, kw_only=True)
class Survey:
    """What was found before the choice. Bytes, epoch seconds."""

    request: Request
    policy: Policy
    now: float
    need: int
    ledger: Ledger
    claims: Mapping[tuple[str, str], Claim]
    refused: Sequence[tuple[Rejection, Card]]
    """GPUs that may be given out and do not fit."""
    fitting: Sequence[tuple[float, Card]]
    rejected: Sequence[Rejection]
    node_notes: Mapping[str, Gate]
    nothing_judged: bool
    snapshot_id: str
    policy_id: str


def answer(survey: Survey) -> Decision:
    """Share, exclusive, wait or unknown."""
    if survey.fitting:
        return _placed(survey)
    if survey.nothing_judged:
        return _unknown(survey)
    return _wait(survey)


def _common(survey: Survey) -> dict[str, Any]:
    return {
        "pod": survey.request.pod,
        "need_bytes": survey.need,
        "rejected": tuple(survey.rejected),
        "snapshot_id": survey.snapshot_id,
        "policy_id": survey.policy_id,
        "ledger_version": survey.ledger.version,
    }


def _ranked(survey: Survey) -> list[tuple[float, Card]]:
    """Best first. A pod's own reservation comes before all, then its former GPU unless another is
    clearly better."""
    reserved = {
        (entry.node, entry.uuid) for entry in survey.ledger.of(survey.request.pod, survey.now)
    }
    keep = survey.policy.keep_previous_points
    previous = survey.request.previous

    def key(each: tuple[float, Card]) -> tuple[bool, float, str, str]:
        points, card = each
        bonus = keep if previous is not None and card.uuid == previous else 0.0
        mine = (card.node, card.uuid) in reserved
        return (not mine, -points - bonus, card.node, card.uuid)

    # Ranking thousands to show four would cost more than everything else.
    count = _OTHERS + 1 if survey.request.gpus == 1 else 1
    least = heapq.nlargest(count, (points for points, _ in survey.fitting))[-1]
    shortlist = [
        each
        for each in survey.fitting
        if each[0] >= least or each[1].uuid == previous or (each[1].node, each[1].uuid) in reserved
    ]
    ranked = sorted(shortlist, key=key)
    if survey.request.gpus == 1:
        return ranked
    # Several come from the node of the best one.
    home = ranked[0][1].node
    return sorted((each for each in survey.fitting if each[1].node == home), key=key)


def _placed(survey: Survey) -> Decision:
    request, policy = survey.request, survey.policy
    ranked = _ranked(survey)
    first = ranked[0][1]
    same_node = [card for _, card in ranked if card.node == first.node]
    chosen = same_node[: request.gpus]
    mode: Mode = "exclusive" if request.want == "exclusive" else first.mode
    alone = request.want == "exclusive"
    confidence: Confidence = "high"
    notes: list[str] = []
    for card in chosen:
        confidence = lower(confidence, card.confidence)
        notes += card.notes
    if (gate := survey.node_notes.get(first.node)) is not None:
        confidence = lower(confidence, gate.confidence)
        notes += gate.notes
    claim = survey.claims.get((first.node, first.uuid))
    claimed = claim.memory_bytes if claim is not None else 0
    parts = (
        Points(name="load and clients", points=first.base_score),
        Points(
            name="memory",
            points=memory_points(request, first, first.free - survey.need - claimed, policy),
        ),
        Points(name="same user", points=user_points(request, first, policy)),
    )
    total = first.room.total
    return Decision(
        verdict="exclusive" if alone else "share",
        reason=_placed_text(survey, chosen, first, claimed),
        node=first.node,
        devices=tuple(card.uuid for card in chosen),
        mode=mode,
        limits=LIMITS[mode],
        score=parts,
        others=tuple(
            Candidate(node=card.node, uuid=card.uuid, points=points)
            for points, card in [each for each in ranked if each[1] not in chosen][:_OTHERS]
        ),
        evidence=tuple(evidence for card in chosen for evidence in evidence_of(card)),
        notes=tuple(dict.fromkeys(notes)),
        promised_share=first.room.promised_share + (survey.need + claimed) / total,
        confidence=confidence,
        reservations=tuple(
            Reservation(
                pod=request.pod,
                user=request.user,
                node=card.node,
                uuid=card.uuid,
                memory_bytes=survey.need,
                mode=mode,
                expires=survey.now + policy.reservation_seconds,
            )
            for card in chosen
        ),
        **_common(survey),
    )


def _placed_text(survey: Survey, chosen: Sequence[Card], first: Card, claimed: int) -> str:
    names = ", ".join(card.uuid for card in chosen)
    if survey.request.want == "exclusive":
        return f"{names} of {first.node}: nobody else is on it."
    free = gib(first.free - claimed)
    if not first.clients:
        return f"{names} of {first.node}: empty, {free} free for {gib(survey.need)}."
    others = "one other" if first.clients == 1 else f"{first.clients} others"
    busy = "load unknown" if first.load.busy is None else f"{first.load.busy:.0%} busy"
    return f"{names} of {first.node}: with {others}, {busy}, {free} free for {gib(survey.need)}."


def _unknown(survey: Survey) -> Decision:
    policy = survey.policy
    causes = Counter(each.text for each in survey.rejected if each.code in UNKNOWN_CODES)
    why = "; ".join(text for text, _ in sorted(causes.items(), key=lambda each: (-each[1], each)))
    then = (
        "the hub's own choice, by allocation only, stands"
        if policy.fallback == "allocation_only"
        else "nothing is given out"
    )
    return Decision(
        verdict="unknown",
        reason=f"No GPU could be judged ({why or 'no node was asked'}): {then}.",
        fallback=policy.fallback,
        confidence="low",
        **_common(survey),
    )


def _wait(survey: Survey) -> Decision:
    hints = what_would_fit(survey.refused)
    counted = Counter(code for _, _, code, _, _, _ in survey.rejected)
    unknown = sum(count for code, count in counted.items() if code in UNKNOWN_CODES)
    seconds = hints[0].seconds if hints else None
    if hints:
        reason = f"Full: {hints[0].text} would do."
    elif survey.rejected:
        reason = f"Waiting does not help by itself: {_causes(survey, counted)}."
    else:
        reason = "None of the nodes has a GPU."
    if unknown:
        reason += f" {unknown} could not be judged."
    return Decision(
        verdict="wait",
        reason=reason,
        wait_seconds=seconds,
        would_fit=hints,
        confidence="medium" if unknown else "high",
        **_common(survey),
    )


def _causes(survey: Survey, counted: Mapping[Code, int]) -> str:
    """The three most frequent reasons."""
    common = sorted(counted, key=lambda code: (-counted[code], code))[:3]
    return "; ".join(
        f"no GPU has {gib(survey.need)} of memory"
        if code == "memory"
        else next(each.text for each in survey.rejected if each.code == code)
        for code in common
    )


def evidence_of(card: Card) -> tuple[Evidence, ...]:
    """The facts a placement rests on, as they were read."""
    facts = card.facts
    named = (
        ("memory total", facts.memory_total_bytes),
        ("memory free", facts.memory_free_bytes),
        ("memory reserved", facts.memory_reserved_bytes),
        ("busy, 90th percentile of 15 min", facts.busy_p90_15m),
        ("compute mode", facts.compute_mode),
        ("MPS", facts.mps_state),
        ("health", facts.health.state),
    )
    found = [Evidence(name=f"{card.uuid}: {name}", reading=each.text()) for name, each in named]
    listed = facts.processes.known
    processes = facts.processes.text() if listed is None else f"{len(listed)} listed"
    found.append(Evidence(name=f"{card.uuid}: processes", reading=processes))
    found.append(Evidence(name=f"{card.uuid}: free for newcomers", reading=gib(card.free)))
    return tuple(found)
