"""Pods of this node as the Kubernetes API tells them. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

_HASH = re.compile(r"[0-9a-f]{32}")

PREFIX = "samepage/"
"""Of the annotations that a hub's hook puts on its pods, and an operator on nodes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pod:
    """`uids`: the API's, and for a static pod also its config hash, which its cgroup is named by.
    `containers`: ids of 64 hex digits."""

    namespace: str
    name: str
    uids: tuple[str, ...]
    containers: tuple[str, ...]
    user: str | None
    finished: bool
    started: str | None
    annotations: Mapping[str, str]

    @property
    def key(self) -> str:
        """As in Tenant.owner."""
        return f"{self.namespace}/{self.name}"


def parse_pod(raw: Any) -> Pod:
    """From the API's JSON."""
    meta, status = raw.get("metadata", {}), raw.get("status", {})
    annotations = dict(meta.get("annotations") or {})
    labels = meta.get("labels") or {}
    listed = [
        *(status.get("containerStatuses") or []),
        *(status.get("initContainerStatuses") or []),
        *(status.get("ephemeralContainerStatuses") or []),
    ]
    user = annotations.get("hub.jupyter.org/username")
    if user is None and (label := labels.get("hub.jupyter.org/username")) is not None:
        user = unescape(label)
    hashed = str(annotations.get("kubernetes.io/config.hash", ""))
    if not _HASH.fullmatch(hashed):
        # Whoever makes a pod writes its annotations: the UID of a neighbour's pod is no hash.
        hashed = ""
    return Pod(
        namespace=str(meta.get("namespace", "")),
        name=str(meta.get("name", "")),
        uids=tuple(str(each) for each in (meta.get("uid"), hashed) if each),
        containers=tuple(
            str(each["containerID"]).rpartition("//")[2]
            for each in listed
            if each.get("containerID")
        ),
        user=user,
        finished=status.get("phase") in ("Succeeded", "Failed"),
        started=status.get("startTime"),
        annotations={
            name.removeprefix(PREFIX): str(value)
            for name, value in annotations.items()
            if name.startswith(PREFIX)
        },
    )


def unescape(label: str) -> str:
    """A user's name from KubeSpawner's label: `-2e` for a full stop, and so on."""
    head, *rest = label.split("-")
    raw = head.encode()
    for part in rest:
        try:
            raw += bytes([int(part[:2], 16)]) + part[2:].encode()
        except ValueError:
            return label  # the newer scheme: a slug, not an escape
    return raw.decode("utf-8", "replace")


def cordoned_of(node: Any) -> frozenset[str]:
    """UUIDs that an operator took out of use on a node (`all`: every one)."""
    notes = node.get("metadata", {}).get("annotations") or {}
    words = str(notes.get(f"{PREFIX}gpu-cordon", "")).split(",")
    return frozenset(word.strip() for word in words if word.strip())
