"""The Tornado application and its socket."""

import logging
import os
import socket
from pathlib import Path
from typing import Any

from tornado import netutil, web
from tornado.httpserver import HTTPServer

from nodeagent.collectors.registry import build_registry
from nodeagent.config import Address
from nodeagent.coursecache.keeper import CourseKeeper
from nodeagent.errors import ConfigError, PortError
from nodeagent.http.gpu import GpuMeHandler, gpu_routes
from nodeagent.http.handlers import (
    HealthHandler,
    HistoryHandler,
    MetricsHandler,
    NodeHandler,
    NothingHandler,
    PageHandler,
)
from nodeagent.http.kernels import OwnKernelsHandler
from nodeagent.http.peers import Peers, PeerServer
from nodeagent.http.private import WorkloadMetricsHandler, WorkloadsHandler
from nodeagent.loop import Agent

log = logging.getLogger("nodeagent.http")

PRIVATE_SOCKET = "agent.sock"
SOCKET_IDLE_SECONDS = 15.0
BODY_SECONDS = 10.0


def _log_request(handler: web.RequestHandler) -> None:
    """Only failures: a poll every few seconds is no event."""
    if handler.get_status() >= 500 and handler.get_status() != 503:
        log.error("%s %s: %d", handler.request.method, handler.request.path, handler.get_status())


def build_app(
    agent: Agent,
    *,
    listen: Address,
    allow_host: tuple[str, ...] = (),
    courses: CourseKeeper | None = None,
    token: str | None = None,
    peers: Peers | None = None,
) -> web.Application:
    """All routes of the open address. `token`: also the operator's pages, for who sends it.
    `peers`: who connected, on a socket where the kernel says so; each then sees its own."""
    shared: dict[str, Any] = {"agent": agent, "listen": listen, "allow_host": allow_host}
    return web.Application(
        [
            ("/", PageHandler, shared),
            ("/metrics", MetricsHandler, shared | {"registry": build_registry(agent, courses)}),
            ("/healthz", HealthHandler, shared),
            ("/v1/node", NodeHandler, shared),
            ("/v1/history", HistoryHandler, shared),
            ("/v1/kernels/me", OwnKernelsHandler, shared),
            *([] if peers is None else [("/v1/gpu/me", GpuMeHandler, shared | {"peers": peers})]),
            *([] if token is None else private_routes(shared | {"token": token})),
        ],
        default_handler_class=NothingHandler,
        default_handler_args=shared,
        log_function=_log_request,
        compress_response=True,
    )


def private_routes(shared: dict[str, Any]) -> list[tuple[str, type[web.RequestHandler], Any]]:
    """The operator's pages."""
    return [
        ("/v1/workloads", WorkloadsHandler, shared),
        ("/metrics/workloads", WorkloadMetricsHandler, shared),
        *gpu_routes(shared),
    ]


def build_private_app(agent: Agent, *, listen: Address) -> web.Application:
    """The operator's pages without a token, for the socket only its user can open."""
    shared: dict[str, Any] = {"agent": agent, "listen": listen, "allow_host": ()}
    return web.Application(
        private_routes(shared | {"token": None}),
        default_handler_class=NothingHandler,
        default_handler_args=shared,
        log_function=_log_request,
        compress_response=True,
    )


def bind_private(folder: Path) -> socket.socket | None:
    """`agent.sock` for the agent's user only; None (and a line in the log) when it cannot be."""
    path = folder / PRIVATE_SOCKET
    if _answers(path):
        log.info("%s belongs to another agent", path)
        return None
    try:
        folder.mkdir(mode=0o755, parents=True, exist_ok=True)
        if folder.stat().st_uid not in (0, os.geteuid()):
            # In a shared /tmp somebody else can make it first, and answer in our place.
            raise PermissionError(f"{folder} belongs to another user")
        return netutil.bind_unix_socket(str(path), mode=0o600)
    except (OSError, ValueError) as err:
        log.warning("no %s: %s; the operator's numbers are not served", path, err)
        return None


def bind_node_socket(path: Path) -> socket.socket:
    """A socket every user may open, for totals of the node. PortError: taken, or cannot be made."""
    if _answers(path):
        raise PortError(
            f"Another agent answers on {path}", fix="Stop it, or give another --node-socket."
        )
    try:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        return netutil.bind_unix_socket(str(path), mode=0o666)
    except (OSError, ValueError) as err:
        raise PortError(
            f"Cannot answer on {path}: {err}",
            fix="Give --node-socket in a folder this user may write to.",
        ) from err


def _answers(path: Path) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except OSError:
            return False
    return True


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


def serve(
    app: web.Application, sockets: list[socket.socket], peers: Peers | None = None
) -> HTTPServer:
    """Start answering on the sockets. `peers`: remembers who connects."""
    # A request has a small body or none; the limits keep a neighbour from filling its memory. On
    # the node's socket every student may connect, and nobody keeps a connection between questions.
    server = PeerServer(
        app,
        max_header_size=16 * 1024,
        max_body_size=16 * 1024,
        idle_connection_timeout=60 if peers is None else SOCKET_IDLE_SECONDS,
        body_timeout=BODY_SECONDS,
    )
    server.peers = peers
    server.add_sockets(sockets)
    return server
