"""Stand-in for Docker's engine API over HTTP: takes what is to be created, and runs nothing."""

from __future__ import annotations

import json
from typing import Any

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets


class DockerEngine:
    """`async with DockerEngine() as engine`. `created`: (kind, body) in order."""

    def __init__(self) -> None:
        self.created: list[tuple[str, Any]] = []
        self.url = ""
        self._server: HTTPServer | None = None

    async def __aenter__(self) -> DockerEngine:
        app = web.Application(
            [
                (r"/v[\d.]+/(containers|services)/create", _Create, {"engine": self}),
                (r"/v[\d.]+/tasks", _Tasks),
            ]
        )
        sockets = bind_sockets(0, "127.0.0.1")
        self._server = HTTPServer(app)
        self._server.add_sockets(sockets)
        self.url = f"tcp://127.0.0.1:{sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()


class _Create(web.RequestHandler):
    def initialize(self, engine: DockerEngine) -> None:
        self._engine = engine

    def post(self, kind: str) -> None:
        self._engine.created.append((kind, json.loads(self.request.body)))
        self.set_status(201)
        self.finish({"Id": "c0ffee", "ID": "c0ffee", "Warnings": []})


class _Tasks(web.RequestHandler):
    def get(self) -> None:
        self.set_header("Content-Type", "application/json")
        self.finish(json.dumps([{"ID": "task"}]))
