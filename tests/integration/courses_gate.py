"""In front of the git server: asks for a password, sends elsewhere, breaks off, is busy."""

from __future__ import annotations

import base64
import hashlib
import http.client
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from demo.git_server import GitServer


@dataclass
class Rule:
    """What the gate does. All of it can be changed while it runs.

    login: user and password it wants. redirect: address to send to, instead of an answer.
    cut: bytes of a pack to let through. busy: Retry-After of a 429 (empty: none). large: LFS
    objects by SHA-256. seen: path and Authorization of each request.
    """

    login: tuple[str, str] | None = None
    redirect: str | None = None
    cut: int | None = None
    busy: str | None = None
    large: dict[str, bytes] = field(default_factory=dict)
    seen: list[tuple[str, str | None]] = field(default_factory=list)

    def given(self) -> set[str]:
        """The credentials that were shown, decoded."""
        return {
            base64.b64decode(value.removeprefix("Basic ")).decode()
            for _, value in self.seen
            if value is not None
        }

    def keep(self, content: bytes) -> str:
        """Store an LFS object; its pointer."""
        oid = hashlib.sha256(content).hexdigest()
        self.large[oid] = content
        return (
            f"version https://git-lfs.github.com/spec/v1\noid sha256:{oid}\nsize {len(content)}\n"
        )


@contextmanager
def gate(served: Path, rule: Rule) -> Iterator[str]:
    """An address, without the repository's name and without an end slash."""
    with GitServer(served) as behind:

        class Handler(_Handler):
            port = behind.port

        Handler.rule = rule
        server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()
            server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.0"
    rule: Rule
    port: int

    def log_message(self, format: str, *args: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer()

    def do_POST(self) -> None:
        self._answer()

    def _answer(self) -> None:
        rule = self.rule
        body = self._body()
        rule.seen.append((self.path, self.headers.get("Authorization")))
        if rule.busy is not None:
            return self._say(429, {"Retry-After": rule.busy} if rule.busy else {}, b"busy")
        if rule.redirect is not None:
            return self._say(302, {"Location": f"{rule.redirect}{self.path}"}, b"")
        if rule.login is not None:
            wanted = base64.b64encode(":".join(rule.login).encode()).decode()
            if self.headers.get("Authorization") != f"Basic {wanted}":
                return self._say(401, {"WWW-Authenticate": 'Basic realm="course"'}, b"")
        if "/info/lfs/objects/batch" in self.path:
            return self._batch(json.loads(body))
        if (found := re.fullmatch(r"/lfs/([0-9a-f]{64})", self.path)) is not None:
            content = rule.large.get(found[1])
            return self._say(404 if content is None else 200, {}, content or b"")
        return self._pass_on(body)

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") == "chunked":
            content = b""
            while size := int(self.rfile.readline(), 16):
                content += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
            return content
        return self.rfile.read(int(self.headers.get("Content-Length", "0")))

    def _batch(self, asked: Any) -> None:
        host = self.headers["Host"]
        objects = [
            {
                "oid": item["oid"],
                "size": item["size"],
                "actions": {"download": {"href": f"http://{host}/lfs/{item['oid']}"}},
            }
            for item in asked["objects"]
        ]
        content = json.dumps({"transfer": "basic", "objects": objects}).encode()
        self._say(200, {"Content-Type": "application/vnd.git-lfs+json"}, content)

    def _pass_on(self, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        names = ["Content-Type", "Content-Encoding", "Accept", "Git-Protocol"]
        headers = {name: self.headers[name] for name in names if name in self.headers}
        try:
            connection.request(self.command, self.path, body, headers)
            answer = connection.getresponse()
            content = answer.read()
            cut = self.rule.cut
            if cut is not None and self.command == "POST" and b"PACK" in content:
                content = content[: content.index(b"PACK") + cut]
            kind = answer.headers.get("Content-Type", "text/plain")
            self._say(answer.status, {"Content-Type": kind}, content)
        finally:
            connection.close()

    def _say(self, status: int, headers: dict[str, str], content: bytes) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)
