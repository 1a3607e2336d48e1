"""What the node says about merging and alignment, and what counts while its agent is away."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from labext.kernels.node_switch import UNSAID, NodeSwitch, Word, ask_agent
from labext.kernels.server_start import Stock, hindrance
from labext.kernels.switch import align_switch, merge_switch


@contextmanager
def answering(body: bytes, status: int = 200) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            assert self.path == "/v1/node"
            self.send_response(status)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def node(**kernels: Any) -> bytes:
    return json.dumps({"version": "1", "kernels": kernels}).encode()


@pytest.mark.parametrize(
    ("body", "word"),
    [
        (node(merge=True, align=False), Word(merge=True, align=False)),
        (node(merge=False, align=True), Word(merge=False, align=True)),
        (node(merge="no", align=0), UNSAID),
        (b'{"version": "1"}', UNSAID),
        (b'{"kernels": [1]}', UNSAID),
        (b"[]", UNSAID),
        (b"<html>", UNSAID),
    ],
)
def test_what_an_agent_says(body: bytes, word: Word) -> None:
    with answering(body) as url:
        assert NodeSwitch(url).word() == word


def test_an_agent_with_an_error_says_nothing() -> None:
    with answering(node(merge=False), status=503) as url:
        assert NodeSwitch(url).word() == UNSAID


@pytest.mark.parametrize(
    "url",
    ["", "http://127.0.0.1:1", "unix:///nonexistent", "ftp://a", "nonsense", "http://[", "http://"],
)
def test_nobody_there(url: str) -> None:
    switch = NodeSwitch(url)
    assert switch.word() == switch.known() == UNSAID


def test_an_agent_that_hangs_costs_half_a_second_once() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        switch = NodeSwitch(f"http://127.0.0.1:{silent.getsockname()[1]}")
        began = os.times().elapsed
        assert switch.word() == UNSAID
        for _ in range(20):
            switch.word()
        assert os.times().elapsed - began < 3


def test_an_answer_that_never_ends_costs_two_seconds(tmp_path: Path) -> None:
    """Where no agent runs, anybody on the machine may listen at its address."""
    path = tmp_path / "node.sock"
    over = threading.Event()
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def drip() -> None:
            peer, _ = server.accept()
            with peer, contextlib.suppress(OSError):
                peer.sendall(b"HTTP/1.1 200 OK\r\nX: ")
                while not over.wait(0.1):
                    peer.sendall(b"x")

        thread = threading.Thread(target=drip)
        thread.start()
        timer = threading.Timer(15, over.set)
        timer.start()
        began = os.times().elapsed
        assert NodeSwitch(f"unix://{path}").word() == UNSAID
        assert os.times().elapsed - began < 8
        over.set()
        timer.cancel()
        thread.join()


def test_over_a_socket(tmp_path: Path) -> None:
    path = tmp_path / "node.sock"
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(path))
        server.listen()

        def answer() -> None:
            peer, _ = server.accept()
            with peer:
                assert peer.recv(1000).startswith(b"GET /v1/node HTTP/1.1\r\nHost: localhost")
                body = node(align=False)
                peer.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n" + body)

        thread = threading.Thread(target=answer)
        thread.start()
        assert ask_agent(f"unix://{path}")["kernels"] == {"align": False}
        thread.join()


class Agent:
    """An agent that comes and goes."""

    def __init__(self) -> None:
        self.now = 100.0
        self.asked = 0
        self.says: Mapping[str, Any] | None = None

    def ask(self, url: str) -> Mapping[str, Any]:
        self.asked += 1
        if self.says is None:
            raise ConnectionRefusedError
        return {"kernels": self.says}


def test_a_no_holds_while_the_agent_is_away_and_ends_with_its_word() -> None:
    agent = Agent()
    switch = NodeSwitch("http://a", ask=agent.ask, clock=lambda: agent.now)
    assert switch.word() == UNSAID
    agent.says, agent.now = {"merge": True, "align": False}, 111.0
    assert switch.word().align is False
    agent.says = None
    for agent.now in (122.0, 133.0, 100_000.0):
        assert switch.word().align is False
    assert switch.known().forbids
    agent.says, agent.now = {"merge": True, "align": True}, 200_000.0
    assert switch.word() == Word(merge=True, align=True)
    agent.says, agent.now = None, 300_000.0
    assert switch.word() == UNSAID


def test_it_is_asked_once_in_ten_seconds() -> None:
    agent = Agent()
    agent.says = {"merge": True, "align": True}
    switch = NodeSwitch("http://a", ask=agent.ask, clock=lambda: agent.now)
    for agent.now in (100.0, 101.0, 109.0):
        switch.word()
    assert agent.asked == 1
    switch.take({"kernels": {"align": False}})
    assert switch.word().align is False
    assert agent.asked == 1
    agent.now = 120.0
    switch.word()
    assert agent.asked == 2


def test_the_nodes_no_wins_over_every_yes() -> None:
    environment, metadata = {"SAMEPAGE_ALIGNED": "1"}, {"samepage": {"aligned": True}}
    ask: Callable[..., Any] = align_switch
    said = ask(
        trait=True,
        environment=environment,
        metadata=metadata,
        node_merges=True,
        node_allows=False,
    )
    assert not said.on
    assert "switched off for this node" in (said.why or "")
    for allows in (True, None):
        assert align_switch(
            trait=True, environment={}, metadata={}, node_merges=False, node_allows=allows
        ).on
    assert not align_switch(
        trait=None, environment={}, metadata={}, node_merges=False, node_allows=True
    ).on
    assert not merge_switch(trait=True, environment={}, metadata={}, node_allows=False).on
    assert merge_switch(trait=True, environment={}, metadata={}, node_allows=True).on
    server = Stock(words=("/bin/server",), python="/usr/bin/python3")
    reason = hindrance(server, environment, open_files=[], word=Word(align=False))
    assert "switched off for this node" in (reason or "")
