"""What only the operator may read: numbers per pod, container, user and process.

What one process shares tells its neighbours whether somebody holds a page they guessed. So these
two pages are on a socket in the state folder that only the agent's user can open, and over HTTP
only for who sends the operator's token.
"""

import hmac
from collections.abc import Iterator
from pathlib import Path

from prometheus_client.core import CollectorRegistry
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.metrics_core import GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from nodeagent.collectors.gpu_facts import owner_metrics
from nodeagent.collectors.kernels import ImageCollector
from nodeagent.config import Address
from nodeagent.errors import ConfigError
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.http.handlers import AgentHandler
from nodeagent.ksm.room import Share
from nodeagent.loop import Agent
from nodeagent.view import workloads_json

MOST_SERIES = 200
"""Labelled workloads; the others are summed up as kind other."""


def read_token(path: Path) -> str:
    """The token. ConfigError: unreadable, too short, or readable by others."""
    try:
        text = path.read_text(encoding="ascii").strip()
        mode = path.stat().st_mode
    except (OSError, UnicodeDecodeError) as err:
        raise ConfigError(
            f"--token-file {path} cannot be read: {getattr(err, 'strerror', None) or err}",
            fix="Give a file with the token on one line.",
        ) from err
    if mode & 0o007:
        raise ConfigError(
            f"--token-file {path} can be read by every user", fix=f"chmod o-rwx {path}"
        )
    if len(text) < 16:
        raise ConfigError(
            f"--token-file {path} holds fewer than 16 characters",
            fix="Make one with: openssl rand -hex 32",
        )
    return text


class PrivateHandler(AgentHandler):
    """`token` None: whoever reaches this handler may read (the socket's permissions say who)."""

    def initialize(  # type: ignore[override]  # tornado passes keywords; one more here
        self, agent: Agent, listen: Address, allow_host: tuple[str, ...], token: str | None
    ) -> None:
        """As the base, and the token."""
        super().initialize(agent, listen, allow_host)
        self._token = token

    def prepare(self) -> None:
        """The Host header, then the token."""
        super().prepare()
        if self._finished or self._token is None:
            return
        given = self.request.headers.get("Authorization", "").removeprefix("Bearer ").strip()
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            self.set_header("WWW-Authenticate", "Bearer")
            self.fail(
                401,
                "token-needed",
                "Numbers of single workloads are for the operator.",
                "Send the token of --token-file as Authorization: Bearer, or ask on agent.sock.",
            )


class WorkloadsHandler(PrivateHandler):
    """Numbers per student, process and limit."""

    def get(self) -> None:
        """The latest reading; 503 before the first."""
        if self.agent.status is None:
            self.fail(503, "not-ready", "The first reading is under way.", "Ask again soon.")
        else:
            self.write(workloads_json(self.agent.status))


class WorkloadMetricsHandler(PrivateHandler):
    """The same for Prometheus."""

    def get(self) -> None:
        """Series per workload, at most MOST_SERIES of them."""
        registry = CollectorRegistry(auto_describe=False)
        status = self.agent.status
        registry.register(WorkloadCollector(() if status is None else status.ksm.shares))
        if self.agent.gpu_monitor is not None:
            registry.register(OwnerCollector(self.agent.gpu_monitor))
        registry.register(ImageCollector(self.agent))
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest(registry))


class OwnerCollector(Collector):
    """GPU memory and work per owner."""

    def __init__(self, monitor: GpuMonitor) -> None:
        self._monitor = monitor

    def collect(self) -> Iterator[Metric]:
        """A bounded number of series."""
        yield from owner_metrics(self._monitor)


class WorkloadCollector(Collector):
    """Gauges with the labels kind and name."""

    def __init__(self, shares: tuple[Share, ...]) -> None:
        self._shares = shares

    def collect(self) -> Iterator[Metric]:
        """Absent values give no series."""
        texts = {
            "processes": "Opted-in processes.",
            "private_bytes": "Private memory opted in.",
            "merged_bytes": "Of it sharing a kept page.",
            "zero_bytes": "Of it mapped to the kernel's zero page.",
            "saved_bytes": "Its part of the node's saving.",
            "profit_bytes": "The same less KSM's tables.",
        }
        for name, text in texts.items():
            family = GaugeMetricFamily(
                f"samepage_workload_{name}", text, labels=["kind", "name", "donor"]
            )
            for share in self._shares[:MOST_SERIES]:
                value = getattr(share, name)
                if value is not None:
                    labels = [share.owner.kind, share.owner.name, str(share.donor).lower()]
                    family.add_metric(labels, float(value))
            rest = [getattr(share, name) for share in self._shares[MOST_SERIES:]]
            if rest:
                total = sum(value for value in rest if value is not None)
                family.add_metric(["other", "other", "false"], float(total))
            yield family
