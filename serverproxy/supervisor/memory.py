"""Memory of an application's processes, shared pages counted once. Source: proc(5)."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

from serverproxy.supervisor.processes import PROC


def read_memory(pids: Iterable[int], proc: Path = PROC) -> int | None:
    """Sum of the proportional set sizes, bytes; None when no process could be read.

    A process whose maps are closed to us counts with its resident size, shared pages in full.
    The kernel walks the page tables: some ms for each GiB, so not for the event loop.
    """
    sizes = [size for pid in pids if (size := _one(pid, proc)) is not None]
    return sum(sizes) if sizes else None


def _one(pid: int, proc: Path) -> int | None:
    try:
        with (proc / str(pid) / "smaps_rollup").open("rb") as file:
            for line in file:
                if line.startswith(b"Pss:"):
                    return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return None
