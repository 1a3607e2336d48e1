"""From ranks to the extender's points. Pure.

A node with room for the pod has at least 4 of 10 points, one of which nothing is known 2, a full
one 0: what is unknown is worth a try before what is known to be full. Where nothing is known of any
node all have the same, and the extender changes nothing.
"""

from collections.abc import Iterable, Mapping

from nodeagent.gpu.extender.protocol import MOST_POINTS
from nodeagent.gpu.sharing.nodes import NodeRank

_FITS = 4
_UNKNOWN = 2


def points(nodes: Iterable[str], ranks: Mapping[str, NodeRank]) -> list[tuple[str, int]]:
    """One score for each node asked for, in that order; nodes without a rank are unknown."""
    return [(node, _points(ranks.get(node))) for node in nodes]


def _points(rank: NodeRank | None) -> int:
    if rank is None or rank.state == "unknown":
        return _UNKNOWN
    if rank.state == "full":
        return 0
    share = min(1.0, max(0.0, rank.points / 100))
    return _FITS + round((MOST_POINTS - _FITS) * share)
