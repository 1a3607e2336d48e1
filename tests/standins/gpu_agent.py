"""The node agent's answers about one user's GPUs, on a Unix socket, as a test wants them.

For what the real agent says only after half an hour of idle memory. Its shape is the agent's own;
`labext.gpu_shape` checks it, and a test with the real agent that the two agree.
"""

from __future__ import annotations

import json
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

GIB = 2**30
CARD = "GPU-5ca1ab1e-0000-4000-8000-000000000001"
NODE: dict[str, Any] = {
    "version": "0.1.0",
    "node": "n1",
    "time": 1.5,
    "interval_seconds": 10.0,
    "ksm": {
        "supported": True,
        "mode": "tune",
        "running": False,
        "phase": "rest",
        "why": "all merged",
        "saved_bytes": 812 * 2**20,
        "profit_bytes": 790 * 2**20,
        "ksmd_cpu_ratio": 0.01,
        "opted_in_processes": 14,
        "stale": False,
        "problem": None,
    },
    "memory": {"total_bytes": 64 * GIB, "available_bytes": 41 * GIB},
    "gpus": {"state": "ok", "message": "1 GPU.", "age_seconds": 1.0, "devices": []},
}


def told(value: Any) -> dict[str, Any]:
    """A reading that holds."""
    return {"value": value, "status": "ok", "source": "nvml", "age_seconds": 0.5, "why": None}


def untold(why: str, status: str = "unknown") -> dict[str, Any]:
    """A reading without a value."""
    return {"value": None, "status": status, "source": "nvml", "age_seconds": None, "why": why}


def old(value: Any, age: float) -> dict[str, Any]:
    """The last value, out of date."""
    return told(value) | {"status": "stale", "age_seconds": age}


def card(**changes: Any) -> dict[str, Any]:
    """A T4 with 15 GiB, 10 of them in use, of which the user has some."""
    return {
        "uuid": CARD,
        "index": 0,
        "kind": "gpu",
        "parent": None,
        "name": told("Tesla T4"),
        "memory_total_bytes": told(15 * GIB),
        "memory_used_bytes": told(12 * GIB),
        "memory_free_bytes": told(3 * GIB),
        "unified_memory": told(value=False),
        "busy_1m": told(0.1),
        "sharers": 3,
        "mine": True,
    } | changes


def process(pid: int, **changes: Any) -> dict[str, Any]:
    """A process of the user that holds 9 GiB and worked last two hours ago."""
    return {
        "gpu": CARD,
        "pid": pid + 40_000,
        "inner_pid": pid,
        "kernel_id": None,
        "name": "python3",
        "memory_bytes": told(9 * GIB),
        "duty_1m": told(0.0),
        "duty_5m": told(0.0),
        "duty_15m": told(0.0),
        "mean_sm_15m": told(0.0),
        "last_busy": untold("none seen"),
        "started": None,
    } | changes


def flag(**changes: Any) -> dict[str, Any]:
    """9 GiB held idle for two hours."""
    return {
        "gpu": CARD,
        "what": "idle",
        "stage": "warning",
        "text": "9.0 GiB held for 2 h without work on it",
        "command": "del model; torch.cuda.empty_cache(), or shut the kernel down",
        "evidence": ["memory 9663676416", "duty of 5 min 0"],
        "quiet_because": None,
        "held_bytes": 9 * GIB,
        "idle_seconds": 7260.0,
        "kernel_ids": [],
    } | changes


def me(**changes: Any) -> dict[str, Any]:
    """The answer of /v1/gpu/me."""
    return {
        "owner": "courses/jupyter-ada",
        "state": "ok",
        "message": "1 GPU.",
        "age_seconds": 0.5,
        "why": None,
        "gpus": [card()],
        "processes": [],
        "flags": [],
    } | changes


class GpuAgent:
    """`me`: what /v1/gpu/me answers; None: it has no such page."""

    def __init__(self, path: Path) -> None:
        self.url = f"unix://{path}"
        self.me: Any = me()
        self.asked: list[str] = []


@contextmanager
def gpu_agent(path: Path) -> Iterator[GpuAgent]:
    """An agent that answers at `path`."""
    agent = GpuAgent(path)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            agent.asked.append(self.path)
            pages = {
                "/v1/node": NODE,
                "/v1/history": {"interval_seconds": 10.0, "points": []},
                "/v1/gpu/me": agent.me,
            }
            answer = pages.get(self.path)
            body = json.dumps(answer).encode()
            self.send_response(404 if answer is None else 200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def address_string(self) -> str:
            return "unix"

        def log_message(self, format: str, *args: Any) -> None:
            pass

    server = socketserver.ThreadingUnixStreamServer(str(path), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield agent
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
