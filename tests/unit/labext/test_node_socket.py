"""The node agent on a Unix socket, as a student's container sees it."""

from __future__ import annotations

import asyncio
import json
import socketserver
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import pytest

from labext.node import NodeAnswer, NodeClient

NODE: dict[str, Any] = {
    "version": "0.1.0",
    "node": "n1",
    "time": 1.5,
    "interval_seconds": 10.0,
    "ksm": {
        "supported": True,
        "mode": "tune",
        "running": True,
        "why": "rest",
        "saved_bytes": 4096,
        "stale": False,
    },
    "memory": {"total_bytes": 10, "available_bytes": 5},
    "gpus": {"state": "no_driver", "message": "No GPU.", "devices": []},
}
hosts: list[str] = []


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        hosts.append(self.headers["Host"])
        node = self.path == "/v1/node"
        body = json.dumps(NODE if node else {"interval_seconds": 10.0, "points": []}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix"

    def log_message(self, format: str, *args: Any) -> None:
        pass


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Path]:
    path = tmp_path / "node.sock"
    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    yield path
    server.shutdown()
    thread.join()
    server.server_close()


def ask(url: str) -> NodeAnswer:
    return asyncio.run(NodeClient(url, 5.0).ask())


def test_an_agent_on_a_socket(place: Path) -> None:
    hosts.clear()
    answer = ask(f"unix://{place}")
    assert (answer.state, answer.node) == ("ok", NODE)
    assert answer.history is not None
    assert hosts == ["localhost", "localhost"]
    assert str(place) in answer.message


def test_no_socket_there(tmp_path: Path) -> None:
    answer = ask(f"unix://{tmp_path}/node.sock")
    assert answer.state == "absent"
    assert "No such file or directory" in answer.message
    assert answer.fix is not None


def test_a_socket_nobody_listens_on(place: Path, tmp_path: Path) -> None:
    import socket

    dead = tmp_path / "dead.sock"
    with socket.socket(socket.AF_UNIX) as opened:
        opened.bind(str(dead))
    answer = ask(f"unix://{dead}")
    assert answer.state == "absent"
    assert "Connection refused" in answer.message


@pytest.mark.parametrize("url", ["unix://", "unix://run/node.sock", "unix:///" + "x" * 120])
def test_no_path_of_a_socket(url: str) -> None:
    answer = ask(url)
    assert answer.state in ("error", "off")
    assert "no path of a socket" in answer.message
