"""An entry of jupyter-server-proxy, as something to launch. Its options mean what they do there."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Collection
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jupyter_server_proxy.utils import call_with_asked_args
from tornado.web import HTTPError

from serverproxy.errors import AppError
from serverproxy.jupyter.activity import ActivityRule
from serverproxy.redirects import keep_inside
from serverproxy.supervised import Start, StartRequest, Supervised, wishes_of
from serverproxy.supervisor.environment import app_environment
from serverproxy.supervisor.spec import (
    Endpoint,
    EndpointChoice,
    LaunchSpec,
    TcpEndpoint,
    UnixEndpoint,
)


@dataclass(frozen=True, kw_only=True)
class AppEntry:
    """One application: a `ServerProcess` with a command, and our wishes if it is one of ours."""

    name: str
    process: Any
    base_url: str
    wishes: Supervised | None = None
    keep_environment: Collection[str] = ()

    @classmethod
    def of(cls, process: Any, base_url: str, keep_environment: Collection[str] = ()) -> AppEntry:
        """From a `jupyter_server_proxy.config.ServerProcess`."""
        return cls(
            name=process.name,
            process=process,
            base_url=base_url,
            wishes=wishes_of(process.command),
            keep_environment=keep_environment,
        )

    @property
    def title(self) -> str:
        """What people call it."""
        return str(self.process.launcher_entry.title or self.name)

    @property
    def raw(self) -> bool:
        """Whether it speaks no HTTP, but a stream that a websocket carries."""
        return bool(getattr(self.process, "raw_socket_proxy", False))

    @property
    def absolute_url(self) -> bool:
        """Whether it wants to see the whole path."""
        return bool(self.process.absolute_url)

    @property
    def prefix(self) -> str:
        """Where browsers find it, without a final slash."""
        return f"{self.base_url}{self.name}"

    @property
    def rewrites(self) -> tuple[Callable[..., None], ...]:
        """Its `rewrite_response`, without ours, whose work is done for every application."""
        found = self.process.rewrite_response
        functions = tuple(found) if isinstance(found, list | tuple) else (found,)
        return tuple(each for each in functions if each is not keep_inside)

    def activity_rule(self) -> ActivityRule:
        """What counts as use."""
        quiet = self.wishes.quiet_paths if self.wishes else ()
        return ActivityRule(
            update=getattr(self.process, "update_last_activity", True),
            excluded=[
                re.compile(each)
                for each in getattr(self.process, "exclude_last_activity_patterns", ())
            ],
            quiet=[re.compile(each) for each in quiet],
        )

    def mapped(self, path: str) -> str:
        """The path for the application, by its `mappath`."""
        mappath = self.process.mappath
        if not mappath:
            return path
        if callable(mappath):
            return str(call_with_asked_args(mappath, {"path": path}))
        return str(mappath.get(path, path))

    def request_headers(self, endpoint: Endpoint) -> dict[str, str]:
        """Its `request_headers_override`, rendered."""
        rendered = self._realize(self.process.request_headers_override, endpoint)
        return {str(name): str(value) for name, value in rendered.items()}

    def choose_endpoint(self) -> EndpointChoice:
        """What it listens on. Blocks for our own applications."""
        if self.wishes is not None:
            return self.wishes.endpoint()
        socket = self.process.unix_socket
        if isinstance(socket, str) and socket:
            return UnixEndpoint(path=Path(socket))
        if socket:
            return "unix"
        return TcpEndpoint(port=self.process.port) if self.process.port else "tcp"

    def start(self, endpoint: Endpoint, folder: Path | None) -> Start:
        """What to launch. Blocks, as entries' functions may; AppError when it cannot run here."""
        if self.wishes is not None:
            return self.wishes.start(
                StartRequest(endpoint=endpoint, base_url=self.base_url, folder=folder)
            )
        try:
            argv = self._realize(self.process.command, endpoint)
            environment = self._realize(self.process.environment, endpoint)
        except HTTPError as error:
            raise AppError(
                "refused", _sentence(error), "Correct what its entry complains about."
            ) from error
        except Exception as error:
            told = str(error) or type(error).__name__
            raise AppError(
                "entry_failed",
                f"The entry of {self.title} could not say how to start it "
                f"({type(error).__name__}: {told}).",
                "Install what it names, or ask the administrator of this image.",
            ) from error
        if not isinstance(argv, list) or not argv:
            raise AppError(
                "no_command",
                f"The entry of {self.title} gave no command.",
                "Ask the administrator of this image to correct the entry.",
            )
        return Start(
            argv=[str(part) for part in argv],
            environment={str(name): str(value) for name, value in environment.items()},
            cwd=folder,
        )

    def launch(self, start: Start, endpoint: Endpoint) -> LaunchSpec:
        """The launch for the supervisor: the server's environment, without its secrets."""
        headers = {} if self.raw else self.request_headers(endpoint)
        context = self.prefix if self.absolute_url else start.context_path
        return LaunchSpec(
            argv=start.argv,
            env=app_environment(os.environ, keep=self.keep_environment) | dict(start.environment),
            endpoint=endpoint,
            cwd=start.cwd,
            probe="connect" if self.raw else "http",
            # Stock asks for "/" whatever the entry; that answers in every application, be it 404.
            probe_path=f"{context}/",
            probe_headers={name: value for name, value in headers.items() if value},
            ready_statuses=start.ready_statuses,
        )

    def _realize(self, value: Any, endpoint: Endpoint) -> Any:
        arguments = {
            "port": 0 if isinstance(endpoint, UnixEndpoint) else endpoint.port,
            "unix_socket": str(endpoint.path) if isinstance(endpoint, UnixEndpoint) else "",
            "base_url": self.base_url,
        }
        if callable(value):
            value = call_with_asked_args(value, arguments)
        return _render(value, arguments)


def _render(value: Any, arguments: dict[str, Any]) -> Any:
    if isinstance(value, str):
        return value.format(**arguments)
    if isinstance(value, list | tuple):
        return [_render(each, arguments) for each in value]
    if isinstance(value, dict):
        return {_render(k, arguments): _render(v, arguments) for k, v in value.items()}
    raise ValueError(f"Value of unrecognized type {type(value)}")


def _sentence(error: HTTPError) -> str:
    text = str(error.log_message or error.reason or f"HTTP {error.status_code}")
    try:
        return text % error.args if error.args else text
    except (TypeError, ValueError):
        return text
