"""How much processor time an application asks for: what tells a computation from resting."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import psutil

_PROC = Path("/proc")
_NANO = 1e-9


def demand_seconds(pid: int, proc: Path = _PROC) -> float | None:
    """Seconds the process and its descendants have run, or waited for a processor. Walks /proc.

    With the wait, because on a crowded host, or in a throttled container, a computation gets a
    small share of a processor for a long time. Source: /proc/<pid>/task/<tid>/schedstat, kernel
    Documentation/scheduler/sched-stats.rst; a kernel without it tells only what has run. None when
    the process is gone.
    """
    try:
        leader = psutil.Process(pid)
        rows = [leader, *leader.children(recursive=True)]
    except psutil.Error:
        return None
    return sum(_of(row.pid, proc) for row in rows)


def _of(pid: int, proc: Path) -> float:
    threads = list(_read_threads(pid, proc))
    if threads:
        return sum(threads)
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)


def _read_threads(pid: int, proc: Path) -> Iterable[float]:
    try:
        tasks = list((proc / str(pid) / "task").iterdir())
    except OSError:
        return
    for task in tasks:
        try:
            ran, waited, *_ = (task / "schedstat").read_text().split()
            yield (int(ran) + int(waited)) * _NANO
        except (OSError, ValueError):
            continue
