"""Memory this user's processes can still take."""

from __future__ import annotations

from pathlib import Path

from serverproxy.cgroup import CGROUP_ROOT, PROC_ROOT, read_memory


def available_bytes(cgroup_root: Path = CGROUP_ROOT, proc: Path = PROC_ROOT) -> int | None:
    """The smaller of what the control group and the machine have left; None when neither says."""
    group = read_memory(cgroup_root, proc)
    answers = (None if group is None else group.available_bytes, _machine_available(proc))
    return min((answer for answer in answers if answer is not None), default=None)


def _machine_available(proc: Path) -> int | None:
    try:
        lines = (proc / "meminfo").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("MemAvailable:"):
            try:
                return int(line.split()[1]) * 1024
            except (IndexError, ValueError):
                return None
    return None
