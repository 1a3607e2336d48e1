"""A node keeps its facts in the cluster: when, how much, and what happens when it may not."""

from __future__ import annotations

import asyncio
import json
import logging
import shutil
import ssl
import subprocess
from collections.abc import Callable, Coroutine
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from nodeagent.config import load
from nodeagent.gpu.compact import compact, expand
from nodeagent.gpu.publish.pace import Pace, outline
from nodeagent.gpu.publish.publisher import MOST_BYTES, Publisher, keep_published
from nodeagent.gpu.publish.start import publishing
from nodeagent.gpu.publish.target import ANNOTATION, Kind, listing, text_of, write
from nodeagent.gpu.reading import ok
from nodeagent.gpu.sharing.policy import GIB
from nodeagent.gpu.snapshot import Snapshot, Tenant
from nodeagent.kube.api import KubeApi
from tests.standins.kube_api import KubeApiServer
from tests.unit.nodeagent.gpu_support import gpu, held, node, tenant

FACTS = node(held("GPU-a", 2 * GIB))
LEASE = "/apis/coordination.k8s.io/v1/namespaces/samepage/leases/samepage-gpu-n1"


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def run(scenario: Callable[[KubeApiServer, Publisher, Clock], Coroutine[Any, Any, None]]) -> None:
    async def all_of_it() -> None:
        async with KubeApiServer() as server:
            api, clock = KubeApi(server.url, namespace="samepage"), Clock()
            publisher = Publisher(api, kind="lease", pace=Pace(), clock=clock)
            await scenario(server, publisher, clock)
            api.close()

    asyncio.run(all_of_it())


def test_the_lease_holds_the_facts_and_says_how_long() -> None:
    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        assert await publisher.offer(FACTS)
        lease = server.objects[LEASE]
        assert lease["spec"]["holderIdentity"] == "n1"
        assert lease["spec"]["leaseDurationSeconds"] == 90
        assert lease["spec"]["renewTime"].startswith("2027-01-15T08:00:00.000000Z")
        kept = text_of(lease)
        assert kept is not None
        # Facts that come once a round are not stale after three of the agent's own ticks.
        assert expand(kept[1]).tick_seconds == 30
        assert server.headers[0]["Content-Type"] == "application/apply-patch+yaml"

    run(scenario)


def test_small_changes_wait_and_large_ones_go_out_at_once() -> None:
    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        assert await publisher.offer(FACTS)
        clock.now += 6
        assert not await publisher.offer(replace(FACTS, taken=FACTS.taken + 6))
        assert await publisher.offer(node(held("GPU-a", 6 * GIB)))
        clock.now += 2
        assert not await publisher.offer(node(held("GPU-a", 12 * GIB)))  # never two within 5 s
        clock.now += 3
        assert await publisher.offer(node(held("GPU-a", 12 * GIB)))
        clock.now += 30
        assert await publisher.offer(node(held("GPU-a", 12 * GIB)))
        assert len(server.seen) == 4

    run(scenario)


@pytest.mark.parametrize(
    "changed",
    [
        node(held("GPU-a", 3 * GIB)),
        node(gpu("GPU-b")),
        node(gpu("GPU-a", cordoned=True)),
        node(held("GPU-a", 2 * GIB, busy_p90_15m=ok(0.9, source="nvml"))),
        node(held("GPU-a", 2 * GIB, tenants=(tenant("ns/GPU-a-0"), tenant("ns/b")))),
    ],
)
def test_what_may_change_an_answer_changes_the_outline(changed: Snapshot) -> None:
    assert outline(changed).differs(outline(FACTS))


def test_jitter_does_not_change_the_outline() -> None:
    later = replace(
        node(held("GPU-a", 2 * GIB + 1000, temperature_celsius=ok(70.0, source="nvml"))),
        taken=FACTS.taken + 5,
    )
    assert not outline(later).differs(outline(FACTS))


def test_without_the_right_it_waits_and_says_so_once(caplog: pytest.LogCaptureFixture) -> None:
    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        server.refuse = 403
        for _ in range(50):
            clock.now += 5
            assert not await publisher.offer(FACTS)
        assert len(server.seen) == 3  # every two minutes
        server.refuse = None
        clock.now += 300
        assert await publisher.offer(FACTS)

    logger = logging.getLogger("nodeagent.gpu.publish")
    caplog.set_level(logging.INFO, logger=logger.name)
    logger.addHandler(caplog.handler)
    try:
        run(scenario)
    finally:
        logger.removeHandler(caplog.handler)
    texts = [each.getMessage() for each in caplog.records if each.name == logger.name]
    texts = list(dict.fromkeys(texts))
    assert len(texts) == 2
    assert "403: not allowed here. Give the service account this right (RBAC)" in texts[0]
    assert texts[1] == "GPU facts are published again"


def test_facts_that_are_too_large_are_not_sent() -> None:
    many = tuple(
        Tenant(owner=f"namespace-{at}/{'pod' * 40}-{at}", allocated=True) for at in range(3000)
    )
    large = node(gpu("GPU-a", tenants=many))
    assert len(compact(large)) > MOST_BYTES

    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        assert not await publisher.offer(large)
        assert not server.seen

    run(scenario)


def test_eight_busy_gpus_are_far_below_the_limit() -> None:
    busy = node(*(held(f"GPU-{at}", *([GIB // 2] * 25), total=80 * GIB) for at in range(8)))
    assert len(compact(busy)) < MOST_BYTES / 4


@pytest.mark.parametrize("kind", ["lease", "node"])
def test_what_is_written_is_what_is_listed(kind: Kind) -> None:
    async def scenario() -> None:
        async with KubeApiServer() as server:
            server.put("/api/v1/nodes/n1", {"metadata": {"name": "n1", "annotations": {"a": "b"}}})
            api = KubeApi(server.url)
            change = write(kind, "n1", "text", namespace="samepage", taken=0.0, holds_seconds=90)
            await api.patch(
                change.path, change.body, media_type=change.media_type, query=change.query
            )
            where = listing(kind, namespace="samepage")
            [item] = await api.items(where.path, where.query)
            api.close()
            named = text_of(item)
            assert named is not None
            assert named[1] == "text"
            if kind == "node":
                # Others' annotations stay.
                assert item["metadata"]["annotations"] == {"a": "b", ANNOTATION: "text"}

    asyncio.run(scenario())


def test_the_newest_facts_are_offered_until_the_end() -> None:
    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        stop = asyncio.Event()
        newest: list[Snapshot | None] = [None]
        task = asyncio.create_task(keep_published(publisher, lambda: newest[0], stop, seconds=0.01))
        newest[0] = FACTS
        async with asyncio.timeout(20):
            while not server.seen:
                await asyncio.sleep(0.01)
        stop.set()
        await task
        assert json.loads(json.dumps(server.objects[LEASE]))["kind"] == "Lease"

    run(scenario)


def test_an_unforeseen_fault_does_not_end_the_publishing(monkeypatch: pytest.MonkeyPatch) -> None:
    async def scenario(server: KubeApiServer, publisher: Publisher, clock: Clock) -> None:
        stop = asyncio.Event()
        tried = 0

        async def fault(snapshot: Snapshot) -> bool:
            nonlocal tried
            tried += 1
            raise RuntimeError("unforeseen")

        monkeypatch.setattr(publisher, "offer", fault)
        task = asyncio.create_task(keep_published(publisher, lambda: FACTS, stop, seconds=0.01))
        async with asyncio.timeout(20):
            while tried < 2:
                await asyncio.sleep(0.01)
        stop.set()
        await task

    run(scenario)


def certificate(folder: Path, name: str) -> tuple[Path, ssl.SSLContext]:
    """A certificate of 127.0.0.1, signed by itself."""
    found, key = folder / f"{name}.crt", folder / f"{name}.key"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    subject = ["-nodes", "-days", "2", "-subj", "/CN=api", "-addext", "subjectAltName=IP:127.0.0.1"]
    files = ["-keyout", str(key), "-out", str(found)]
    subprocess.run([*command, *subject, *files], check=True, capture_output=True, timeout=30)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(found, key)
    return found, context


class Known:
    snapshot: Snapshot | None = FACTS


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl to make a certificate")
@pytest.mark.parametrize("trusted", [True, False])
def test_in_a_pod_the_agent_publishes_with_its_account_over_tls(
    tmp_path: Path, trusted: bool, caplog: pytest.LogCaptureFixture
) -> None:
    own, context = certificate(tmp_path, "own")
    other, _ = certificate(tmp_path, "other")
    (tmp_path / "ca.crt").write_bytes((own if trusted else other).read_bytes())
    (tmp_path / "token").write_text("of-the-agent")
    (tmp_path / "namespace").write_text("samepage")

    async def scenario() -> None:
        async with KubeApiServer(context) as server:
            env = {
                "KUBERNETES_SERVICE_HOST": "127.0.0.1",
                "KUBERNETES_SERVICE_PORT": str(server.port),
            }
            stop = asyncio.Event()
            config = load({"NODEAGENT_GPU_PUBLISH": "lease"}, {})
            work = publishing(config, env, Known(), stop, account=tmp_path)
            assert work is not None
            task = asyncio.create_task(work)
            async with asyncio.timeout(30):
                while not (server.objects if trusted else caplog.records):
                    await asyncio.sleep(0.01)
            stop.set()
            await task
            assert list(server.objects) == ([LEASE] if trusted else [])
            assert not [each for each in server.headers if not trusted]

    logger = logging.getLogger("nodeagent.gpu.publish")
    logger.addHandler(caplog.handler)
    try:
        asyncio.run(scenario())
    finally:
        logger.removeHandler(caplog.handler)
    told = [each.getMessage() for each in caplog.records if each.name == logger.name]
    assert bool(told) != trusted
    assert trusted or "CERTIFICATE_VERIFY_FAILED" in told[0]


def test_where_it_cannot_publish_the_agent_goes_on(tmp_path: Path) -> None:
    def made(setting: str, source: Known | None) -> object:
        config = load({"NODEAGENT_GPU_PUBLISH": setting}, {})
        return publishing(config, {}, source, asyncio.Event(), account=tmp_path)

    assert made("none", Known()) is None
    assert made("lease", None) is None  # --no-gpu
    assert made("lease", Known()) is None  # not in a cluster
