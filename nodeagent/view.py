"""What the agent tells: the shapes of /v1/node and /v1/history. Node totals only.

Nothing here is about a single process, container or user: on a shared node that would tell a
neighbour whether somebody else holds a page they guessed.
"""

from dataclasses import asdict, dataclass
from typing import Any

from nodeagent.gpu.model import GpuReport
from nodeagent.history import Point
from nodeagent.host import HostMemory
from nodeagent.ksm.control import KsmReport


@dataclass(frozen=True, kw_only=True)
class NodeStatus:
    """The latest of everything. `time`: epoch seconds of the reading."""

    version: str
    node: str
    time: float
    interval_seconds: float
    ksm: KsmReport
    memory: HostMemory
    gpus: GpuReport


def node_json(status: NodeStatus) -> dict[str, Any]:
    """/v1/node."""
    report, sample = status.ksm, status.ksm.sample
    saved = None if sample is None else sample.saved_bytes
    profit = None if sample is None else sample.general_profit
    return {
        "version": status.version,
        "node": status.node,
        "time": status.time,
        "interval_seconds": status.interval_seconds,
        "ksm": {
            "supported": report.supported,
            "mode": report.mode,
            "running": None if sample is None else sample.run == 1,
            "phase": report.phase,
            "why": report.why,
            "saved_bytes": saved,
            "profit_bytes": profit,
            "metadata_bytes": None if saved is None or profit is None else saved - profit,
            "pages_shared": None if sample is None else sample.pages_shared,
            "pages_sharing": None if sample is None else sample.pages_sharing,
            "pages_to_scan": None if sample is None else sample.pages_to_scan,
            "sleep_millisecs": None if sample is None else sample.sleep_millisecs,
            "smart_scan": None if sample is None else sample.smart_scan,
            "full_scans": None if sample is None else sample.full_scans,
            "ksmd_cpu_seconds": None if sample is None else sample.ksmd_cpu_seconds,
            "ksmd_cpu_ratio": report.cpu_ratio,
            "opted_in_processes": None if sample is None else sample.opted_in.processes,
            "stale": report.stale,
            "problem": None if report.problem is None else asdict(report.problem),
        },
        "memory": asdict(status.memory),
        "gpus": asdict(status.gpus) | {"devices": [asdict(gpu) for gpu in status.gpus.devices]},
    }


def history_json(interval_seconds: float, points: tuple[Point, ...]) -> dict[str, Any]:
    """/v1/history."""
    return {"interval_seconds": interval_seconds, "points": [asdict(point) for point in points]}
