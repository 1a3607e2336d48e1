"""KubeSpawner: what a placement changes in a pod's manifest.

Without pinning, the node is preferred and the kubelet picks the GPU there. Pinned, the pod carries
the GPU's UUID, and so has to run on that node; a pod that asks the device plugin for a GPU is never
pinned, as the kubelet's own choice would win.
"""

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from hubext.devices import Devices
from nodeagent.gpu.canonical import ShapeError, build, encode
from nodeagent.gpu.fleet.advisor import Placement
from nodeagent.gpu.sharing.ledger import Reservation
from nodeagent.gpu.sharing.request import Request

DECISION = "samepage/gpu-decision"
RESERVATION = "samepage/gpu-reservation"
_NAME = "metadata.name"
_MOST_REASON = 300


def annotate(pod: Any, request: Request, placement: Placement, *, pinned: bool) -> None:
    """What was decided and on what grounds, for people and for the agents."""
    answer = placement.answer
    said = {
        "verdict": answer.verdict,
        "reason": answer.reason[:_MOST_REASON],
        "node": answer.node,
        "devices": list(answer.devices),
        "mode": answer.mode,
        "confidence": answer.confidence,
        "snapshot": answer.snapshot_id,
        "policy": answer.policy_id,
        "gpu_chosen_by": "samepage" if pinned else "kubelet",
    }
    notes = {DECISION: json.dumps(said, sort_keys=True)}
    if placement.reservations:
        notes[RESERVATION] = encode(list(placement.reservations))
    if request.memory_bytes is not None:
        notes["samepage/gpu-memory-bytes"] = str(request.memory_bytes)
    if request.want == "exclusive":
        notes["samepage/gpu-exclusive"] = "true"
    if request.work != "interactive":
        notes["samepage/gpu-work"] = request.work
    if pinned and answer.devices:
        notes["samepage/gpu-uuid"] = ",".join(answer.devices)
    pod.metadata.annotations = {**(pod.metadata.annotations or {}), **notes}


def asks_plugin(pod: Any) -> bool:
    """Whether a container asks NVIDIA's device plugin for GPUs."""
    for container in pod.spec.containers:
        resources = container.resources
        for asked in (resources.limits, resources.requests) if resources is not None else ():
            for name, count in (asked or {}).items():
                if name.startswith("nvidia.com/") and str(count) != "0":
                    return True
    return False


def prefer_node(pod: Any, node: str) -> None:
    """The scheduler tries it first, and takes another where it is full."""
    from kubernetes_asyncio.client import models

    term = models.V1PreferredSchedulingTerm(
        weight=100,
        preference=models.V1NodeSelectorTerm(match_fields=[_is_node(models, node)]),
    )
    affinity = _node_affinity(models, pod)
    others = affinity.preferred_during_scheduling_ignored_during_execution or []
    affinity.preferred_during_scheduling_ignored_during_execution = [*others, term]


def pin(pod: Any, given: Devices) -> None:
    """These devices, on their node."""
    from kubernetes_asyncio.client import models

    container = pod.spec.containers[0]
    mine = given.container_environment
    kept = [each for each in container.env or () if each.name not in mine]
    container.env = [
        *kept,
        *(models.V1EnvVar(name=name, value=value) for name, value in mine.items()),
    ]
    if given.node is None:
        return
    affinity = _node_affinity(models, pod)
    required = affinity.required_during_scheduling_ignored_during_execution
    terms = list(required.node_selector_terms) if required is not None else []
    # Terms are alternatives: the node has to hold in each of them.
    for term in terms or [models.V1NodeSelectorTerm()]:
        term.match_fields = [*(term.match_fields or ()), _is_node(models, given.node)]
        if term not in terms:
            terms.append(term)
    affinity.required_during_scheduling_ignored_during_execution = models.V1NodeSelector(
        node_selector_terms=terms
    )


def reservations_of(pods: Iterable[Mapping[str, Any]]) -> Iterator[Reservation]:
    """What a former hub process wrote on the pods that it made. What cannot be read is left out."""
    for pod in pods:
        meta = pod.get("metadata") or {}
        text = (meta.get("annotations") or {}).get(RESERVATION)
        key = f"{meta.get('namespace')}/{meta.get('name')}"
        if not isinstance(text, str):
            continue
        try:
            entries = [build(Reservation, raw) for raw in json.loads(text)]
        except (ShapeError, ValueError, TypeError):
            continue
        yield from (replace(entry, pod=key) for entry in entries if entry.pod == key)


def _is_node(models: Any, node: str) -> Any:
    return models.V1NodeSelectorRequirement(key=_NAME, operator="In", values=[node])


def _node_affinity(models: Any, pod: Any) -> Any:
    if pod.spec.affinity is None:
        pod.spec.affinity = models.V1Affinity()
    if pod.spec.affinity.node_affinity is None:
        pod.spec.affinity.node_affinity = models.V1NodeAffinity()
    return pod.spec.affinity.node_affinity
