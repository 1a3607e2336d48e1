"""The extender's HTTP.

No password: kube-scheduler sends none but a TLS client certificate. Whoever reaches the port learns
which node has more room, from 0 to 10, and can place claims that end by themselves; the manifests
let only the scheduler reach it.
"""

from typing import Any

from prometheus_client.core import CollectorRegistry, CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector
from tornado import web

from nodeagent.gpu.extender.protocol import ProtocolError, read_args, write_scores
from nodeagent.gpu.extender.ranker import Ranker

MOST_BODY_BYTES = 32 * 2**20


class _Handler(web.RequestHandler):
    ranker: Ranker

    def initialize(self, ranker: Ranker) -> None:
        self.ranker = ranker

    def set_default_headers(self) -> None:
        self.clear_header("Server")
        self.set_header("Cache-Control", "no-store")
        self.set_header("X-Content-Type-Options", "nosniff")

    def write_error(self, status_code: int, **_: Any) -> None:
        self.fail(status_code, "error", "The extender failed to answer.", "See its log.")

    def fail(self, status: int, code: str, message: str, fix: str) -> None:
        """An error in the usual shape."""
        self.set_status(status)
        self.finish({"code": code, "message": message, "fix": fix})


class PrioritizeHandler(_Handler):
    """`prioritizeVerb: prioritize`."""

    def post(self) -> None:
        """Points for each node that was asked for; 400: not a scheduler's question."""
        try:
            args = read_args(self.request.body)
        except ProtocolError as err:
            self.fail(
                400, "not-extender-args", f"{err}.", "Send ExtenderArgs as kube-scheduler does."
            )
            return
        self.set_header("Content-Type", "application/json")
        self.finish(write_scores(self.ranker.scores(args)))


class HealthHandler(_Handler):
    """For probes. Facts of no node are no fault of this process: it answers, neutrally."""

    def get(self) -> None:
        """200 while it answers."""
        self.write({"state": "ok", "nodes": self.ranker.nodes})


class MetricsHandler(_Handler):
    """For Prometheus."""

    def initialize(self, ranker: Ranker) -> None:
        """As the base, and a registry of its own."""
        super().initialize(ranker)
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(_Counts(ranker))

    def get(self) -> None:
        """Three series."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest(self._registry))


class _Counts(Collector):
    def __init__(self, ranker: Ranker) -> None:
        self._ranker = ranker

    def collect(self) -> list[GaugeMetricFamily | CounterMetricFamily]:
        ranker = self._ranker
        nodes = GaugeMetricFamily(
            "samepage_gpu_extender_nodes", "Nodes whose GPU facts are at hand.", value=ranker.nodes
        )
        answered = CounterMetricFamily(
            "samepage_gpu_extender_answers", "Answers to the scheduler.", value=ranker.answered
        )
        neutral = CounterMetricFamily(
            "samepage_gpu_extender_neutral_answers",
            "Of them without influence: no GPU asked for, or no node known.",
            value=ranker.neutral,
        )
        return [nodes, answered, neutral]


def build_extender(ranker: Ranker) -> web.Application:
    """All routes."""
    shared = {"ranker": ranker}
    return web.Application(
        [
            ("/samepage/prioritize", PrioritizeHandler, shared),
            ("/healthz", HealthHandler, shared),
            ("/metrics", MetricsHandler, shared),
        ],
        log_function=lambda handler: None,
    )
