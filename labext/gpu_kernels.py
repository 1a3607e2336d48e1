"""Which kernel of this server a process on the GPU belongs to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Protocol

import psutil

_MOST_PARENTS = 64
_SAME_START_SECONDS = 2.0
"""The agent reckons a start from ticks after boot; clocks differ by less than this."""


@dataclass(frozen=True, kw_only=True)
class RunningKernel:
    """A kernel. `path` and `kind` (notebook, console, file): of its session, None without one."""

    id: str
    pid: int | None
    state: str | None
    path: str | None = None
    kind: str | None = None


class ProcessTable(Protocol):
    """Processes as this server sees them."""

    def parent(self, pid: int) -> int | None:
        """The parent; None: there is no such process, or it has none."""
        ...

    def started(self, pid: int) -> float | None:
        """Epoch seconds; None: there is no such process."""
        ...


class LiveProcesses:
    """The processes of this machine or container. Blocks for a look at /proc."""

    def parent(self, pid: int) -> int | None:
        """As in ProcessTable."""
        try:
            return psutil.Process(pid).ppid() or None
        except (psutil.Error, ValueError):
            return None

    def started(self, pid: int) -> float | None:
        """As in ProcessTable."""
        try:
            return psutil.Process(pid).create_time()
        except (psutil.Error, ValueError):
            return None


async def running_kernels(serverapp: Any) -> tuple[RunningKernel, ...]:
    """Every kernel of this server, with what it works on."""
    sessions = {
        session["kernel"]["id"]: session
        for session in await serverapp.session_manager.list_sessions()
        if session.get("kernel")
    }
    manager = serverapp.kernel_manager
    found = []
    for kernel_id in manager.list_kernel_ids():
        kernel = manager.get_kernel(kernel_id)
        session = sessions.get(kernel_id, {})
        found.append(
            RunningKernel(
                id=kernel_id,
                pid=getattr(getattr(kernel, "provisioner", None), "pid", None),
                state=getattr(kernel, "execution_state", None),
                path=session.get("path") or None,
                kind=session.get("type") or None,
            )
        )
    return tuple(found)


def kernel_of(
    process: dict[str, Any], kernels: Iterable[RunningKernel], table: ProcessTable
) -> str | None:
    """Id of the kernel that the process is, or was started by; None: not of this server.

    By its process id in this container and its ancestors. A process id alone proves nothing
    (another container has the same ones), so the start must agree. Else by the kernel's own id,
    which the agent read in its command line.
    """
    known = tuple(kernels)
    by_pid = {kernel.pid: kernel.id for kernel in known if kernel.pid is not None}
    pid = process["inner_pid"]
    if pid is not None and _is_same(process, table.started(pid)):
        for _ in range(_MOST_PARENTS):
            if pid in by_pid:
                return by_pid[pid]
            pid = table.parent(pid)
            if pid is None:
                break
    told = process["kernel_id"]
    return told if any(kernel.id == told for kernel in known) else None


def _is_same(process: dict[str, Any], started: float | None) -> bool:
    if started is None:
        return False
    told = process["started"]
    return told is None or abs(told - started) <= _SAME_START_SECONDS
