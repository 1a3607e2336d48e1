"""Memory of the control group this process runs in, v1 and v2.

The one reader of cgroup memory in the notebook's process: applications size themselves with it and
the lab shows it. Reads a handful of small files (well under a millisecond) and writes nothing.

Sources: Linux admin-guide/cgroup-v2 ("Memory Interface Files"), admin-guide/cgroup-v1/memory,
cgroups(7) (format of /proc/<pid>/cgroup), cgroup_namespaces(7) (paths that start with "..").
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Version = Literal["v1", "v2"]

CGROUP_ROOT = Path("/sys/fs/cgroup")
PROC_ROOT = Path("/proc")

# "No limit" in v1 is LONG_MAX rounded down to a page: 0x7ffffffffffff000 with 4 KiB pages, another
# number with 64 KiB pages. No machine has 2**62 bytes, so everything from there on means "none".
_NO_LIMIT_FROM = 1 << 62


@dataclass(frozen=True, kw_only=True)
class CgroupMemory:
    """Memory of a control group, in bytes.

    used_bytes: working set (usage minus inactive page cache, which the kernel gives back before it
        kills anybody) of the group that `limit_bytes` belongs to; of the process's own group when
        there is no limit. So `used_bytes / limit_bytes` compares like with like.
    limit_bytes: the smallest limit on the way from the own group to the visible root; None when
        no group on the way has one.
    available_bytes: how much more fits before the first limit on that way is reached, >= 0; None
        when there is no limit.
    version: which hierarchy the memory controller is in.
    """

    used_bytes: int
    limit_bytes: int | None
    available_bytes: int | None
    version: Version


@dataclass(frozen=True, kw_only=True)
class _Group:
    used: int
    limit: int | None
    inherited_limit: int | None


def read_memory(root: Path = CGROUP_ROOT, proc: Path = PROC_ROOT) -> CgroupMemory | None:
    """Memory of this process's control group; None when the system does not account for it.

    root: where the cgroup file systems are mounted (v2 itself, or the folder with `memory/` in v1
    and hybrid set-ups). proc: where procfs is mounted. Files that are missing, unreadable or odd
    count as absent; nothing is raised. None is normal on a bare host without a memory controller
    and in the real root group of v2, which has no counters.
    """
    for version, mount, path in _memory_hierarchies(root, proc):
        lineage = [
            group
            for folder in _lineage(mount, path)
            if (group := _read_group(folder, version)) is not None
        ]
        if lineage:
            return _summary(lineage, version)
    return None


def _summary(lineage: list[_Group], version: Version) -> CgroupMemory:
    """Own group first, root last."""
    own = lineage[0]
    bounds = [(group.limit, group.used) for group in lineage if group.limit is not None]
    if own.inherited_limit is not None:
        # v1 also tells of limits above the part of the tree that a container can see.
        bounds.append((own.inherited_limit, own.used))
    if not bounds:
        return CgroupMemory(
            used_bytes=own.used, limit_bytes=None, available_bytes=None, version=version
        )
    # Of equal limits the outermost visible one has the fuller count of users.
    limit, used = min(bounds, key=lambda bound: (bound[0], -bound[1]))
    return CgroupMemory(
        used_bytes=used,
        limit_bytes=limit,
        available_bytes=max(0, min(bound - filled for bound, filled in bounds)),
        version=version,
    )


def _memory_hierarchies(root: Path, proc: Path) -> Iterator[tuple[Version, Path, str]]:
    """Where the memory controller may be: v1 first, as a hybrid system keeps it there."""
    try:
        lines = (proc / "self/cgroup").read_text().splitlines()
    except (OSError, UnicodeDecodeError):
        return
    unified: str | None = None
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if hierarchy == "0" and not controllers:
            unified = path
        elif "memory" in controllers.split(","):
            for name in dict.fromkeys((controllers, "memory")):
                if (root / name).is_dir():
                    yield "v1", root / name, path
    if unified is not None:
        for mount in (root, root / "unified"):
            if (mount / "cgroup.controllers").is_file():
                yield "v2", mount, unified


def _lineage(mount: Path, path: str) -> Iterator[Path]:
    """The group's folder, then each ancestor up to the mount.

    Without a cgroup namespace a container reads the host's path (`/docker/<id>/sub`) but sees only
    its own part of the tree mounted, so leading parts are dropped until a folder is there.
    """
    parts = [part for part in path.split("/") if part]
    if ".." in parts:  # we were moved out of our namespace's root: its root is all we can see
        parts = []
    while parts and not mount.joinpath(*parts).is_dir():
        parts = parts[1:]
    for depth in range(len(parts), -1, -1):
        yield mount.joinpath(*parts[:depth])


def _read_group(folder: Path, version: Version) -> _Group | None:
    if version == "v2":
        usage, limit = _number(folder / "memory.current"), _number(folder / "memory.max")
        cache_key = "inactive_file"
    else:
        usage = _number(folder / "memory.usage_in_bytes")
        limit = _number(folder / "memory.limit_in_bytes")
        cache_key = "total_inactive_file"
    if usage is None:
        return None
    stat = _stat(folder / "memory.stat")
    return _Group(
        used=max(0, usage - stat.get(cache_key, 0)),
        limit=_real_limit(limit),
        inherited_limit=_real_limit(stat.get("hierarchical_memory_limit")),
    )


def _real_limit(value: int | None) -> int | None:
    return None if value is None or value >= _NO_LIMIT_FROM else value


def _number(file: Path) -> int | None:
    """The file's integer; None for `max`, an absent or an unreadable file."""
    try:
        return int(file.read_text())
    except (OSError, ValueError):
        return None


def _stat(file: Path) -> dict[str, int]:
    try:
        pairs = (line.split() for line in file.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}
    except (OSError, ValueError):
        return {}
