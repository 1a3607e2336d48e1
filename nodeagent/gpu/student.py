"""What one student may see: the GPUs' totals and their own processes. Nothing of a neighbour."""

from typing import Any

from nodeagent.gpu.canonical import plain
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts
from nodeagent.gpu.view import flag_json


def me_json(monitor: GpuMonitor, owner: str | None, why: str | None, now: float) -> dict[str, Any]:
    """/v1/gpu/me. `owner` None: not known, and `why`. `now`: monotonic seconds."""
    report = monitor.report(now)
    gpus = () if monitor.snapshot is None else monitor.snapshot.gpus
    return {
        "owner": owner,
        "why": why,
        "state": report.state,
        "message": report.message,
        "age_seconds": report.age_seconds,
        "gpus": [
            _gpu_json(gpu, owner)
            for gpu in sorted(gpus, key=lambda each: (each.index, each.kind, each.uuid))
        ],
        "processes": [
            _process_json(monitor, gpu, process)
            for gpu in gpus
            for process in gpu.processes.value or ()
            if owner is not None and process.owner.value == owner
        ],
        "flags": [
            {name: value for name, value in flag_json(each).items() if name != "owner"}
            for each in monitor.watch.flags
            if each.flag.owner == owner and each.flag.what == "idle"
        ],
    }


def sharers(gpu: GpuFacts) -> int | None:
    """Tenants that were given the GPU or are on it; None: not known."""
    if gpu.processes.known is None:
        return None
    return sum(not tenant.finished for tenant in gpu.tenants)


def _gpu_json(gpu: GpuFacts, owner: str | None) -> dict[str, Any]:
    return {
        "uuid": gpu.uuid,
        "index": gpu.index,
        "kind": gpu.kind,
        "parent": gpu.parent,
        "name": plain(gpu.name),
        "memory_total_bytes": plain(gpu.memory_total_bytes),
        "memory_used_bytes": plain(gpu.memory_used_bytes),
        "memory_free_bytes": plain(gpu.memory_free_bytes),
        "unified_memory": plain(gpu.unified_memory),
        "busy_now": plain(gpu.busy_now),
        "busy_1m": plain(gpu.busy_1m),
        "sharers": sharers(gpu),
        "mine": owner is not None and any(tenant.owner == owner for tenant in gpu.tenants),
    }


def _process_json(monitor: GpuMonitor, gpu: GpuFacts, process: ProcessFacts) -> dict[str, Any]:
    seen = monitor.seen(gpu.uuid, process)
    return {
        "gpu": gpu.uuid,
        "pid": process.pid,
        "inner_pid": None if seen is None else seen.inner_pid,
        "kernel_id": None if seen is None else seen.kernel_id,
        "name": None if seen is None else seen.name,
        "started": monitor.started(process),
        "memory_bytes": plain(process.memory_bytes),
        "duty_1m": plain(process.duty_1m),
        "duty_5m": plain(process.duty_5m),
        "duty_15m": plain(process.duty_15m),
        "mean_sm_15m": plain(process.mean_sm_15m),
        "last_busy": plain(process.last_busy),
    }
