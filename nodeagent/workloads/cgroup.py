"""From the text of /proc/PID/cgroup to a pod, a container and a systemd unit. Pure.

Layouts: systemd and cgroupfs drivers, cgroup v1 and v2, containerd, CRI-O, Docker and Swarm (whose
tasks are plain containers), podman, LXC, kind, docker in docker, JupyterHub's systemd spawner.
Source: kubelet's cgroup names, the runtimes' scope names, systemd.unit(5).

Below a user's own manager, and below a student's service that was given its cgroup (Delegate=), a
student makes cgroups of any name, also that of a neighbour's pod. Names are read down to there.
"""

import re
from dataclasses import dataclass
from functools import lru_cache

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MONITOR = re.compile(r"(?:crio|libpod)-conmon-[0-9a-f]{64}")
_POD = re.compile(
    r"(?:^|[/-])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"
    r"|[0-9a-f]{32})(?=[./]|$)"
)
_LXC = re.compile(r"/lxc(?:\.payload)?[./]([^/]+)")
_UNIT = re.compile(r"/([^/]+\.service)(?=/|$)")
_THEIRS = re.compile(r"/(?:user@[^/]*|jupyter-[^/]+)\.service(?=/|$)")
_MANAGER = re.compile(r"user@(\d+)\.service")


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`container_id`: 64 hex digits, or an LXC name; `pod_uid`: with dashes (static pods: their
    config hash)."""

    container_id: str | None
    pod_uid: str | None
    unit: str | None = None
    """The innermost systemd service, such as jupyter-ada.service; None in a container. Of all that
    a user's own manager started: that manager, user@1000.service."""
    memory_path: str | None = None
    """The path in the hierarchy that limits memory; None: not told."""

    @property
    def key(self) -> str | None:
        """What counts as one workload: the pod, else the container; None: a host process."""
        return self.pod_uid or self.container_id

    @property
    def manager_uid(self) -> int | None:
        """The user whose own systemd manager, or rootless engine, it belongs to."""
        match = _MANAGER.fullmatch(self.unit or "")
        return None if match is None else int(match[1])


def named_by_system(path: str) -> str:
    """The part of a cgroup's path in which users cannot choose names. Pure."""
    match = _THEIRS.search(path)
    return path if match is None else path[: match.end()]


@lru_cache(maxsize=4096)
def parse_cgroup(text: str) -> Workload:
    """The innermost container and its pod, from any line of the file; both None for the host."""
    container = pod = lxc = unit = None
    unified = memory = None
    for line in text.splitlines():
        _, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if controllers == "":
            unified = path
        elif "memory" in controllers.split(","):
            memory = path
        path = named_by_system(path)
        if _MONITOR.search(path):
            continue
        ids = _ID.findall(path)
        pods = _POD.findall(path)
        # A nested runtime (docker in docker) appends its own id: the last one is the innermost.
        container = container or (ids[-1] if ids else None)
        # A pod in a pod is the outer one's: who may make cgroups in there names them as they like.
        pod = pod or (pods[0].replace("_", "-") if pods else None)
        if found := _LXC.search(path):
            lxc = lxc or found.group(1)
        units = _UNIT.findall(path)
        unit = unit or (units[-1] if units else None)
    container = container or lxc
    return Workload(
        container_id=container,
        pod_uid=pod,
        unit=None if container or pod else unit,
        # Hybrid hosts have both; there memory is where version 1 has it.
        memory_path=memory if memory is not None else unified,
    )
