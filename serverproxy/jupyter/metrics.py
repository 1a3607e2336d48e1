"""Prometheus metrics, on the server's own /metrics."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from prometheus_client import REGISTRY, Counter, Histogram
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from serverproxy.supervisor.app import ManagedApp
from serverproxy.supervisor.state import AppState, AppStatus

STARTS = Counter("samepage_app_starts", "Starts of an application", ["app"])
FAILURES = Counter("samepage_app_failures", "Failures of an application by cause", ["app", "code"])
READY_SECONDS = Histogram(
    "samepage_app_ready_seconds",
    "Time from the request for a start to the first answer",
    ["app"],
    buckets=(0.5, 1, 2, 5, 10, 20, 30, 60, 120, 300),
)


class Observer:
    """Counts the changes a supervisor tells of."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[AppState, float]] = {}

    def __call__(self, status: AppStatus) -> None:
        """A subscriber of the supervisor."""
        before = self._last.get(status.name)
        self._last[status.name] = (status.state, status.since)
        if before == (status.state, status.since):
            return
        if status.state is AppState.STARTING:
            STARTS.labels(status.name).inc()
        elif status.state is AppState.FAILED:
            code = status.failure.code if status.failure else "unknown"
            FAILURES.labels(status.name, code).inc()
        elif status.state is AppState.READY:
            started, ready = status.started_at, status.ready_at
            first = before is not None and before[0] is AppState.STARTING  # and not idle before
            if first and started is not None and ready is not None:
                READY_SECONDS.labels(status.name).observe(ready - started)


class _Running(Collector):
    """What is true at the moment somebody looks."""

    def __init__(self, apps: Mapping[str, ManagedApp]) -> None:
        self._apps = apps

    def collect(self) -> Iterator[Metric]:
        running = GaugeMetricFamily(
            "samepage_app_running", "1 while the application answers", labels=["app"]
        )
        memory = GaugeMetricFamily(
            "samepage_app_memory_bytes",
            "Memory of the application's processes, shared pages once, as last measured",
            labels=["app"],
        )
        for name, app in self._apps.items():
            status = app.status
            running.add_metric([name], float(status.running))
            if status.memory_bytes is not None:
                memory.add_metric([name], float(status.memory_bytes))
        yield running
        yield memory


def expose(apps: Mapping[str, ManagedApp]) -> Collector | None:
    """Register the present state; give the result to `withdraw` at the end.

    None when another server of this process has registered its own.
    """
    collector = _Running(apps)
    try:
        REGISTRY.register(collector)
    except ValueError:
        return None
    return collector


def withdraw(collector: Collector) -> None:
    """Undo `expose`."""
    REGISTRY.unregister(collector)
