"""GPUs of this node."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from nodeagent.collectors.gpu_facts import gpu_facts
from nodeagent.loop import Agent


class GpuCollector:
    """The GPU reader's last report. A stale reading gives its age and no device series."""

    topic = "gpu"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Values a card does not report give no series."""
        status = self._agent.status
        if status is None:
            return
        gpus = status.gpus
        state = GaugeMetricFamily(
            "samepage_gpu_state", "1 for the reader's state.", labels=["state"]
        )
        state.add_metric([gpus.state], 1)
        yield state
        if gpus.age_seconds is not None:
            yield GaugeMetricFamily(
                "samepage_gpu_reading_age_seconds",
                "Age of the last good reading.",
                value=gpus.age_seconds,
            )
        if gpus.state not in ("ok", "error"):
            return
        if self._agent.gpu_monitor is not None:
            yield from gpu_facts(self._agent.gpu_monitor)
        if not gpus.devices:
            return
        labels = ["uuid", "name"]
        used = GaugeMetricFamily("samepage_gpu_memory_used_bytes", "Memory in use.", labels=labels)
        total = GaugeMetricFamily("samepage_gpu_memory_total_bytes", "Memory.", labels=labels)
        free = GaugeMetricFamily("samepage_gpu_memory_free_bytes", "Memory free.", labels=labels)
        busy = GaugeMetricFamily(
            "samepage_gpu_busy_ratio", "Share of the time with a kernel running.", labels=labels
        )
        processes = GaugeMetricFamily(
            "samepage_gpu_processes", "Processes on the GPU.", labels=labels
        )
        for gpu in gpus.devices:
            key = [gpu.uuid, gpu.name or ""]
            ratio = None if gpu.busy_percent is None else gpu.busy_percent / 100
            for family, value in (
                (used, gpu.memory_used_bytes),
                (total, gpu.memory_total_bytes),
                (free, gpu.memory_free_bytes),
                (busy, ratio),
                (processes, gpu.processes),
            ):
                if value is not None:
                    family.add_metric(key, float(value))
        yield from (family for family in (used, total, free, busy, processes) if family.samples)
