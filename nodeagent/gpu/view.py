"""What the operator's page shows: facts, flags, differences and reservations as plain JSON."""

from typing import Any

from nodeagent.gpu.canonical import plain
from nodeagent.gpu.flags.live import LiveFlag
from nodeagent.gpu.monitor import GpuMonitor


def flag_json(live: LiveFlag) -> dict[str, Any]:
    """One flag, flat."""
    flag = live.flag
    return {
        "gpu": live.gpu,
        "owner": flag.owner,
        "what": flag.what,
        "stage": flag.stage,
        "text": flag.text,
        "command": flag.command,
        "evidence": list(flag.evidence),
        "quiet_because": flag.quiet_because,
        "held_bytes": live.held_bytes,
        "idle_seconds": live.idle_seconds,
        "kernel_ids": list(live.kernel_ids),
    }


def report_json(monitor: GpuMonitor, now: float) -> dict[str, Any]:
    """/v1/gpu/report. `now`: epoch seconds."""
    report = monitor.current()
    return {
        "time": now,
        "state": report.state,
        "message": report.message,
        "age_seconds": report.age_seconds,
        "snapshot": None if monitor.snapshot is None else plain(monitor.snapshot),
        "differences": [plain(each) for each in monitor.differences],
        "flags": [flag_json(each) for each in monitor.watch.flags],
        "ledger": plain(monitor.desk.live()),
    }
