"""The extender protocol's JSON. Pure.

Types: k8s.io/kube-scheduler/extender/v1 (`ExtenderArgs`, `HostPriorityList`). Go writes their field
names as they are (`Pod`, `NodeNames`); schedulers before v1 wrote them in lower case (`pod`,
`nodenames`). Go reads either case, so the answer is written one way.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from nodeagent.gpu.publish.target import text_of

MOST_POINTS = 10
"""`extenderv1.MaxExtenderPriority`."""


class ProtocolError(ValueError):
    """The body is not what a scheduler sends; the text says what is wrong."""


@dataclass(frozen=True, kw_only=True)
class Args:
    """What was asked. `texts`: snapshots published on Node objects that came with the question."""

    pod: Mapping[str, Any]
    nodes: tuple[str, ...]
    texts: Mapping[str, str]


def read_args(body: bytes) -> Args:
    """The question. ProtocolError: not one."""
    try:
        raw = json.loads(body)
    except ValueError as err:
        raise ProtocolError(f"not JSON: {err}") from err
    fields = _lowered(raw, "the body")
    pod = fields.get("pod")
    if not isinstance(pod, dict):
        raise ProtocolError("no Pod in it")
    names = fields.get("nodenames")
    if names is not None:
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ProtocolError("NodeNames is not a list of names")
        return Args(pod=pod, nodes=tuple(names), texts={})
    nodes = fields.get("nodes")
    if nodes is None:
        raise ProtocolError("neither Nodes nor NodeNames in it")
    items = _lowered(nodes, "Nodes").get("items")
    if items is None:
        items = []
    if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
        raise ProtocolError("Nodes has no list of items")
    found: list[str] = []
    texts: dict[str, str] = {}
    for item in items:
        meta = item.get("metadata")
        name = meta.get("name") if isinstance(meta, dict) else None
        if not isinstance(name, str) or not name:
            raise ProtocolError("a node without a name")
        found.append(name)
        if (published := text_of(item)) is not None:
            texts[name] = published[1]
    return Args(pod=pod, nodes=tuple(found), texts=texts)


def write_scores(scores: Sequence[tuple[str, int]]) -> str:
    """`HostPriorityList`: 0 to MOST_POINTS for each node, in the order they were asked for."""
    return json.dumps([{"Host": node, "Score": score} for node, score in scores])


def _lowered(raw: Any, what: str) -> dict[str, Any]:
    if not isinstance(raw, dict):
        raise ProtocolError(f"{what} is not an object")
    return {str(name).lower(): value for name, value in raw.items()}
