"""How well each node suits a request: for who ranks nodes and leaves the choice to others. Pure."""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.sharing.rejection import UNKNOWN_CODES
from nodeagent.gpu.sharing.survey import Survey

State = Literal["fits", "unknown", "full"]


@dataclass(frozen=True, kw_only=True, slots=True)
class NodeRank:
    """`points`: 0 to 100 of its best GPU, where one fits. `uuid`: that GPU."""

    state: State
    points: float = 0.0
    uuid: str | None = None


def rank_nodes(found: Survey) -> dict[str, NodeRank]:
    """Each node that was asked about. A node of which no GPU could be judged is unknown, not full;
    one with a full GPU and one that could not be judged is full: nothing speaks for it."""
    best: dict[str, tuple[float, str]] = {}
    for points, card in found.fitting:
        held = best.get(card.node)
        if held is None or points > held[0] or (points == held[0] and card.uuid < held[1]):
            best[card.node] = (points, card.uuid)
    ranks = {
        node: NodeRank(state="fits", points=points, uuid=uuid)
        for node, (points, uuid) in best.items()
    }
    judged = {each.node for each in found.rejected if each.code not in UNKNOWN_CODES}
    for each in found.rejected:
        if each.node not in ranks:
            state: State = "full" if each.node in judged else "unknown"
            ranks[each.node] = NodeRank(state=state)
    return ranks
