"""Thin handlers: what the agent knows, as page, metrics and JSON.

They ask for no password, on purpose: they are read-only, listen on loopback unless the admin says
otherwise, and hold node totals only (see `nodeagent.view`).
"""

from http.client import responses
from typing import Any

from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import CollectorRegistry
from tornado import web

from nodeagent.config import Address
from nodeagent.http import page
from nodeagent.http.hosts import is_allowed
from nodeagent.loop import TICK_SECONDS, Agent
from nodeagent.view import history_json, node_json


class AgentHandler(web.RequestHandler):
    """GET and HEAD only; checks the Host header; sets the security headers."""

    SUPPORTED_METHODS: tuple[str, ...] = ("GET", "HEAD")
    agent: Agent

    def initialize(self, agent: Agent, listen: Address, allow_host: tuple[str, ...]) -> None:
        """What the handlers tell, and whom they answer."""
        self.agent = agent
        self._listen = listen
        self._allow_host = allow_host

    def set_default_headers(self) -> None:
        """No sniffing, framing, referrer or caching."""
        self.set_header("Content-Security-Policy", page.CSP)
        self.set_header("X-Content-Type-Options", "nosniff")
        self.set_header("X-Frame-Options", "DENY")
        self.set_header("Referrer-Policy", "no-referrer")
        self.set_header("Cross-Origin-Resource-Policy", "same-origin")
        self.set_header("Cache-Control", "no-store")
        self.clear_header("Server")

    def prepare(self) -> None:
        """Refuse a Host header that is not this agent's."""
        header = self.request.headers.get("Host", "")
        if not is_allowed(header, listen_host=self._listen.host, allowed=self._allow_host):
            self.fail(
                403,
                "host-refused",
                f"The Host header {header!r} is not one of this agent's names.",
                "Ask for localhost, or start the agent with --allow-host and that name.",
            )

    def fail(self, status: int, code: str, message: str, fix: str) -> None:
        """Answer with an error in the usual shape."""
        self.set_status(status)
        self.finish({"code": code, "message": message, "fix": fix})

    def write_error(self, status_code: int, **_: Any) -> None:
        """Errors in the usual shape, never a traceback."""
        if status_code == 404:
            message, fix = "There is no such page.", "Ask for /, /metrics, /healthz or /v1/node."
        elif status_code == 405:
            message, fix = "The agent only answers GET and HEAD.", "Use GET."
        else:
            message, fix = "The agent failed to answer.", "See the agent's log."
        name = responses.get(status_code, "error").lower().replace(" ", "-")
        self.finish({"code": name, "message": message, "fix": fix})

    async def head(self, *arguments: str) -> None:
        """As GET; Tornado leaves the body out."""
        answer = getattr(self, "get")(*arguments)  # noqa: B009  # each handler defines its own
        if answer is not None:
            await answer


class PageHandler(AgentHandler):
    """The page for people."""

    def get(self) -> None:
        """HTML that refreshes itself, faster while something is going on."""
        agent = self.agent
        busy = agent.status is None or agent.status.ksm.phase in ("burst", "settle")
        seconds = TICK_SECONDS if busy else min(max(agent.interval, 2), 30)
        self.set_header("Content-Type", "text/html; charset=utf-8")
        self.write(
            page.render(
                agent.status,
                agent.history.points(),
                unhealthy=agent.healthy,
                problem=agent.problem,
                refresh_seconds=round(seconds),
            )
        )


class MetricsHandler(AgentHandler):
    """Prometheus text format."""

    def initialize(  # type: ignore[override]  # tornado passes keywords; one more here
        self,
        agent: Agent,
        listen: Address,
        allow_host: tuple[str, ...],
        registry: CollectorRegistry,
    ) -> None:
        """As the base, and the registry."""
        super().initialize(agent, listen, allow_host)
        self._registry = registry

    def get(self) -> None:
        """All series."""
        self.set_header("Content-Type", CONTENT_TYPE_LATEST)
        self.write(generate_latest(self._registry))


class HealthHandler(AgentHandler):
    """For probes."""

    def get(self) -> None:
        """200 after a good and recent reading, else 503 with the reason."""
        reason = self.agent.healthy
        if reason is None:
            self.write({"state": "ok"})
        else:
            self.fail(503, "not-healthy", reason, "See the agent's log.")


class NodeHandler(AgentHandler):
    """Node totals."""

    def get(self) -> None:
        """The latest reading; 503 before the first."""
        if self.agent.status is None:
            reason = self.agent.healthy or "The first reading is under way."
            self.fail(503, "not-ready", reason, "Ask again in a few seconds.")
        else:
            self.write(node_json(self.agent.status))


class HistoryHandler(AgentHandler):
    """The last hours."""

    def get(self) -> None:
        """Points, oldest first."""
        self.write(history_json(self.agent.interval, self.agent.history.points()))


class NothingHandler(AgentHandler):
    """Every other path."""

    def get(self) -> None:
        """404 in the usual shape."""
        self.send_error(404)
