"""Stand-in for a node's agent: answers the GPU questions of its HTTP interface with the real
decision and the real ledger, over facts that the test gives it."""

from __future__ import annotations

import asyncio
import json
import time
from typing import Any

from tornado import web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from nodeagent.gpu.canonical import build, encode, plain
from nodeagent.gpu.compact import compact
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.ledger import Ledger, release, reserve
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import Snapshot


class GpuNode:
    """`async with GpuNode(snapshot) as node`; `node.url` is its address."""

    def __init__(self, snapshot: Snapshot, *, token: str = "", delay: float = 0.0) -> None:
        self.snapshot = snapshot
        self.token = token
        self.delay = delay
        self.ledger = Ledger()
        self.asked: list[str] = []
        self._server: HTTPServer | None = None
        self.url = ""

    async def __aenter__(self) -> GpuNode:
        app = web.Application([(r"/v1/gpu/(\w+)", _Handler, {"node": self})])
        sockets = bind_sockets(0, "127.0.0.1")
        self._server = HTTPServer(app)
        self._server.add_sockets(sockets)
        self.url = f"http://127.0.0.1:{sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()

    def decide(self, raw: Any) -> dict[str, Any]:
        request = build(Request, raw["request"])
        now = time.time()
        decision = decide(request, [self.snapshot], Policy(), now, self.ledger)
        if raw["reserve"] and decision.reservations:
            self.ledger = reserve(
                self.ledger, decision.reservations, seen_version=self.ledger.version, now=now
            )
        return {"decision": plain(decision), "reserved": bool(decision.reservations)}


class _Handler(web.RequestHandler):
    def initialize(self, node: GpuNode) -> None:
        self.node = node

    async def prepare(self) -> None:
        self.node.asked.append(self.request.path)
        await asyncio.sleep(self.node.delay)
        if self.node.token and (
            self.request.headers.get("Authorization") != f"Bearer {self.node.token}"
        ):
            self.set_status(401)
            self.finish({"code": "token-needed", "message": "For the operator.", "fix": "Send it."})

    def get(self, what: str) -> None:
        assert what == "snapshot"
        self.set_header("Content-Type", "application/json")
        short = self.get_argument("compact", "") == "1"
        self.finish(compact(self.node.snapshot) if short else encode(self.node.snapshot))

    def post(self, what: str) -> None:
        raw = json.loads(self.request.body)
        if what == "decide":
            self.finish(self.node.decide(raw))
            return
        assert what == "release"
        self.node.ledger = release(self.node.ledger, raw["pod"])
        self.finish({"ledger_version": self.node.ledger.version})
