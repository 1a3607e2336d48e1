"""What the agent tells: the shapes of /v1/node and /v1/history. Node totals only.

Nothing here is about a single process, container or user: on a shared node that would tell a
neighbour whether somebody else holds a page they guessed.
"""

from dataclasses import asdict, dataclass
from typing import Any

from nodeagent.gpu.model import GpuReport
from nodeagent.history import Point
from nodeagent.host import HostMemory
from nodeagent.kernels.switches import ALL_ON, Switches
from nodeagent.kernels.view import (
    node_donors,
    node_kernels,
    operator_donors,
    operator_kernels,
    operator_unlike,
)
from nodeagent.ksm.accounts import Account, account, by_container, by_user, saved_ratio
from nodeagent.ksm.control import KsmReport
from nodeagent.ksm.decide import HOLD_AT
from nodeagent.ksm.facts import KsmSample


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
    switches: Switches = ALL_ON
    donor_restarts: int = 0
    """How often donors were asked to start anew."""


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
        "students": None if report.room is None else asdict(report.room),
        "guards": None
        if sample is None
        else {
            "donors": sample.donors,
            "limited_containers": len(sample.charges),
            "near_limit": near_limits(sample),
            "uninvited_processes": sample.uninvited,
            "cow_faults": sample.cow_faults,
        },
        "kernels": node_kernels(status.switches, None if sample is None else sample.kernels),
        "donors": node_donors(None if sample is None else sample.kernels, status.donor_restarts),
        "gpus": asdict(status.gpus) | {"devices": [asdict(gpu) for gpu in status.gpus.devices]},
    }


def near_limits(sample: KsmSample) -> int:
    """Containers whose merged memory could bring them close to their limit."""
    return sum(charge.worst_ratio > HOLD_AT for charge in sample.charges)


def workloads_json(status: NodeStatus) -> dict[str, Any]:
    """/v1/workloads: one entry per student. For the operator, never for the open address."""
    report, sample = status.ksm, status.ksm.sample
    ratio = 0.0 if sample is None else saved_ratio(sample)
    return {
        "node": status.node,
        "time": status.time,
        "containers": []
        if sample is None
        else [
            {"pod": pod, "container": container} | _sums(sums)
            for (pod, container), sums in by_container(sample).items()
        ],
        "users": []
        if sample is None
        else [{"uid": uid} | _sums(sums) for uid, sums in by_user(sample).items()],
        "settled": report.phase not in ("burst", "settle"),
        "images": operator_kernels(None if sample is None else sample.kernels),
        "unlike_kernels": operator_unlike(None if sample is None else sample.kernels),
        "donor_kernels": operator_donors(None if sample is None else sample.kernels),
        "workloads": [
            {
                "kind": share.owner.kind,
                "name": share.owner.name,
                "processes": share.processes,
                "private_bytes": share.private_bytes,
                "merged_bytes": share.merged_bytes,
                "zero_bytes": share.zero_bytes,
                "saved_bytes": share.saved_bytes,
                "profit_bytes": share.profit_bytes,
                "donor": share.donor,
                "invited": share.invited,
            }
            for share in report.shares
        ],
        "processes": []
        if sample is None
        else [
            {
                "pid": member.pid,
                "uid": member.uid,
                "owner": str(member.owner),
                "container": member.workload.container_id,
                **_sums(account([member], ratio)),
                "donor": member.donor,
                "invited": member.invited,
            }
            for member in sample.opted_in.members
        ],
        "limits": []
        if sample is None
        else [
            {
                "cgroup": charge.path,
                "limit_bytes": charge.limit_bytes,
                "charged_bytes": charge.working_bytes,
                "merged_bytes": charge.merged_bytes,
                "kept_bytes": charge.kept_bytes,
                "worst_bytes": charge.worst_bytes,
                "safe_limit_bytes": charge.safe_limit_bytes,
                "near": charge.worst_ratio > HOLD_AT,
            }
            for charge in sample.charges
        ],
    }


def _sums(sums: Account) -> dict[str, Any]:
    return asdict(sums) | {"profit_bytes": sums.profit_bytes}


def history_json(interval_seconds: float, points: tuple[Point, ...]) -> dict[str, Any]:
    """/v1/history."""
    return {"interval_seconds": interval_seconds, "points": [asdict(point) for point in points]}
