"""Who is expected to opt in. Pure.

Any process may ask for merging, no capability needed. On a node where only the students' kernels
should, the operator says which cgroups and users those are; others are counted as uninvited.
"""

import re
from dataclasses import dataclass

from nodeagent.workloads.cgroup import Workload, named_by_system


@dataclass(frozen=True, kw_only=True)
class Invitation:
    """`cgroup`: a pattern found in the memory cgroup's path, down to where users choose the names;
    `uids`: ranges, ends included.

    Both must hold when both are given; with neither everybody is invited.
    """

    cgroup: re.Pattern[str] | None = None
    uids: tuple[tuple[int, int], ...] = ()

    def allows(self, workload: Workload, uid: int) -> bool:
        """Whether a process of this cgroup and user is expected."""
        path = named_by_system(workload.memory_path or "")
        if self.cgroup is not None and not self.cgroup.search(path):
            return False
        return not self.uids or any(low <= uid <= high for low, high in self.uids)


def parse_uids(text: str) -> tuple[tuple[int, int], ...]:
    """`1000-1999,3000`. ValueError when it is not that."""
    ranges = []
    for part in text.split(","):
        low, dash, high = part.strip().partition("-")
        first, last = int(low), int(high) if dash else int(low)
        if first < 0 or last < first:
            raise ValueError(text)
        ranges.append((first, last))
    return tuple(ranges)
