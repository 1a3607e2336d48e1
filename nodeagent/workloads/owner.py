"""Whose a process is: what counts as one student on this node. Pure.

Pod, else container, else the systemd service of the student (JupyterHub's systemd spawner), else
the user (local spawner, The Littlest JupyterHub with kernels of many users in one service).
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.workloads.cgroup import Workload

OwnerKind = Literal["pod", "container", "unit", "user"]

# One service for all: the hub, a shell, a container engine. Here the user tells students apart.
_SHARED_UNITS = frozenset(
    f"{name}.service"
    for name in (
        *("jupyterhub", "ssh", "sshd", "docker", "containerd", "podman"),
        *("cron", "crond", "atd", "slurmd"),
    )
)


@dataclass(frozen=True, kw_only=True, order=True)
class Owner:
    """One student, as far as a node can tell."""

    kind: OwnerKind
    name: str

    def __str__(self) -> str:
        return f"{self.kind} {self.name}"


def owner_of(workload: Workload, uid: int) -> Owner:
    """The owner of a process. `uid`: its real user, as the host sees it."""
    if workload.pod_uid is not None:
        return Owner(kind="pod", name=workload.pod_uid)
    if workload.container_id is not None:
        return Owner(kind="container", name=workload.container_id)
    # A rootless container's processes have other user ids than its student.
    if workload.manager_uid is not None:
        return Owner(kind="user", name=str(workload.manager_uid))
    unit = workload.unit
    if unit is not None and not unit.startswith("user@") and unit not in _SHARED_UNITS:
        return Owner(kind="unit", name=unit)
    return Owner(kind="user", name=str(uid))
