"""What would make room, and when. Pure."""

import heapq
from collections.abc import Iterable

from nodeagent.gpu.sharing.rejection import Rejection, gib
from nodeagent.gpu.sharing.standing import Card
from nodeagent.gpu.sharing.verdict import WouldFit

_CLOSEST = 3
_WAITABLE = frozenset({"memory", "clients", "in_use", "taken"})


def what_would_fit(
    refused: Iterable[tuple[Rejection, Card]],
) -> tuple[WouldFit, ...]:
    """The closest GPUs: soonest first where that is known, then least missing. At most three."""
    found: list[tuple[bool, float, int, str, str, Rejection, Card]] = []
    for each, card in refused:
        node, _, code, have, need, _ = each
        if code not in _WAITABLE:
            continue
        missing = 0
        if code == "memory" and have is not None and need is not None:
            if need > card.room.total:
                continue
            missing = need - have
        seconds = _when(each, card, missing)
        found.append((seconds is None, seconds or 0.0, missing, node, card.uuid, each, card))
    return tuple(
        _hint(each, card, missing, None if never else seconds)
        for never, seconds, missing, _, _, each, card in heapq.nsmallest(_CLOSEST, found)
    )


def _hint(each: Rejection, card: Card, missing: int, seconds: float | None) -> WouldFit:
    if each.code == "memory":
        text = f"{gib(missing)} more free on {card.uuid} of {card.node}"
    elif each.code == "clients":
        text = f"one client less on {card.uuid} of {card.node}"
    else:
        text = f"{card.uuid} of {card.node} without its other users"
    if seconds is not None:
        text += f", in about {max(1, round(seconds / 60))} min"
    return WouldFit(
        node=card.node, uuid=card.uuid, text=text, missing_bytes=missing, seconds=seconds
    )


def _when(each: Rejection, card: Card, missing: int) -> float | None:
    """When known ends of tenants make the room; None: they are not known or do not suffice."""
    if each.code == "clients":
        return card.ends[0][0] if card.ends else None
    if each.code != "memory":
        alone = card.occupants_known and len(card.ends) == card.clients and card.clients > 0
        return card.ends[-1][0] if alone else None
    for seconds, size in card.ends:
        missing -= size
        if missing <= 0:
            return seconds
    return None
