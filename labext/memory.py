"""How much memory this server uses, and how much it may use."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from labext.kernels.command import ALIGNED
from serverproxy.cgroup import CgroupMemory, read_memory

Source = Literal["cgroup-v2", "cgroup-v1", "processes", "unavailable"]


@dataclass(frozen=True, kw_only=True)
class ServerMemory:
    """Memory of this server in bytes. None: not known, or (limit) there is none."""

    used_bytes: int | None
    limit_bytes: int | None
    source: Source
    host_total_bytes: int | None
    message: str | None


@dataclass(frozen=True, kw_only=True)
class ProcessSize:
    """Resident memory of one process, and the part of it that is file-backed or shared."""

    rss_bytes: int
    shared_bytes: int


def choose(
    cgroup: CgroupMemory | None,
    hub_limit: int | None,
    processes: Callable[[], int | None],
    host_total: int | None,
) -> ServerMemory:
    """The reading to show. `processes` is only called when the control group does not answer it.

    A control group without a limit may be the whole machine's (a login session, a hub that starts
    servers as plain processes): its usage would say nothing about this server.
    """
    if cgroup is not None and cgroup.limit_bytes is not None:
        return ServerMemory(
            used_bytes=cgroup.used_bytes,
            limit_bytes=cgroup.limit_bytes,
            source="cgroup-v1" if cgroup.version == "v1" else "cgroup-v2",
            host_total_bytes=host_total,
            message=None,
        )
    used = processes()
    if used is None:
        return ServerMemory(
            used_bytes=None,
            limit_bytes=hub_limit,
            source="unavailable",
            host_total_bytes=host_total,
            message="The memory of this server's processes cannot be read from /proc.",
        )
    return ServerMemory(
        used_bytes=used,
        limit_bytes=hub_limit,
        source="processes",
        host_total_bytes=host_total,
        message=(
            "Counted from this server's processes and compared with the hub's limit; "
            "the system itself enforces none."
            if hub_limit is not None
            else "Counted from this server's processes; no memory limit is set."
        ),
    )


def total(sizes: Iterable[ProcessSize]) -> int | None:
    """Bytes of a family of processes; None when it is empty.

    Unshared memory is added up; of the shared parts only the largest counts, for a family of
    Python processes maps mostly the same libraries. This reads one small file per process; USS and
    PSS would walk every page table, 100 ms and more for a large kernel. Pages still shared after a
    fork are counted once per process, so the figure errs to the high side.
    """
    known = list(sizes)
    if not known:
        return None
    private = sum(max(0, size.rss_bytes - size.shared_bytes) for size in known)
    return private + max(size.shared_bytes for size in known)


def hub_limit(env: Mapping[str, str]) -> int | None:
    """MEM_LIMIT as JupyterHub sets it, in bytes; None when absent, zero or not a number."""
    try:
        limit = int(float(env.get("MEM_LIMIT", "")))
    except (ValueError, OverflowError):
        return None
    return limit if limit > 0 else None


#: The script that a template (labext.kernels.template) runs; a kernel shows the stock command.
_TEMPLATE = "/".join(("", *ALIGNED.parts[-4:]))


def family_bytes(pid: int) -> int | None:
    """Memory of `pid` and its descendants in bytes. Blocks for some milliseconds (all of /proc)."""
    import psutil  # only servers without a limit pay for it

    sizes: list[ProcessSize] = []
    try:
        root = psutil.Process(pid)
        family = [root, *root.children(recursive=True)]
    except (psutil.Error, OSError):
        return None
    for process in family:
        try:
            info = process.memory_info()
            template = process.ppid() == pid and _TEMPLATE in " ".join(process.cmdline())
            # What kernels were forked from is in their numbers already.
            own = process.memory_full_info().uss if template else info.rss - info.shared
        except (psutil.Error, OSError):
            continue  # it ended meanwhile
        sizes.append(ProcessSize(rss_bytes=own + info.shared, shared_bytes=info.shared))
    return total(sizes)


def host_total_bytes() -> int | None:
    """Physical memory of the machine."""
    try:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    except (ValueError, OSError):
        return None


def memory_limit() -> int | None:
    """Bytes that this server may use, by its control group or else by the hub; None: no limit."""
    cgroup = read_memory()
    known = cgroup.limit_bytes if cgroup is not None else None
    return known if known is not None else hub_limit(os.environ)


def read_server_memory() -> ServerMemory:
    """Memory of the calling process's server. Blocks for some milliseconds."""
    return choose(
        read_memory(), hub_limit(os.environ), lambda: family_bytes(os.getpid()), host_total_bytes()
    )
