"""The agent itself."""

import os
import time
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric

from nodeagent.loop import Agent


class AgentCollector:
    """Version, rounds and what the agent itself costs."""

    topic = "agent"

    def __init__(self, agent: Agent) -> None:
        self._agent = agent

    def collect(self) -> Iterator[Metric]:
        """Present from the start, so that a failing first reading can be seen."""
        agent = self._agent
        if agent.status is not None:
            info = GaugeMetricFamily("samepage_agent_info", "Always 1.", labels=["version", "mode"])
            info.add_metric([agent.status.version, agent.status.ksm.mode], 1)
            yield info
            yield GaugeMetricFamily(
                "samepage_agent_last_reading_timestamp_seconds",
                "Epoch time of the last good reading.",
                value=agent.status.time,
            )
        yield GaugeMetricFamily(
            "samepage_agent_healthy", "1: as /healthz.", value=float(agent.healthy is None)
        )
        yield CounterMetricFamily("samepage_agent_rounds", "Readings tried.", value=agent.rounds)
        yield CounterMetricFamily(
            "samepage_agent_failed_rounds", "Readings failed.", value=agent.failures
        )
        yield GaugeMetricFamily(
            "samepage_agent_round_seconds", "Duration of the last round.", value=agent.read_seconds
        )
        yield CounterMetricFamily(
            "samepage_agent_cpu_seconds", "CPU of the agent.", value=time.process_time()
        )
        # The agent's own process, so the own /proc, wherever the host's is mounted.
        resident = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
        yield GaugeMetricFamily(
            "samepage_agent_resident_bytes",
            "Memory of the agent.",
            value=resident * os.sysconf("SC_PAGESIZE"),
        )
