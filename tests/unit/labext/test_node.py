"""Answers of a node agent, and of things that are none."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from labext.node import NODE, NodeAnswer, NodeClient, is_history

NODE_JSON: dict[str, Any] = {
    "version": "0.1.0",
    "node": "n1",
    "time": 1.5,
    "interval_seconds": 10.0,
    "ksm": {
        "supported": True,
        "mode": "tune",
        "running": True,
        "phase": "steady",
        "why": "40% free: rest",
        "saved_bytes": None,
        "profit_bytes": -5,
        "stale": False,
        "problem": None,
    },
    "memory": {"total_bytes": 10, "available_bytes": 5},
    "gpus": {"state": "no_driver", "message": "No GPU.", "age_seconds": None, "devices": []},
}
HISTORY_JSON: dict[str, Any] = {
    "interval_seconds": 10.0,
    "points": [{"time": 1.0, "saved_bytes": None, "available_bytes": 5, "ksmd_cpu_ratio": 0.1}],
}
Answers = dict[str, tuple[int, bytes]]
HEALTHY: Answers = {
    "/v1/node": (200, json.dumps(NODE_JSON).encode()),
    "/v1/history": (200, json.dumps(HISTORY_JSON).encode()),
}


@contextmanager
def agent(answers: Answers, release: threading.Event | None = None) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            if release is not None:
                release.wait(20)
            status, body = answers.get(self.path, (404, b"{}"))
            try:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except ConnectionError:
                self.close_connection = True

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        if release is not None:
            release.set()
        server.shutdown()
        thread.join()
        server.server_close()


def ask(url: str, timeout: float = 5.0) -> NodeAnswer:
    return asyncio.run(NodeClient(url, timeout).ask())


def test_a_healthy_agent() -> None:
    with agent(HEALTHY) as url:
        answer = ask(url + "/")
    assert (answer.state, answer.node, answer.history) == ("ok", NODE_JSON, HISTORY_JSON)


def test_turned_off() -> None:
    assert ask("").state == "off"


def test_nothing_listens() -> None:
    with agent(HEALTHY) as url:
        pass
    answer = ask(url)
    assert answer.state == "absent"
    assert answer.message == f"No node agent answers at {url} (Connection refused)."
    assert answer.fix == "Ask your operator, or start one with: samepage-agent run"


def test_an_agent_that_hangs() -> None:
    with agent(HEALTHY, release=threading.Event()) as url:
        answer = ask(url, timeout=0.3)
    assert answer.state == "error"
    assert "did not answer within 0.3 s" in answer.message


def broken(change: Callable[[dict[str, Any]], object]) -> bytes:
    value = json.loads(json.dumps(NODE_JSON))
    change(value)
    return json.dumps(value).encode()


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        pytest.param((500, b"{}"), "answered 500", id="status"),
        pytest.param((302, b"{}"), "answered 302", id="redirect"),
        pytest.param((200, b"<html>"), "not JSON", id="html"),
        pytest.param((200, b"[]"), "not a JSON object", id="list"),
        pytest.param((200, broken(lambda v: v.pop("ksm"))), "'ksm' is a required", id="part"),
        pytest.param(
            (200, broken(lambda v: v["ksm"].update(saved_bytes="4"))),
            "$.ksm.saved_bytes",
            id="type",
        ),
    ],
)
def test_wrong_answers(answer: tuple[int, bytes], words: str) -> None:
    with agent({**HEALTHY, "/v1/node": answer}) as url:
        seen = ask(url)
    assert seen.state == "error"
    assert words in seen.message
    assert (seen.node, seen.history) == (None, None)


def test_an_address_that_is_none() -> None:
    assert ask("gopher://x").state == "error"


def test_no_history_leaves_the_node() -> None:
    with agent({"/v1/node": HEALTHY["/v1/node"]}) as url:
        answer = ask(url)
    assert (answer.state, answer.node, answer.history) == ("ok", NODE_JSON, None)
    assert "history" in answer.message


@pytest.mark.parametrize(
    "value",
    [
        {},
        {"interval_seconds": 1, "points": {}},
        {"interval_seconds": True, "points": []},
        {"interval_seconds": 1, "points": [{"time": None}]},
        {"interval_seconds": 1, "points": [{"time": 1, "saved_bytes": "1"}]},
    ],
)
def test_no_history(value: dict[str, Any]) -> None:
    assert not is_history(value)


def test_the_schema_is_one() -> None:
    NODE.check_schema(NODE.schema)
