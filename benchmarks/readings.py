"""Memory and CPU time of processes, from /proc. Values are None when the process is gone."""

import contextlib
import os
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil

_PROC = Path("/proc")
_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes. `unique`: pages nobody else maps (USS)."""

    resident: int
    proportional: int
    unique: int
    anonymous: int


def memory(pid: int) -> Memory | None:
    """From smaps_rollup; needs the same user or root."""
    try:
        text = (_PROC / str(pid) / "smaps_rollup").read_text()
    except OSError:
        return None
    kib: dict[str, int] = {}
    for line in text.splitlines()[1:]:
        name, _, value = line.partition(":")
        kib[name] = int(value.split()[0])
    return Memory(
        resident=kib["Rss"] * 1024,
        proportional=kib["Pss"] * 1024,
        unique=(kib["Private_Clean"] + kib["Private_Dirty"]) * 1024,
        anonymous=kib["Anonymous"] * 1024,
    )


def cpu_seconds(pid: int) -> float | None:
    """User and system time of all its threads and of its ended, waited-for children."""
    try:
        text = (_PROC / str(pid) / "stat").read_text()
    except OSError:
        return None
    fields = text.rpartition(")")[2].split()
    return sum(int(field) for field in fields[11:15]) / _TICKS


def tree(pid: int) -> list[int]:
    """The process and all its descendants, itself first."""
    with contextlib.suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []


def total_memory(pids: Iterable[int]) -> Memory:
    """Sum over those that are still there."""
    found = [reading for pid in pids if (reading := memory(pid)) is not None]
    return Memory(
        resident=sum(each.resident for each in found),
        proportional=sum(each.proportional for each in found),
        unique=sum(each.unique for each in found),
        anonymous=sum(each.anonymous for each in found),
    )


def ksmd_pid() -> int | None:
    """The kernel's merging thread; None where KSM is not built in or the thread is not visible."""
    for process in psutil.process_iter(["name"]):
        if process.info["name"] == "ksmd":
            return int(process.pid)
    return None


def fixed_loop(times: int = 5) -> float:
    """Seconds that the same Python loop takes, at best: how fast this machine is just now."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        total = 0
        for number in range(3_000_000):
            total += number * number
        found.append(time.perf_counter() - began)
    return min(found)
