"""How many questions of kube-scheduler the extender answers on one core, over HTTP.

`python -m benchmarks.gpu_extender`. The extender is a process of its own on one core, its clients
on the others. On a busy machine the wall clock tells about the other work; CPU time per answer does
not, and the rate that one whole core allows follows from it.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

import psutil
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets

from benchmarks.gpu_decide import GPUS, NOW, fleet
from benchmarks.page import Page, Table
from benchmarks.spread import percentile
from nodeagent.gpu.extender.app import build_extender
from nodeagent.gpu.extender.command import spare_the_collector
from nodeagent.gpu.extender.ranker import Ranker
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.standing import stand

TARGET = 200.0
CLIENTS = 4
CLASS = 300
"""Pods that start together; each asks again and again."""


async def serve(nodes: int) -> None:
    """The extender with the facts of so many nodes; prints its port."""
    spare_the_collector()
    ranker = Ranker(Policy(), clock=lambda: NOW)
    ranker.learn([stand(each, Policy()) for each in fleet(nodes, random.Random(1))])
    sockets = bind_sockets(0, "127.0.0.1")
    server = HTTPServer(build_extender(ranker))
    server.add_sockets(sockets)
    print(sockets[0].getsockname()[1], flush=True)
    await asyncio.Event().wait()


@contextmanager
def extender(nodes: int) -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "benchmarks.gpu_extender", "--serve", str(nodes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            port = int(process.stdout.readline())
            os.sched_setaffinity(process.pid, {min(os.sched_getaffinity(0))})
            yield port, psutil.Process(process.pid)
        finally:
            process.kill()


def question(pod: int, nodes: int) -> bytes:
    asked = {
        "metadata": {
            "name": f"jupyter-{pod}",
            "namespace": "hub",
            "annotations": {"samepage/gpu-memory-bytes": str(4 * GIB)},
        },
        "spec": {"containers": [{"resources": {"limits": {"nvidia.com/gpu": "1"}}}]},
    }
    names = [f"node-{node:04}" for node in range(nodes)]
    return json.dumps({"Pod": asked, "NodeNames": names}).encode()


def ask(port: int, nodes: int, times: int, first: int, took: list[float]) -> None:
    """One client with a connection that it keeps, as the scheduler does."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    for at in range(times):
        body = question((first + at) % CLASS, nodes)
        began = time.perf_counter()
        connection.request("POST", "/samepage/prioritize", body=body)
        answer = connection.getresponse()
        said = answer.read()
        took.append(time.perf_counter() - began)
        assert answer.status == 200
        assert said.count(b'"Host"') == nodes
    connection.close()


def measure(nodes: int, questions: int) -> tuple[float, float, list[float]]:
    """(questions per second, CPU seconds per answer, seconds of each)."""
    with extender(nodes) as (port, process):
        ask(port, nodes, 20, 0, [])
        took: list[float] = []
        share = questions // CLIENTS
        clients = [
            threading.Thread(target=ask, args=(port, nodes, share, at * share, took))
            for at in range(CLIENTS)
        ]
        before, began = process.cpu_times(), time.perf_counter()
        for client in clients:
            client.start()
        for client in clients:
            client.join()
        seconds, after = time.perf_counter() - began, process.cpu_times()
    spent = after.user + after.system - before.user - before.system
    return len(took) / seconds, spent / len(took), took


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--serve", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--questions", type=int, default=2000)
    options = parser.parse_args()
    if options.serve is not None:
        asyncio.run(serve(options.serve))
        return
    rows, most = [], 0
    for nodes in (10, 100, 420, 1000):
        questions = max(200, min(options.questions, 150_000 // nodes))
        rate, spent, took = measure(nodes, questions)
        allows = 1 / spent
        if allows >= TARGET:
            most = max(most, nodes)
        rows.append(
            (
                str(nodes),
                str(questions),
                f"{rate:.0f}",
                f"{spent * 1000:.2f}",
                f"{allows:.0f}",
                f"{percentile(took, 0.5) * 1000:.1f}",
                f"{percentile(took, 0.99) * 1000:.1f}",
            )
        )
    Page(
        name="gpu_extender",
        title="Answers of the scheduler's extender",
        method=(
            f"`samepage-agent gpu extender`'s server as a process on one core, with the facts of "
            f"nodes of {GPUS} GPUs and 0 to 4 notebooks each; {CLIENTS} clients with connections "
            f"that are kept ask it to rank all of them for {CLASS} pods in turn. `per second and "
            "core` is what the CPU time of one answer allows on a core of its own."
        ),
        tables=[
            Table(
                title="By the number of nodes that are to be ranked",
                columns=(
                    "nodes",
                    "answers",
                    "per second, here",
                    "CPU per answer, ms",
                    "per second and core",
                    "p50, ms",
                    "p99, ms",
                ),
                rows=rows,
            ),
            Table(
                title="Target",
                columns=("target", "measured", ""),
                rows=[
                    (
                        f"{TARGET:.0f} answers per second on one core",
                        f"with up to {most} nodes",
                        "met" if most >= 100 else "missed",
                    )
                ],
            ),
        ],
        notes=[
            "kube-scheduler asks about one pod after another, and of large clusters it has only a "
            "part of the nodes ranked (percentageOfNodesToScore: 42 % of 1000).",
        ],
    ).publish()


if __name__ == "__main__":
    main()
