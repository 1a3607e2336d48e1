"""What a pod asks of GPUs, from its manifest. Pure.

Resources: `nvidia.com/gpu` and `nvidia.com/gpu.shared` (NVIDIA's device plugin), `nvidia.com/mig-*`
(a MIG profile). Annotations, as the hub's hook and the agents know them: `samepage/gpu-exclusive`,
`samepage/gpu-memory-bytes` (a number or 6Gi), `samepage/gpu-usual-peak-bytes`, `samepage/gpu-work`.
"""

from collections.abc import Mapping
from typing import Any

from nodeagent.gpu.fleet.quantity import parse_bytes
from nodeagent.gpu.sharing.request import Request, Want, Work

MEMORY = "samepage/gpu-memory-bytes"
USUAL_PEAK = "samepage/gpu-usual-peak-bytes"
EXCLUSIVE = "samepage/gpu-exclusive"
WORK = "samepage/gpu-work"
USERNAME = "hub.jupyter.org/username"

_WHOLE = ("nvidia.com/gpu", "nvidia.com/gpu.shared")
_MIG = "nvidia.com/mig-"
_WORKS: tuple[Work, ...] = ("interactive", "batch", "exam")


def request_of(pod: Mapping[str, Any]) -> Request | None:
    """Its request; None: it asks for no GPU. An annotation that cannot be read counts as absent:
    a typing error in it must not decide where a pod runs."""
    meta = _mapping(pod.get("metadata"))
    notes = {**_mapping(meta.get("labels")), **_mapping(meta.get("annotations"))}
    whole, profile = _asked(_mapping(pod.get("spec")))
    exclusive = str(notes.get(EXCLUSIVE, "")).lower() == "true" or whole > 1
    if not whole and profile is None:
        return None
    want: Want = "mig" if profile is not None else "exclusive" if exclusive else "share"
    work = notes.get(WORK)
    name = meta.get("name") or meta.get("generateName") or meta.get("uid") or "unnamed"
    return Request(
        pod=f"{meta.get('namespace') or 'default'}/{name}",
        user=_text(notes.get(USERNAME)),
        work=work if work in _WORKS else "interactive",
        want=want,
        memory_bytes=_size(notes.get(MEMORY)),
        usual_peak_bytes=_size(notes.get(USUAL_PEAK)),
        gpus=max(1, whole) if want == "exclusive" else 1,
        mig_profile=profile,
    )


def _asked(spec: Mapping[str, Any]) -> tuple[int, str | None]:
    """GPUs of all containers together, and the first MIG profile."""
    whole, profile = 0, None
    for container in _list(spec.get("containers")):
        resources = _mapping(container.get("resources"))
        asked = {**_mapping(resources.get("requests")), **_mapping(resources.get("limits"))}
        for name, value in sorted(asked.items()):
            count = _count(value)
            if name in _WHOLE:
                whole += count
            elif name.startswith(_MIG) and count and profile is None:
                profile = name.removeprefix(_MIG).removesuffix(".shared")
    return whole, profile


def _count(value: object) -> int:
    try:
        return max(0, int(str(value)))
    except ValueError:
        return 0


def _size(value: object) -> int | None:
    try:
        return None if value is None else parse_bytes(str(value))
    except ValueError:
        return None


def _text(value: object) -> str | None:
    return str(value) if value else None


def _mapping(value: object) -> Mapping[str, Any]:
    return value if isinstance(value, dict) else {}


def _list(value: object) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []
