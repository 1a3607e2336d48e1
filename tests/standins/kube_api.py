"""Stand-in for a Kubernetes API server over HTTP: keeps objects, lists, watches and patches them,
and starts no pod. What a test needs of it, and no more."""

from __future__ import annotations

import asyncio
import json
import ssl
from typing import Any
from urllib.parse import unquote

from tornado import iostream, web
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

Object = dict[str, Any]


class KubeApiServer:
    """`async with KubeApiServer() as api`. `objects`: by path; `seen`: (method, path, body)."""

    def __init__(self, tls: ssl.SSLContext | None = None) -> None:
        self._tls = tls
        self.port = 0
        self.objects: dict[str, Object] = {}
        self.seen: list[tuple[str, str, Any]] = []
        self.headers: list[dict[str, str]] = []
        self.refuse: int | None = None
        self.page = 0
        self.version = 1
        self.changed = asyncio.Event()
        self.url = ""
        self._server: HTTPServer | None = None

    async def __aenter__(self) -> KubeApiServer:
        sockets = bind_sockets(0, "127.0.0.1")
        app = web.Application([(r"(/.*)", _Handler, {"api": self})])
        self._server = HTTPServer(app, ssl_options=self._tls)
        self._server.add_sockets(sockets)
        self.port = int(sockets[0].getsockname()[1])
        self.url = f"http{'s' if self._tls else ''}://127.0.0.1:{self.port}"
        return self

    async def __aexit__(self, *exception: object) -> None:
        assert self._server is not None
        self._server.stop()
        await self._server.close_all_connections()

    def put(self, path: str, item: Object) -> None:
        """Keep an object and tell the watchers."""
        self.version += 1
        item.setdefault("metadata", {})["resourceVersion"] = str(self.version)
        self.objects[path] = item
        self.changed.set()
        self.changed = asyncio.Event()

    def below(self, path: str) -> list[Object]:
        return [
            item
            for name, item in sorted(self.objects.items())
            if name.startswith(path + "/") and "/" not in name.removeprefix(path + "/")
        ]


class _Handler(web.RequestHandler):
    def initialize(self, api: KubeApiServer) -> None:
        self.api = api

    def prepare(self) -> None:
        body = json.loads(self.request.body) if self.request.body else None
        self.api.seen.append((self.request.method or "", self.request.path, body))
        self.api.headers.append(dict(self.request.headers))
        if self.api.refuse is not None:
            self.set_status(self.api.refuse)
            self.finish({"kind": "Status", "message": "not allowed here", "code": self.api.refuse})

    async def get(self, path: str) -> None:
        path = unquote(path)
        if path in self.api.objects:
            self.finish(self.api.objects[path])
        elif self.get_argument("watch", "") in ("true", "True", "1"):
            await self._watch(path)
        else:
            self._list(path)

    def post(self, path: str) -> None:
        item = json.loads(self.request.body)
        key = f"{path}/{item['metadata']['name']}"
        item["metadata"].setdefault("namespace", path.split("/")[4])
        if item.get("kind") == "Pod":
            # What the kubelet would report once its containers run.
            item["metadata"]["uid"] = f"uid-{len(self.api.objects)}"
            item["status"] = {
                "phase": "Running",
                "podIP": "127.0.0.1",
                "containerStatuses": [
                    {
                        "name": "notebook",
                        "ready": True,
                        "restartCount": 0,
                        "image": "any",
                        "imageID": "any",
                        "state": {"running": {}},
                    }
                ],
            }
        self.api.put(key, item)
        self.set_status(201)
        self.finish(item)

    def patch(self, path: str) -> None:
        path = unquote(path)
        body = json.loads(self.request.body)
        apply = "apply-patch" in self.request.headers["Content-Type"]
        item = self.api.objects.get(path)
        if item is None and not apply:
            self.set_status(404)
            self.finish({"kind": "Status", "message": "not found", "code": 404})
            return
        self.api.put(path, _merged(item or {}, body))
        self.finish(self.api.objects[path])

    def delete(self, path: str) -> None:
        self.api.objects.pop(path, None)
        self.finish({"kind": "Status", "status": "Success"})

    def _list(self, path: str) -> None:
        items = self.api.below(path)
        meta: Object = {"resourceVersion": str(self.api.version)}
        if self.api.page:
            start = int(self.get_argument("continue", "0"))
            end = start + self.api.page
            if end < len(items):
                meta["continue"] = str(end)
            items = items[start:end]
        self.finish({"kind": "List", "metadata": meta, "items": items})

    async def _watch(self, path: str) -> None:
        told = int(self.get_argument("resourceVersion", "0") or 0)
        self.set_header("Content-Type", "application/json")
        while True:
            for item in self.api.below(path):
                version = int(item["metadata"]["resourceVersion"])
                if version > told:
                    told = version
                    self.write(json.dumps({"type": "ADDED", "object": item}) + "\n")
            try:
                await self.flush()
            except iostream.StreamClosedError:
                return
            await self.api.changed.wait()


def _merged(old: Object, new: Object) -> Object:
    made = dict(old)
    for name, value in new.items():
        own = made.get(name)
        if value is None:
            made.pop(name, None)
        elif isinstance(value, dict):
            made[name] = _merged(own if isinstance(own, dict) else {}, value)
        else:
            made[name] = value
    return made
