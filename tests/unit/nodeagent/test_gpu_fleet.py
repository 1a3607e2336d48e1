"""Asking many agents, and deciding over what they tell."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.errors import ConfigError
from nodeagent.gpu.compact import compact
from nodeagent.gpu.fleet.addresses import Place, check_address, places
from nodeagent.gpu.fleet.advisor import Advisor, NoEvidenceError
from nodeagent.gpu.fleet.agents import AgentClient, AgentEvidence
from nodeagent.gpu.fleet.evidence import Gathered, Located, SharedEvidence
from nodeagent.gpu.fleet.published import PublishedEvidence
from nodeagent.gpu.fleet.quantity import parse_bytes
from nodeagent.gpu.publish.target import ANNOTATION, lease_name
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import GpuFacts, Snapshot
from nodeagent.kube.api import KubeApi, KubeError
from nodeagent.names import Names
from tests.standins.gpu_node import GpuNode
from tests.standins.kube_api import KubeApiServer
from tests.unit.nodeagent.gpu_support import gpu, held, node

LEASES = "/apis/coordination.k8s.io/v1/namespaces/samepage/leases"


def run(scenario: Callable[[], Coroutine[Any, Any, None]]) -> None:
    asyncio.run(scenario())


def fresh(*gpus: GpuFacts, name: str = "n1") -> Snapshot:
    return replace(node(*gpus, name=name), taken=time.time())


@asynccontextmanager
async def asked(*nodes: GpuNode, token_file: Path | None = None) -> AsyncIterator[Advisor]:
    client = AgentClient(token_file=token_file)
    for each in nodes:
        await each.__aenter__()
    advisor = Advisor(
        AgentEvidence([each.url for each in nodes], client), policy=Policy(), agents=client
    )
    try:
        yield advisor
    finally:
        advisor.close()
        for each in nodes:
            await each.__aexit__()


def wanting(pod: str = "ns/new", **changes: Any) -> Request:
    return Request(pod=pod, user="new", **({"memory_bytes": 6 * GIB} | changes))


def test_who_is_late_or_refuses_is_missing_and_the_others_count(tmp_path: Path) -> None:
    token = tmp_path / "token"
    token.write_text("the-operators-token")

    async def scenario() -> None:
        nodes = [
            GpuNode(fresh(gpu("GPU-a"), name="quick"), token="the-operators-token"),
            GpuNode(fresh(gpu("GPU-b"), name="late"), delay=60),
            GpuNode(fresh(gpu("GPU-c"), name="strict"), token="another"),
        ]
        async with asked(*nodes, token_file=token):
            client = AgentClient(token_file=token)
            source = AgentEvidence([*(each.url for each in nodes), "http://127.0.0.1:9"], client)
            began = time.monotonic()
            gathered = await source.gather(2.0)
            assert time.monotonic() - began < 15
            source.close()
        assert [each.snapshot.node for each in gathered.found] == ["quick"]
        why = {each.place: each.why for each in gathered.missing}
        assert "in time" in why[nodes[1].url] or "nothing" in why[nodes[1].url]
        assert "401: For the operator." in why[nodes[2].url]
        assert "Connection refused" in why["http://127.0.0.1:9"]

    run(scenario)


def test_a_socket_is_an_address_too(tmp_path: Path) -> None:
    from tornado.httpserver import HTTPServer
    from tornado.netutil import bind_unix_socket
    from tornado.web import Application, RequestHandler

    facts = fresh(gpu("GPU-a"))

    class Handler(RequestHandler):
        def get(self) -> None:
            assert self.request.host == "localhost"
            assert self.get_argument("compact") == "1"
            self.finish(compact(facts))

    async def scenario() -> None:
        server = HTTPServer(Application([("/v1/gpu/snapshot", Handler)]))
        server.add_socket(bind_unix_socket(str(tmp_path / "agent.sock")))
        source = AgentEvidence([f"unix://{tmp_path}/agent.sock"], AgentClient())
        gathered = await source.gather(20.0)
        source.close()
        server.stop()
        assert [compact(each.snapshot) for each in gathered.found] == [compact(facts)]

    run(scenario)


def test_a_name_stands_for_every_agent_behind_it() -> None:
    def lookup(host: str) -> list[str]:
        assert host == "agents.samepage"
        return ["10.0.0.1", "10.0.0.2"]

    async def scenario() -> None:
        found = await places("http://agents.samepage:9747", Names(lookup))
        assert [str(each) for each in found] == ["http://10.0.0.1:9747", "http://10.0.0.2:9747"]
        # A certificate is for a name.
        assert await places("https://agents.samepage", Names(lookup)) == (
            Place(base="https://agents.samepage:443"),
        )

    run(scenario)


def test_localhost_is_one_agent() -> None:
    async def scenario() -> None:
        names = Names()
        assert len(await places("http://localhost:9747", names)) == 1
        assert await places("http://[::1]:9747", names) == (Place(base="http://[::1]:9747"),)

    run(scenario)


@pytest.mark.parametrize(
    "text", ["", "agent:9747", "http://", "http://a/b", "http://a:0", "http://a:x", "unix://a/b"]
)
def test_an_address_that_cannot_be_one_is_told(text: str) -> None:
    with pytest.raises(ConfigError, match="cannot be used"):
        check_address(text)


@pytest.mark.parametrize(
    ("text", "size"), [("6Gi", 6 * GIB), ("1.5Ki", 1536), ("2G", 2 * 10**9), ("7", 7)]
)
def test_sizes_are_as_kubernetes_writes_them(text: str, size: int) -> None:
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "6 Gi", "-1", "6gb", "1e400"])
def test_other_sizes_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


def test_a_size_beyond_all_numbers_is_refused() -> None:
    with pytest.raises(ValueError, match="more than 300 digits"):
        parse_bytes("9" * 400)


def test_the_nodes_agent_has_the_last_word() -> None:
    async def scenario() -> None:
        first = GpuNode(fresh(gpu("GPU-a", total=10 * GIB), name="n1"))
        second = GpuNode(fresh(held("GPU-b", 2 * GIB), name="n2"))
        async with asked(first, second) as advisor:
            looked = await advisor.look(wanting(), 20.0)
            assert looked.node == "n1"
            # Another hub was faster there, after the facts were told.
            first.decide({"request": {"pod": "ns/other", "memory_bytes": 6 * GIB}, "reserve": True})
            placed = await advisor.place(wanting(), 20.0)
        assert placed.answer.confirmed
        assert placed.answer.node == "n2"
        assert [entry.pod for entry in second.ledger.entries] == ["ns/new"]
        assert [entry.node for entry in advisor.reserved] == ["n2"]

    run(scenario)


def test_an_agent_that_cannot_confirm_does_not_stop_a_placement() -> None:
    async def scenario() -> None:
        client = AgentClient()
        facts = Located(snapshot=fresh(gpu("GPU-a")), address="http://127.0.0.1:9")
        advisor = Advisor(Told(Gathered(found=(facts,))), policy=Policy(), agents=client)
        placed = await advisor.place(wanting(), 20.0)
        advisor.close()
        assert placed.answer.node == "n1"
        assert not placed.answer.confirmed
        assert [entry.pod for entry in advisor.reserved] == ["ns/new"]

    run(scenario)


def test_a_placement_that_is_given_up_promises_nothing() -> None:
    async def scenario() -> None:
        slow = GpuNode(fresh(gpu("GPU-a")))
        async with asked(slow) as advisor:
            task = asyncio.create_task(advisor.place(wanting(), 60.0))
            async with asyncio.timeout(20):
                while slow.asked != ["/v1/gpu/snapshot"]:
                    await asyncio.sleep(0.001)
                slow.delay = 60
                while len(slow.asked) < 2:
                    await asyncio.sleep(0.001)
            assert advisor.reserved
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
            assert not advisor.reserved

    run(scenario)


def test_a_released_pod_makes_room_on_its_node() -> None:
    async def scenario() -> None:
        only = GpuNode(fresh(gpu("GPU-a", total=10 * GIB)))
        async with asked(only) as advisor:
            assert (await advisor.place(wanting("ns/a"), 20.0)).answer.placed
            assert not (await advisor.place(wanting("ns/b"), 20.0)).answer.placed
            await advisor.release("ns/a", 20.0)
            assert (await advisor.place(wanting("ns/b"), 20.0)).answer.placed

    run(scenario)


def test_a_start_that_is_tried_again_elsewhere_leaves_nothing_behind() -> None:
    async def scenario() -> None:
        first = GpuNode(fresh(gpu("GPU-a", total=10 * GIB), name="n1"))
        second = GpuNode(fresh(held("GPU-b", 2 * GIB), name="n2"))
        async with asked(first, second) as advisor:
            assert (await advisor.place(wanting(), 20.0)).answer.node == "n1"
            assert [entry.pod for entry in first.ledger.entries] == ["ns/new"]
            # Its image cannot be had there; meanwhile somebody else has come.
            first.snapshot = fresh(held("GPU-a", 9 * GIB, total=10 * GIB), name="n1")
            assert (await advisor.place(wanting(), 20.0)).answer.node == "n2"
            async with asyncio.timeout(20):
                while first.ledger.entries:
                    await asyncio.sleep(0.005)
            assert [entry.pod for entry in second.ledger.entries] == ["ns/new"]
            # And with no node at all.
            second.snapshot = fresh(held("GPU-b", 15 * GIB), name="n2")
            assert not (await advisor.place(wanting(), 20.0)).answer.placed
            async with asyncio.timeout(20):
                while second.ledger.entries:
                    await asyncio.sleep(0.005)
            assert not advisor.reserved

    run(scenario)


def test_a_confirmation_that_comes_too_late_is_taken_back() -> None:
    async def scenario() -> None:
        slow = GpuNode(fresh(gpu("GPU-a")))
        async with asked(slow) as advisor:
            task = asyncio.create_task(advisor.place(wanting(), 60.0))
            async with asyncio.timeout(20):
                while "/v1/gpu/decide" not in slow.asked:
                    slow.delay = 0.2 if slow.asked else 0.0
                    await asyncio.sleep(0.001)
                task.cancel()
                while "/v1/gpu/release" not in slow.asked or slow.ledger.entries:
                    await asyncio.sleep(0.005)

    run(scenario)


def test_nobody_tells_is_an_error_that_says_whom_was_asked() -> None:
    async def scenario() -> None:
        advisor = Advisor(
            AgentEvidence(["http://127.0.0.1:9"], AgentClient()), policy=Policy(), agents=None
        )
        with pytest.raises(NoEvidenceError, match=r"127\.0\.0\.1:9.*refused"):
            await advisor.place(wanting(), 5.0)
        advisor.close()

    run(scenario)


class Told:
    """Evidence that a test has."""

    def __init__(self, gathered: Gathered) -> None:
        self.gathered = gathered
        self.rounds = 0

    async def gather(self, seconds: float) -> Gathered:
        self.rounds += 1
        await asyncio.sleep(0)
        return self.gathered

    def close(self) -> None:
        pass


def test_a_class_that_starts_together_costs_one_round() -> None:
    async def scenario() -> None:
        told = Told(Gathered(found=(Located(snapshot=fresh(gpu("GPU-a"))),)))
        now = [0.0]
        shared = SharedEvidence(told, keep_seconds=2.0, clock=lambda: now[0])
        await asyncio.gather(*(shared.gather(1.0) for _ in range(30)))
        assert told.rounds == 1
        now[0] = 2.0
        await shared.gather(1.0)
        assert told.rounds == 2
        told.gathered = Gathered()
        now[0] = 4.0
        await shared.gather(1.0)
        await shared.gather(1.0)
        assert told.rounds == 4  # an empty round is not kept

    run(scenario)


def published(facts: Snapshot) -> dict[str, Any]:
    meta = {
        "name": lease_name(facts.node),
        "labels": {"samepage/gpu-snapshot": "published"},
        "annotations": {ANNOTATION: compact(facts)},
    }
    return {"metadata": meta}


def test_published_facts_are_read_page_by_page() -> None:
    async def scenario() -> None:
        async with KubeApiServer() as server:
            server.page = 2
            for at in range(5):
                facts = fresh(gpu(f"GPU-{at}"), name=f"n{at}")
                server.put(f"{LEASES}/{lease_name(facts.node)}", published(facts))
            server.objects[f"{LEASES}/{lease_name('n3')}"]["metadata"]["annotations"] = {
                ANNOTATION: "{broken"
            }
            server.put(f"{LEASES}/another", {"metadata": {"name": "another"}})
            source = PublishedEvidence(KubeApi(server.url), kind="lease", namespace="samepage")
            gathered = await source.gather(20.0)
            assert [each.snapshot.node for each in gathered.found] == ["n0", "n1", "n2", "n4"]
            assert [each.place for each in gathered.missing] == [lease_name("n3")]
            # What has not changed is not read again.
            again = await source.gather(20.0)
            assert again.found[0].snapshot is gathered.found[0].snapshot
            server.refuse = 403
            gathered = await source.gather(20.0)
            assert not gathered.found
            assert "403: not allowed here" in gathered.missing[0].why
            source.close()

    run(scenario)


def test_the_api_is_used_with_the_pods_account(tmp_path: Path) -> None:
    (tmp_path / "namespace").write_text("samepage\n")
    with pytest.raises(KubeError, match="not a pod"):
        KubeApi.in_cluster({}, account=tmp_path)
    env = {"KUBERNETES_SERVICE_HOST": "fd00::1"}
    with pytest.raises(KubeError, match="no service account token"):
        KubeApi.in_cluster(env, account=tmp_path)
    (tmp_path / "token").write_text("first")

    async def scenario() -> None:
        assert KubeApi.in_cluster(env, account=tmp_path).namespace == "samepage"
        async with KubeApiServer() as server:
            server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1"}})
            api = KubeApi(server.url, token_file=tmp_path / "token")
            await api.get("/api/v1/nodes/n1")
            (tmp_path / "token").write_text("renewed")
            await api.get("/api/v1/nodes/n1")
            api.close()
            given = [each["Authorization"] for each in server.headers]
            assert given == ["Bearer first", "Bearer renewed"]

    run(scenario)


def test_an_api_that_does_not_answer_is_an_error_without_status() -> None:
    async def scenario() -> None:
        api = KubeApi("http://127.0.0.1:9")
        with pytest.raises(KubeError) as caught:
            await api.get("/api/v1/nodes")
        api.close()
        assert caught.value.status is None

    run(scenario)
