"""Who is on this node and what was given to whom: pods by cgroup, devices by UUID.

Sources, each optional: the Kubernetes API (names, users, wishes), the kubelet's pod-resources
socket (devices), the kubelet's folder of logs (names only). Without any of them tenants are
containers, services and users, and who was given what is unknown.
"""

import asyncio
import logging
import pwd
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TypeVar
from urllib.parse import quote

from nodeagent.gpu.fleet.quantity import parse_bytes
from nodeagent.gpu.podresources import Given, PodResourcesError, list_given
from nodeagent.gpu.pods import Pod, cordoned_of, parse_pod
from nodeagent.gpu.procfs import Seen
from nodeagent.gpu.reading import Reading, ok, unknown, unsupported
from nodeagent.kube.api import KubeApi, KubeError
from nodeagent.workloads.owner import owner_of

T = TypeVar("T")

log = logging.getLogger("nodeagent.gpu")

_EVERY_SECONDS = 15.0
_KEEP_SECONDS = 120.0
"""So long the last answer counts while a source does not answer."""
_SPAWNED_UNIT = "jupyter-"
_NO_KUBELET = unsupported(source="no kubelet on this node")


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A GPU that was given to a tenant. `alone`: not a share of it. Bytes, epoch seconds."""

    owner: str
    user: str | None
    alone: bool
    requested_bytes: int | None = None
    usual_peak_bytes: int | None = None
    started: float | None = None
    ends: float | None = None
    finished: bool = False


@dataclass(frozen=True, kw_only=True)
class Roster:
    """One moment's knowledge. `claims`: by UUID."""

    by_uid: Mapping[str, Pod] = field(default_factory=dict)
    by_container: Mapping[str, Pod] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    """Pod UID -> namespace/name, from the kubelet's folder of logs."""
    claims: Mapping[str, tuple[Claim, ...]] = field(default_factory=dict)
    allocations: Reading[str] = _NO_KUBELET
    cordoned: frozenset[str] = frozenset()
    users: dict[str, str] = field(default_factory=dict, compare=False)
    """Names of users looked up so far: an account made later is seen with the next roster."""

    def owner(self, seen: Seen) -> tuple[str, str | None]:
        """(the tenant's key, its user's name or None)."""
        workload = seen.workload
        # The pod first: in one that may make cgroups, a container has any id its user likes.
        pod = self.by_uid.get(workload.pod_uid or "") or self.by_container.get(
            workload.container_id or ""
        )
        if pod is not None:
            return pod.key, pod.user
        if (name := self.names.get(workload.pod_uid or "")) is not None:
            return name, None
        owner = owner_of(workload, seen.uid)
        if owner.kind == "container":
            return f"container/{owner.name[:12]}", None
        if owner.kind == "unit":
            stem = owner.name.removesuffix(".service")
            spawned = stem.startswith(_SPAWNED_UNIT)
            return f"unit/{owner.name}", stem.removeprefix(_SPAWNED_UNIT) if spawned else None
        if owner.kind == "user":
            return f"user/{owner.name}", self._user_name(owner.name)
        return f"{owner.kind}/{owner.name}", None

    def _user_name(self, uid: str) -> str:
        name = self.users.get(uid)
        if name is None:
            try:
                name = pwd.getpwuid(int(uid)).pw_name
            except (KeyError, ValueError, OverflowError):
                name = uid
            self.users[uid] = name
        return name


class RosterSource:
    """Reads at most every 15 s. `api`: called once, on the loop; None: there is no cluster."""

    def __init__(
        self,
        *,
        node: str,
        api: Callable[[], KubeApi | None],
        pod_resources: Path,
        pod_logs: Path = Path("/var/log/pods"),
        clock: Callable[[], float] = time.monotonic,
        every: float = _EVERY_SECONDS,
    ) -> None:
        self._node = node
        self._make_api = api
        self._api: KubeApi | None = None
        self._pod_resources = pod_resources
        self._pod_logs = pod_logs
        self._clock = clock
        self._every = every
        self._at: float | None = None
        self._roster = Roster()
        self._pods: tuple[float, list[Pod]] | None = None
        self._cordoned: frozenset[str] = frozenset()
        self._given: tuple[float, tuple[Given, ...]] | None = None
        self._said: set[str] = set()

    async def read(self) -> Roster:
        """The roster, new or of some seconds ago. Never raises for what a source may do."""
        now = self._clock()
        if self._at is not None and now - self._at < self._every:
            return self._roster
        if self._at is None:
            self._api = self._make_api()
        self._at = now
        troubles: list[str] = []
        if self._api is not None:
            try:
                query = {"fieldSelector": f"spec.nodeName={self._node}"}
                found = await self._api.items("/api/v1/pods", query)
                self._pods = (now, [parse_pod(each) for each in found])
                self._cordoned = cordoned_of(
                    await self._api.get(f"/api/v1/nodes/{quote(self._node)}")
                )
            except (KubeError, AttributeError, KeyError, TypeError) as err:
                troubles.append(f"The Kubernetes API does not tell about this node's pods: {err}")
        kubelet = True
        try:
            kubelet = await asyncio.to_thread(self._pod_resources.is_socket)
            if kubelet:
                self._given = (now, await asyncio.to_thread(list_given, self._pod_resources))
        except (PodResourcesError, OSError) as err:
            # OSError: a folder on the way that this user may not enter.
            troubles.append(f"The kubelet does not tell who was given which GPU: {err}")
        self._say(troubles)
        pods = self._kept(self._pods, now) or []
        given = self._kept(self._given, now)
        self._roster = build_roster(
            pods,
            given,
            names=await asyncio.to_thread(_names, self._pod_logs),
            cordoned=self._cordoned,
            kubelet=kubelet or self._given is not None,
            age=0.0 if self._given is None else now - self._given[0],
            trouble=" ".join(troubles),
        )
        return self._roster

    def _kept(self, found: tuple[float, T] | None, now: float) -> T | None:
        if found is None or now - found[0] > _KEEP_SECONDS:
            return None
        return found[1]

    def _say(self, troubles: list[str]) -> None:
        for text in troubles:
            if text not in self._said:
                log.warning("%s", text)
        self._said = set(troubles)


def build_roster(
    pods: list[Pod],
    given: tuple[Given, ...] | None,
    *,
    names: Mapping[str, str],
    cordoned: frozenset[str],
    kubelet: bool,
    age: float = 0.0,
    trouble: str = "",
) -> Roster:
    """Pure. `given` None: the kubelet does not answer (`kubelet`), or there is none."""
    by_key = {pod.key: pod for pod in pods}
    claims: dict[str, dict[str, Claim]] = {}
    unnamed = 0
    for each in given or ():
        if not _is_gpu(each.resource):
            continue
        owner = f"{each.namespace}/{each.pod}"
        for device in each.devices:
            uuid, _, replica = device.partition("::")
            if not uuid.startswith(("GPU-", "MIG-")):
                unnamed += 1
                continue
            claim = _claim(owner, by_key.get(owner), alone=not replica)
            claims.setdefault(uuid, {})[owner] = claim
    for pod in pods:
        for uuid in _words(pod.annotations.get("gpu-uuid", "")):
            claim = _claim(pod.key, pod, alone=pod.annotations.get("gpu-exclusive") == "true")
            claims.setdefault(uuid, {}).setdefault(pod.key, claim)
    if unnamed:
        allocations: Reading[str] = unknown(
            f"{unnamed} devices were given out under names that are no UUIDs", source="kubelet"
        )
    elif given is not None:
        allocations = ok("kubelet", source="pod-resources", age_seconds=age)
    elif kubelet:
        allocations = unknown(trouble or "the kubelet does not answer", source="pod-resources")
    else:
        allocations = _NO_KUBELET
    return Roster(
        by_uid={uid: pod for pod in pods for uid in pod.uids},
        by_container={name: pod for pod in pods for name in pod.containers},
        names=names,
        claims={uuid: tuple(each.values()) for uuid, each in claims.items()},
        allocations=allocations,
        cordoned=cordoned,
    )


def _is_gpu(resource: str) -> bool:
    """nvidia.com/gpu, .shared, mig-*; gpu.nvidia.com of DRA."""
    return resource.startswith("nvidia.com/") or resource == "gpu.nvidia.com"


def _claim(owner: str, pod: Pod | None, *, alone: bool) -> Claim:
    notes: Mapping[str, str] = {} if pod is None else pod.annotations
    return Claim(
        owner=owner,
        user=None if pod is None else pod.user,
        alone=alone or notes.get("gpu-exclusive") == "true",
        requested_bytes=_size(notes.get("gpu-memory-bytes")),
        usual_peak_bytes=_size(notes.get("gpu-usual-peak-bytes")),
        started=None if pod is None else _epoch(pod.started),
        ends=_float(notes.get("gpu-ends")),
        finished=pod is not None and pod.finished,
    )


def _size(text: str | None) -> int | None:
    try:
        return None if text is None else parse_bytes(text)
    except ValueError:
        return None


def _float(text: str | None) -> float | None:
    try:
        value = float(text or "")
    except ValueError:
        return None
    return value if 0 < value < 1e11 else None


def _epoch(text: str | None) -> float | None:
    try:
        return None if text is None else datetime.fromisoformat(text).timestamp()
    except ValueError:
        return None


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",") if word.strip()]


def _names(folder: Path) -> dict[str, str]:
    """From the names of the kubelet's folders: NAMESPACE_POD_UID."""
    found: dict[str, str] = {}
    try:
        for entry in folder.iterdir():
            parts = entry.name.split("_")
            if len(parts) == 3:
                found[parts[2]] = f"{parts[0]}/{parts[1]}"
    except OSError:
        return {}
    return found
