"""The scheduler's extender: its protocol, its points, its claims, the process itself."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import requests
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.simple_httpclient import SimpleAsyncHTTPClient

from demo.http import free_port
from nodeagent.gpu.compact import compact
from nodeagent.gpu.extender.app import build_extender
from nodeagent.gpu.extender.pods import request_of
from nodeagent.gpu.extender.protocol import ProtocolError, read_args
from nodeagent.gpu.extender.ranker import Ranker, keep_learning
from nodeagent.gpu.fleet.evidence import Gathered, Located
from nodeagent.gpu.fleet.standings import Standings
from nodeagent.gpu.publish.target import ANNOTATION
from nodeagent.gpu.reading import unknown
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.standing import stand
from nodeagent.gpu.snapshot import GpuFacts, Snapshot
from tests.standins.gpu_node import GpuNode
from tests.unit.nodeagent.gpu_support import NOW, gpu, held, node

GPU_POD = {
    "metadata": {
        "name": "jupyter-ada",
        "namespace": "hub",
        "annotations": {"samepage/gpu-memory-bytes": str(6 * GIB)},
    },
    "spec": {
        "containers": [
            {"name": "notebook", "resources": {"limits": {"nvidia.com/gpu": "1"}}},
            {"name": "beside", "resources": {}},
        ]
    },
}


def pod(name: str = "jupyter-ada", **limits: str) -> dict[str, Any]:
    made: dict[str, Any] = json.loads(json.dumps(GPU_POD))
    made["metadata"]["name"] = name
    if limits:
        asked = {key.replace("_", "/", 1): value for key, value in limits.items()}
        made["spec"]["containers"][0]["resources"]["limits"] = asked
    return made


def ranker(*snapshots: Snapshot) -> Ranker:
    made = Ranker(Policy(), clock=lambda: NOW)
    made.learn([stand(each, Policy()) for each in snapshots])
    return made


def scored(made: Ranker, *nodes: str, asking: dict[str, Any] | None = None) -> dict[str, int]:
    body = {"Pod": asking or GPU_POD, "NodeNames": list(nodes)}
    return dict(made.scores(read_args(json.dumps(body).encode())))


def test_room_comes_before_unknown_and_unknown_before_full() -> None:
    made = ranker(
        node(gpu("GPU-a"), name="empty"),
        node(held("GPU-b", 15 * GIB), name="full"),
        node(gpu("GPU-c", memory_total_bytes=unknown("not told")), name="blind"),
        replace(node(gpu("GPU-d"), name="stale"), taken=NOW - 600),
    )
    points = scored(made, "full", "stale", "blind", "empty", "stranger")
    assert list(points) == ["full", "stale", "blind", "empty", "stranger"]
    assert points["empty"] >= 4
    assert points["stale"] == points["blind"] == points["stranger"] == 2
    assert points["full"] == 0
    assert all(0 <= each <= 10 for each in points.values())


def test_where_nothing_is_known_nothing_changes() -> None:
    assert set(scored(ranker(), "a", "b", "c").values()) == {2}


def test_a_pod_without_gpus_is_of_no_interest() -> None:
    made = ranker(node(gpu("GPU-a"), name="n1"))
    asking = pod(**{"cpu": "2", "nvidia.com_gpu": "0"})
    assert scored(made, "n1", "n2", asking=asking) == {"n1": 0, "n2": 0}


def test_a_class_that_starts_together_is_spread_over_the_room_there_is() -> None:
    made = ranker(
        node(gpu("GPU-a", total=10 * GIB), name="n1"), node(gpu("GPU-b", total=10 * GIB), name="n2")
    )
    first = scored(made, "n1", "n2", asking=pod("ada"))
    second = scored(made, "n1", "n2", asking=pod("bob"))
    third = scored(made, "n1", "n2", asking=pod("cyd"))
    assert max(first, key=lambda name: first[name]) != max(second, key=lambda name: second[name])
    assert set(third.values()) == {0}
    # The scheduler asks again about the same pod: its own claim does not stand in its way.
    again = scored(made, "n1", "n2", asking=pod("ada"))
    mine = max(first, key=lambda name: first[name])
    assert again[mine] == first[mine]


def test_facts_that_come_with_the_nodes_are_used() -> None:
    made = ranker()
    facts = node(gpu("GPU-a"), name="n1")
    items = [
        {"metadata": {"name": "n1", "annotations": {ANNOTATION: compact(facts)}}},
        {"metadata": {"name": "n2", "annotations": {ANNOTATION: "{broken"}}},
        {"metadata": {"name": "n3"}},
    ]
    body = json.dumps({"Pod": GPU_POD, "Nodes": {"items": items}}).encode()
    points = dict(made.scores(read_args(body)))
    assert points["n1"] >= 4
    assert (points["n2"], points["n3"]) == (2, 2)


@pytest.mark.parametrize("spelling", [str, str.lower])
def test_both_spellings_of_the_fields_are_understood(spelling: Callable[[str], str]) -> None:
    names = {spelling("Pod"): GPU_POD, spelling("NodeNames"): ["a", "b"], spelling("Nodes"): None}
    assert read_args(json.dumps(names).encode()).nodes == ("a", "b")
    whole = {
        spelling("Pod"): GPU_POD,
        spelling("NodeNames"): None,
        spelling("Nodes"): {spelling("Items"): [{"metadata": {"name": "c"}}]},
    }
    assert read_args(json.dumps(whole).encode()).nodes == ("c",)


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"Pod": 3, "NodeNames": []}',
        b'{"Pod": {}}',
        b'{"Pod": {}, "NodeNames": "a"}',
        b'{"Pod": {}, "NodeNames": [1]}',
        b'{"Pod": {}, "Nodes": []}',
        b'{"Pod": {}, "Nodes": {"items": [3]}}',
        b'{"Pod": {}, "Nodes": {"items": [{"metadata": {}}]}}',
    ],
)
def test_what_no_scheduler_sends_is_refused(body: bytes) -> None:
    with pytest.raises(ProtocolError):
        read_args(body)


def test_what_a_pod_asks_for() -> None:
    asked = request_of(pod())
    assert asked is not None
    assert (asked.pod, asked.want, asked.memory_bytes) == ("hub/jupyter-ada", "share", 6 * GIB)
    several = request_of(pod(**{"nvidia.com_gpu": "4"}))
    assert several is not None
    assert (several.want, several.gpus) == ("exclusive", 4)
    instance = request_of(pod(**{"nvidia.com_mig-1g.10gb": "1"}))
    assert instance is not None
    assert (instance.want, instance.mig_profile) == ("mig", "1g.10gb")


@pytest.mark.parametrize(
    "broken",
    [
        {},
        {"metadata": None, "spec": None},
        {"spec": {"containers": "no"}},
        {"spec": {"containers": [None, {"resources": {"limits": {"nvidia.com/gpu": "many"}}}]}},
    ],
)
def test_a_manifest_of_another_shape_asks_for_nothing(broken: dict[str, Any]) -> None:
    assert request_of(broken) is None


def test_an_annotation_that_cannot_be_read_counts_as_absent() -> None:
    odd = pod()
    odd["metadata"]["annotations"] = {"samepage/gpu-memory-bytes": "much", "samepage/gpu-work": 7}
    asked = request_of(odd)
    assert asked is not None
    assert (asked.memory_bytes, asked.work) == (None, "interactive")


def served(scenario: Callable[[str, Ranker], Coroutine[Any, Any, None]], made: Ranker) -> None:
    async def all_of_it() -> None:
        sockets = bind_sockets(0, "127.0.0.1")
        server = HTTPServer(build_extender(made))
        server.add_sockets(sockets)
        try:
            await scenario(f"http://127.0.0.1:{sockets[0].getsockname()[1]}", made)
        finally:
            server.stop()
            await server.close_all_connections()

    asyncio.run(all_of_it())


def test_over_http_as_the_scheduler_asks() -> None:
    async def scenario(url: str, made: Ranker) -> None:
        client = SimpleAsyncHTTPClient(force_instance=True)
        body = json.dumps({"Pod": GPU_POD, "NodeNames": ["n1", "n2"]})
        # No password, on purpose: kube-scheduler sends none, and the answer is a rank of nodes.
        answer = await client.fetch(f"{url}/samepage/prioritize", method="POST", body=body)
        said = json.loads(answer.body)
        assert [each["Host"] for each in said] == ["n1", "n2"]
        assert said[0]["Score"] >= 4
        assert set(said[0]) == {"Host", "Score"}
        bad = await client.fetch(
            f"{url}/samepage/prioritize", method="POST", body="{}", raise_error=False
        )
        assert bad.code == 400
        assert json.loads(bad.body)["code"] == "not-extender-args"
        health = await client.fetch(f"{url}/healthz")
        assert json.loads(health.body) == {"state": "ok", "nodes": 1}
        metrics = (await client.fetch(f"{url}/metrics")).body.decode()
        assert "samepage_gpu_extender_answers_total 1.0" in metrics
        filtering = await client.fetch(
            f"{url}/samepage/filter", method="POST", body="{}", raise_error=False
        )
        assert filtering.code == 404  # it never filters
        client.close()

    served(scenario, ranker(node(gpu("GPU-a"), name="n1")))


def test_facts_are_fetched_beside_the_questions() -> None:
    class Told:
        rounds = 0

        async def gather(self, seconds: float) -> Gathered:
            self.rounds += 1
            return Gathered(found=(Located(snapshot=node(gpu("GPU-a"), name="n1")),))

        def close(self) -> None: ...

    async def scenario() -> None:
        made, told, stop = Ranker(Policy(), clock=lambda: NOW), Told(), asyncio.Event()
        task = asyncio.create_task(
            keep_learning(made, told, Standings(Policy()), stop, seconds=0.01)
        )
        async with asyncio.timeout(20):
            while told.rounds < 3:
                await asyncio.sleep(0.01)
        stop.set()
        await task
        assert scored(made, "n1")["n1"] >= 4

    asyncio.run(scenario())


@contextmanager
def process(*flags: str) -> Iterator[tuple[str, subprocess.Popen[str]]]:
    port = free_port(None)
    command = [sys.executable, "-m", "nodeagent", "gpu", "extender"]
    started = subprocess.Popen(
        [*command, "--listen", f"127.0.0.1:{port}", *flags],
        stderr=subprocess.PIPE,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": str(Path(__file__).parents[3])},
    )
    try:
        yield f"http://127.0.0.1:{port}", started
    finally:
        started.kill()
        started.communicate()


def test_the_command_answers_until_it_is_told_to_stop() -> None:
    facts: GpuFacts = gpu("GPU-a")
    text = compact(replace(node(facts, name="n1"), taken=time.time()))
    items = [{"metadata": {"name": "n1", "annotations": {ANNOTATION: text}}}]
    with process() as (url, started):
        deadline = time.monotonic() + 30
        while True:
            try:
                body = {"Pod": GPU_POD, "Nodes": {"items": items}}
                answer = requests.post(f"{url}/samepage/prioritize", json=body, timeout=5)
                break
            except requests.ConnectionError:
                assert time.monotonic() < deadline
                time.sleep(0.05)
        assert answer.json()[0]["Score"] >= 4
        started.send_signal(signal.SIGTERM)
        assert started.wait(20) == 0


def test_the_command_asks_the_agents() -> None:
    async def scenario() -> None:
        facts = replace(node(gpu("GPU-a"), name="n1"), taken=time.time())
        async with GpuNode(facts) as agent:
            with process("--agents", agent.url, "--round", "1") as (url, _):
                body = json.dumps({"Pod": GPU_POD, "NodeNames": ["n1", "n2"]})
                client = SimpleAsyncHTTPClient(force_instance=True)
                points: list[int] = []
                async with asyncio.timeout(30):
                    while not points or points[0] <= points[1]:
                        await asyncio.sleep(0.05)
                        try:
                            answer = await client.fetch(
                                f"{url}/samepage/prioritize", method="POST", body=body
                            )
                        except OSError:
                            continue
                        points = [each["Score"] for each in json.loads(answer.body)]
                client.close()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("flags", "told"),
    [
        (("--agents", "http://a", "--published", "lease"), "are both given"),
        (("--published", "lease"), "This is not a pod"),
        (("--agents", "nowhere"), "cannot be used"),
        (("--gpu-policy", "/nowhere"), "--gpu-policy /nowhere cannot be used"),
    ],
)
def test_settings_that_cannot_be_are_told(flags: tuple[str, ...], told: str) -> None:
    with process(*flags) as (_, started):
        assert started.wait(30) != 0
        assert started.stderr is not None
        assert told in started.stderr.read()
