"""A JupyterLab whose node agent tells of a GPU, for tests and pictures."""

from __future__ import annotations

import json
import shutil
import tempfile
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo.state import Paths
from tests.browser.conftest import RunningDemo, start_demo, stop_demo
from tests.standins.gpu_agent import GpuAgent, card, flag, gpu_agent, me, old, process, told

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class GpuLab:
    """The lab, and the agent that it asks."""

    demo: RunningDemo
    agent: GpuAgent

    def rest(self, path: str, method: str = "GET", body: Any = None) -> Any:
        """The server's own interface."""
        base, _, token = self.demo.url.partition("/lab?token=")
        request = urllib.request.Request(
            f"{base}/api/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"token {token}"},
        )
        with urllib.request.urlopen(request, timeout=30) as answer:
            return json.loads(answer.read() or b"null")

    def notebook(self, path: str) -> str:
        """A notebook with a kernel; the kernel's id."""
        content = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
        self.rest(f"contents/{path}", "PUT", {"type": "notebook", "content": content})
        kernel = {"name": "python3"}
        session = {"path": path, "name": path, "type": "notebook", "kernel": kernel}
        return str(self.rest("sessions", "POST", session)["kernel"]["id"])

    def kernels(self) -> list[str]:
        """Ids of the kernels that run."""
        return [kernel["id"] for kernel in self.rest("kernels")]

    def clear(self) -> None:
        """No kernel, and a GPU on which this user has nothing."""
        for session in self.rest("sessions"):
            self.rest(f"sessions/{session['id']}", "DELETE")
        self.agent.me = me()


@contextmanager
def gpu_lab() -> Iterator[GpuLab]:
    """It runs while the block does. The folder's name is short: a socket's path is."""
    folder = Path(tempfile.mkdtemp(prefix="gpu-"))
    try:
        with gpu_agent(folder / "node.sock") as agent:
            paths = Paths(state=folder / "demo")
            paths.make()
            (paths.config / "jupyter_server_config.py").write_text(
                f"c.Samepage.agent_url = {agent.url!r}\nc.Samepage.agent_cache_seconds = 0.0\n"
            )
            running, demo = start_demo(paths.state, "--no-agent", "--stations", "1")
            try:
                yield GpuLab(demo=demo, agent=agent)
            finally:
                stop_demo(running)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def forgotten(kernel: str, other: str, now: float) -> dict[str, Any]:
    """One notebook holds 9 GiB idle for two hours, another works with 1.2 GiB."""
    idle = process(101, inner_pid=None, kernel_id=kernel, last_busy=told(now - 7260))
    busy = process(
        102,
        inner_pid=None,
        kernel_id=other,
        memory_bytes=told(int(1.2 * GIB)),
        duty_1m=told(0.92),
        duty_5m=told(0.81),
        duty_15m=told(0.34),
        last_busy=told(now),
    )
    return me(processes=[idle, busy], flags=[flag(kernel_ids=[kernel])])


def out_of_date() -> dict[str, Any]:
    """The driver has not answered for three minutes."""
    stale = card(
        memory_free_bytes=old(3 * GIB, 190),
        memory_used_bytes=old(12 * GIB, 190),
        memory_total_bytes=old(15 * GIB, 190),
    )
    return me(state="stale", message="The driver does not answer.", age_seconds=190.0, gpus=[stale])
