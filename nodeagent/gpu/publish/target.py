"""Where a node's text is kept in the cluster, and how it is written and found there. Pure.

`lease`: a Lease per node in a namespace of ours. The agent needs no right on nodes, whoever may not
read that namespace sees nothing, and deleting the node deletes it where its owner is known.
`node`: an annotation of the Node itself. A right to patch nodes is a right to cordon them, and
everybody who may read nodes reads it; for clusters whose scheduler extender gets Node objects.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Literal
from urllib.parse import quote

from nodeagent.kube.api import APPLY, MERGE

Kind = Literal["lease", "node"]

ANNOTATION = "samepage/gpu-snapshot"
LABEL = "samepage/gpu-snapshot"
FIELD_MANAGER = "samepage-agent"
_LEASES = "/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases"


@dataclass(frozen=True, kw_only=True)
class Change:
    """One PATCH."""

    path: str
    media_type: str
    query: Mapping[str, str]
    body: Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Listing:
    """Where all nodes' texts are."""

    path: str
    query: Mapping[str, str]


def lease_name(node: str) -> str:
    """The name of a node's Lease."""
    return f"samepage-gpu-{node}"


def write(
    kind: Kind, node: str, text: str, *, namespace: str, taken: float, holds_seconds: float
) -> Change:
    """The request that keeps `text` for the node. `taken`: epoch seconds; it holds so long."""
    if kind == "node":
        return Change(
            path=f"/api/v1/nodes/{quote(node)}",
            media_type=MERGE,
            query={"fieldManager": FIELD_MANAGER},
            body={"metadata": {"annotations": {ANNOTATION: text}}},
        )
    name = lease_name(node)
    return Change(
        path=f"{_LEASES.format(namespace=quote(namespace))}/{quote(name)}",
        media_type=APPLY,
        # Another manager of these fields would be an agent of this node in another version.
        query={"fieldManager": FIELD_MANAGER, "force": "true"},
        body={
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {
                "name": name,
                "namespace": namespace,
                "labels": {LABEL: "published"},
                "annotations": {ANNOTATION: text},
            },
            "spec": {
                "holderIdentity": node,
                "leaseDurationSeconds": max(1, round(holds_seconds)),
                "renewTime": datetime.fromtimestamp(taken, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            },
        },
    )


def listing(kind: Kind, *, namespace: str) -> Listing:
    """The request that finds the texts of all nodes."""
    if kind == "node":
        return Listing(path="/api/v1/nodes", query={})
    return Listing(
        path=_LEASES.format(namespace=quote(namespace)),
        query={"labelSelector": f"{LABEL}=published"},
    )


def text_of(item: Mapping[str, Any]) -> tuple[str, str] | None:
    """(object's name, text) of a Node or Lease; None: nothing is published there."""
    meta = item.get("metadata") or item.get("Metadata") or {}
    text = (meta.get("annotations") or {}).get(ANNOTATION)
    return (str(meta.get("name", "")), text) if isinstance(text, str) and text else None
