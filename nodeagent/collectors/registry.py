"""All collectors in one registry; each fails alone, and says whether and how long it ran."""

import logging
import time
from collections.abc import Callable, Iterator
from typing import Protocol

from prometheus_client.core import CollectorRegistry, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from nodeagent.collectors.agent import AgentCollector
from nodeagent.collectors.course_cache import CourseCacheCollector
from nodeagent.collectors.gpu import GpuCollector
from nodeagent.collectors.kernels import KernelCollector
from nodeagent.collectors.ksm import KsmCollector
from nodeagent.collectors.memory import MemoryCollector
from nodeagent.coursecache.keeper import CourseKeeper
from nodeagent.loop import Agent

log = logging.getLogger("nodeagent.collectors")


class TopicCollector(Protocol):
    """One topic. `topic` is the value of the `collector` label."""

    topic: str

    def collect(self) -> Iterator[Metric]:
        """The topic's series; what is absent gives none."""
        ...


class Guarded(Collector):
    """Runs topics one after the other; a failing one costs only its own series."""

    def __init__(
        self, topics: list[TopicCollector], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._topics = topics
        self._clock = clock

    def collect(self) -> Iterator[Metric]:
        """Series of all topics, then success and duration of each."""
        success = GaugeMetricFamily(
            "samepage_collector_success",
            "1: the collector ran, 0: it failed.",
            labels=["collector"],
        )
        duration = GaugeMetricFamily(
            "samepage_collector_duration_seconds", "Time the collector took.", labels=["collector"]
        )
        for topic in self._topics:
            started = self._clock()
            try:
                yield from list(topic.collect())
                ran = True
            except Exception:  # one topic's fault must not take the page away
                log.exception("collector %s failed", topic.topic)
                ran = False
            success.add_metric([topic.topic], float(ran))
            duration.add_metric([topic.topic], self._clock() - started)
        yield success
        yield duration


def build_registry(agent: Agent, courses: CourseKeeper | None = None) -> CollectorRegistry:
    """The registry of `/metrics`. Nothing of the process-wide default registry is in it."""
    registry = CollectorRegistry(auto_describe=False)
    topics: list[TopicCollector] = [
        KsmCollector(agent),
        KernelCollector(agent),
        MemoryCollector(agent),
        GpuCollector(agent),
        AgentCollector(agent),
    ]
    if courses is not None:
        topics.append(CourseCacheCollector(courses))
    registry.register(Guarded(topics))
    return registry
