"""How often the kernel killed a process of our control group for memory.

Sources: Linux admin-guide/cgroup-v2 (memory.events), admin-guide/cgroup-v1/memory (oom_control).
"""

from __future__ import annotations

from pathlib import Path


def read_oom_kills(root: Path = Path("/sys/fs/cgroup"), proc: Path = Path("/proc")) -> int | None:
    """Processes killed so far in the smallest group we can see; None when it is not counted."""
    try:
        lines = (proc / "self/cgroup").read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return None
    for line in lines:
        hierarchy, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if "memory" in controllers.split(","):
            mounts, name = (root / controllers, root / "memory"), "memory.oom_control"
        elif hierarchy == "0" and not controllers:
            mounts, name = (root, root / "unified"), "memory.events"
        else:
            continue
        for mount in mounts:
            # In a container the path is often the host's, and the mount is our own group.
            for folder in (mount / path.lstrip("/"), mount):
                count = _count(folder / name)
                if count is not None:
                    return count
    return None


def _count(file: Path) -> int | None:
    try:
        pairs = (line.split() for line in file.read_text().splitlines())
        return {pair[0]: int(pair[1]) for pair in pairs if len(pair) == 2}.get("oom_kill")
    except (OSError, ValueError):
        return None
