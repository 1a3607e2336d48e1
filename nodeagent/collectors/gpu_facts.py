"""What the GPU monitor knows beyond totals; labels are cards and fixed words, never a person."""

from collections import Counter
from collections.abc import Iterator

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from nodeagent.gpu.differences import KINDS
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.snapshot import GpuFacts, Snapshot
from nodeagent.gpu.student import sharers

_CARD = ("uuid", "name")
_STAGES = ("none", "notice", "warning", "admin")
MOST_OWNERS = 200


def gpu_facts(monitor: GpuMonitor) -> Iterator[Metric]:
    """Values that are not known give no series."""
    snapshot = monitor.snapshot
    if snapshot is None:
        return
    yield from _cards(snapshot)
    flags: Counter[tuple[str, str]] = Counter(
        (each.flag.what, each.flag.stage) for each in monitor.watch.flags
    )
    family = GaugeMetricFamily(
        "samepage_gpu_flags",
        "Tenants flagged now; stage none: found, and quiet for a reason.",
        labels=["what", "stage"],
    )
    for what in ("idle", "miner"):
        for stage in _STAGES:
            family.add_metric([what, stage], flags[what, stage])
    yield family
    found = monitor.differences
    kinds = Counter(each.kind for each in found)
    sizes: Counter[str] = Counter()
    for each in found:
        sizes[each.kind] += each.bytes or 0
    count = GaugeMetricFamily(
        "samepage_gpu_differences", "Uses that differ from what was given.", labels=["kind"]
    )
    amount = GaugeMetricFamily(
        "samepage_gpu_differences_bytes", "Memory of such uses.", labels=["kind"]
    )
    for kind in KINDS:
        count.add_metric([kind], kinds[kind])
        amount.add_metric([kind], sizes[kind])
    yield count
    yield amount
    decisions = CounterMetricFamily(
        "samepage_gpu_decisions", "Answers to requests for a GPU.", labels=["verdict"]
    )
    for verdict in ("share", "exclusive", "wait", "unknown"):
        decisions.add_metric([verdict], monitor.desk.verdicts[verdict])
    yield decisions
    yield GaugeMetricFamily(
        "samepage_gpu_reservations",
        "Reservations that hold now.",
        value=len(monitor.desk.live().entries),
    )
    yield GaugeMetricFamily(
        "samepage_gpu_tick_cpu_seconds",
        "CPU of the agent's part of the last reading.",
        value=monitor.cpu_seconds,
    )


def _cards(snapshot: Snapshot) -> Iterator[Metric]:
    texts = {
        "memory_reserved_bytes": "Memory the driver keeps for itself.",
        "memory_busy_ratio": "Share of the last minute with memory traffic.",
        "power_watts": "Power drawn.",
        "temperature_celsius": "Temperature.",
        "healthy": "1: usable; 0: lost, to be reset, or back only just.",
        "ecc_uncorrected_errors": "Uncorrected memory errors since the driver was loaded.",
        "tenants": "Who was given the GPU or is on it.",
    }
    families = {
        name: GaugeMetricFamily(f"samepage_gpu_{name}", text, labels=list(_CARD))
        for name, text in texts.items()
    }
    xids = GaugeMetricFamily(
        "samepage_gpu_xids_day", "Driver events of the last day.", labels=[*_CARD, "code"]
    )
    for gpu in snapshot.gpus:
        key = [gpu.uuid, gpu.name.value or ""]
        for name, value in _values(gpu).items():
            if value is not None:
                families[name].add_metric(key, float(value))
        for code, times in sorted(Counter(xid.code for xid in gpu.health.xids).items()):
            xids.add_metric([*key, str(code)], times)
    yield from (family for family in (*families.values(), xids) if family.samples)


def _values(gpu: GpuFacts) -> dict[str, float | None]:
    state = gpu.health.state.known
    return {
        "memory_reserved_bytes": gpu.memory_reserved_bytes.known,
        "memory_busy_ratio": gpu.memory_busy_1m.known,
        "power_watts": gpu.power_watts.known,
        "temperature_celsius": gpu.temperature_celsius.known,
        "healthy": None if state is None else float(state == "ok"),
        "ecc_uncorrected_errors": gpu.health.ecc_uncorrected.known,
        "tenants": sharers(gpu),
    }


def owner_metrics(monitor: GpuMonitor) -> Iterator[Metric]:
    """For the operator only: per GPU and owner, the largest MOST_OWNERS; the rest is summed up."""
    snapshot = monitor.snapshot
    held: Counter[tuple[str, str]] = Counter()
    duty: dict[tuple[str, str], float] = {}
    for gpu in () if snapshot is None else snapshot.gpus:
        for process in gpu.processes.known or ():
            owner = process.owner.known
            if owner is None:
                continue
            key = (gpu.uuid, owner)
            held[key] += process.memory_bytes.known or 0
            share = process.duty_5m.known
            if share is not None:
                duty[key] = max(share, duty.get(key, 0.0))
    memory = GaugeMetricFamily(
        "samepage_gpu_workload_memory_bytes", "GPU memory held.", labels=["uuid", "owner"]
    )
    work = GaugeMetricFamily(
        "samepage_gpu_workload_duty_ratio",
        "Share of the last 5 minutes with work on the GPU.",
        labels=["uuid", "owner"],
    )
    ranked = held.most_common()
    for key, size in ranked[:MOST_OWNERS]:
        memory.add_metric(list(key), size)
        if key in duty:
            work.add_metric(list(key), duty[key])
    if ranked[MOST_OWNERS:]:
        memory.add_metric(["other", "other"], sum(size for _, size in ranked[MOST_OWNERS:]))
    yield memory
    yield work
