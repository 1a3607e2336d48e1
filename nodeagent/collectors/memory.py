"""Memory of this node."""

from collections.abc import Iterator

from prometheus_client.metrics_core import GaugeMetricFamily, Metric

from nodeagent.loop import Agent


class MemoryCollector:
    """MemTotal and MemAvailable of the last reading, and memory stalls where the kernel tells."""

    topic = "memory"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """No series before the first reading."""
        status = self._agent.status
        if status is None:
            return
        yield GaugeMetricFamily(
            "samepage_memory_total_bytes", "Memory of the node.", value=status.memory.total_bytes
        )
        yield GaugeMetricFamily(
            "samepage_memory_available_bytes",
            "Memory programs can still get.",
            value=status.memory.available_bytes,
        )
        sample = status.ksm.sample
        if sample is not None and sample.memory_stall is not None:
            yield GaugeMetricFamily(
                "samepage_memory_stall_ratio",
                "Share of the last 10 s in which some task waited for memory.",
                value=sample.memory_stall,
            )
