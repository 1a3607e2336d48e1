"""From the text of /proc/PID/cgroup to a container and a pod. Pure.

Layouts: systemd and cgroupfs drivers, cgroup v1 and v2, containerd, CRI-O, docker, kind, docker in
docker. Source: kubelet's cgroup names, the runtimes' scope names.
"""

import re
from dataclasses import dataclass

_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{64}(?![0-9a-f])")
_MONITOR = re.compile(r"(?:crio|libpod)-conmon-[0-9a-f]{64}")
_POD = re.compile(
    r"(?:^|[/-])pod([0-9a-f]{8}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{4}[-_][0-9a-f]{12}"
    r"|[0-9a-f]{32})(?=[./]|$)"
)


@dataclass(frozen=True, kw_only=True)
class Workload:
    """`container_id`: 64 hex digits; `pod_uid`: with dashes (static pods: their config hash)."""

    container_id: str | None
    pod_uid: str | None

    @property
    def key(self) -> str | None:
        """What counts as one workload: the pod, else the container; None: a host process."""
        return self.pod_uid or self.container_id


def parse_cgroup(text: str) -> Workload:
    """The innermost container and its pod, from any line of the file; both None for the host."""
    container: str | None = None
    pod: str | None = None
    for line in text.splitlines():
        path = line.split(":", 2)[-1]
        if _MONITOR.search(path):
            continue
        ids = _ID.findall(path)
        pods = _POD.findall(path)
        # A nested runtime (docker in docker) appends its own id: the last one is the innermost.
        container = container or (ids[-1] if ids else None)
        pod = pod or (pods[-1].replace("_", "-") if pods else None)
    return Workload(container_id=container, pod_uid=pod)
