"""The Tornado application and its socket."""

import logging
import socket
from typing import Any

from tornado import netutil, web
from tornado.httpserver import HTTPServer

from nodeagent.collectors.registry import build_registry
from nodeagent.config import Address
from nodeagent.errors import ConfigError, PortError
from nodeagent.http.handlers import (
    HealthHandler,
    HistoryHandler,
    MetricsHandler,
    NodeHandler,
    NothingHandler,
    PageHandler,
)
from nodeagent.loop import Agent

log = logging.getLogger("nodeagent.http")


def _log_request(handler: web.RequestHandler) -> None:
    """Only failures: a poll every few seconds is no event."""
    if handler.get_status() >= 500 and handler.get_status() != 503:
        log.error("%s %s: %d", handler.request.method, handler.request.path, handler.get_status())


def build_app(
    agent: Agent, *, listen: Address, allow_host: tuple[str, ...] = ()
) -> web.Application:
    """All routes."""
    shared: dict[str, Any] = {"agent": agent, "listen": listen, "allow_host": allow_host}
    return web.Application(
        [
            ("/", PageHandler, shared),
            ("/metrics", MetricsHandler, shared | {"registry": build_registry(agent)}),
            ("/healthz", HealthHandler, shared),
            ("/v1/node", NodeHandler, shared),
            ("/v1/history", HistoryHandler, shared),
        ],
        default_handler_class=NothingHandler,
        default_handler_args=shared,
        log_function=_log_request,
        compress_response=True,
    )


def bind(listen: Address) -> list[socket.socket]:
    """Sockets for the address. PortError: taken or refused; ConfigError: no such address."""
    try:
        return netutil.bind_sockets(listen.port, address=listen.host)
    except socket.gaierror as err:
        raise ConfigError(
            f"--listen is {str(listen)!r}: {err.strerror}", fix="Give an address of this machine."
        ) from err
    except OSError as err:
        raise PortError(
            f"Cannot listen on {listen}: {err.strerror}",
            fix="Another agent may run there (samepage-agent status). Else choose another place "
            "with --listen.",
        ) from err


def serve(app: web.Application, sockets: list[socket.socket]) -> HTTPServer:
    """Start answering on the sockets."""
    # A request to the agent has no body; the limits keep a neighbour from filling its memory.
    server = HTTPServer(
        app, max_header_size=16 * 1024, max_body_size=1024, idle_connection_timeout=60
    )
    server.add_sockets(sockets)
    return server
