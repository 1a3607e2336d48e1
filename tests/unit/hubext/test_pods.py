"""KubeSpawner, as it is, creating pods through a stand-in for the API server."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from kubespawner import KubeSpawner
from traitlets.config import Config

import hubext
from hubext.pods import reservations_of
from nodeagent.gpu.canonical import encode
from nodeagent.gpu.reading import unknown
from nodeagent.gpu.sharing.ledger import Reservation
from nodeagent.gpu.sharing.policy import GIB
from nodeagent.gpu.snapshot import Snapshot
from tests.standins.gpu_node import GpuNode
from tests.standins.kube_api import KubeApiServer
from tests.unit.hubext.support import Users, fresh, point_at
from tests.unit.nodeagent.gpu_support import gpu, held, tenant

SMALL = "gpu-small"
PLUGIN = {"extra_resource_limits": {"nvidia.com/gpu": "1"}}


def profiles() -> list[dict[str, Any]]:
    return [
        {"display_name": "No GPU", "description": "Text and tables"},
        {"display_name": "A part of a GPU", "slug": SMALL, "description": "6 GB"},
    ]


class World:
    """A hub of two users, an API server, and one node per snapshot."""

    def __init__(self, api: KubeApiServer, nodes: list[GpuNode], users: Users) -> None:
        self.api = api
        self.nodes = nodes
        self.users = users

    async def start(self, name: str, slug: str = SMALL) -> dict[str, Any]:
        """The pod that was created for them."""
        spawner = self.users.spawner(name, profile=slug)
        # As JupyterHub's User.spawn does.
        spawner._spawn_pending = True
        await spawner.run_pre_spawn_hook()
        await spawner.start()
        return next(
            body
            for method, path, body in reversed(self.api.seen)
            if method == "POST" and path.endswith("/pods")
        )


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    def go(
        scenario: Callable[[World], Awaitable[None]],
        *snapshots: Snapshot,
        override: dict[str, Any] | None = None,
        delay: float = 0.0,
        config: Config | None = None,
        addresses: tuple[str, ...] = (),
        **settings: Any,
    ) -> None:
        async def all_of_it() -> None:
            async with world(*snapshots, delay=delay) as (api, nodes):
                point_at(api.url, tmp_path, monkeypatch)
                c = config or Config()
                c.KubeSpawner.namespace = "hub"
                c.KubeSpawner.k8s_api_host = api.url
                if "profile_list" not in c.KubeSpawner:
                    c.KubeSpawner.profile_list = profiles()
                    c.KubeSpawner.profile_list[1]["kubespawner_override"] = override or {}
                agents = addresses or tuple(each.url for each in nodes)
                hubext.set_up(
                    c,
                    gpus=hubext.Gpus(
                        agents=agents,
                        profiles={SMALL: hubext.GpuProfile(memory="6Gi")},
                        **{"budget_seconds": 20.0, **settings},
                    ),
                    env={},
                )
                users = Users(KubeSpawner, c)
                try:
                    await scenario(World(api, nodes, users))
                finally:
                    await KubeSpawner._stop_all_reflectors()
                    users.close()

        asyncio.run(all_of_it())

    return go


@asynccontextmanager
async def world(
    *snapshots: Snapshot, delay: float
) -> AsyncIterator[tuple[KubeApiServer, list[GpuNode]]]:
    nodes = [GpuNode(each, delay=delay) for each in snapshots]
    async with KubeApiServer() as api:
        for each in nodes:
            await each.__aenter__()
        try:
            yield api, nodes
        finally:
            for each in nodes:
                await each.__aexit__()


def said(pod: dict[str, Any]) -> dict[str, Any]:
    return dict(json.loads(pod["metadata"]["annotations"]["samepage/gpu-decision"]))


def environment(pod: dict[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in pod["spec"]["containers"][0]["env"]}


def test_the_pod_prefers_the_node_with_room(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pod = await world.start("ada")
        terms = pod["spec"]["affinity"]["nodeAffinity"]
        [preferred] = terms["preferredDuringSchedulingIgnoredDuringExecution"]
        [field] = preferred["preference"]["matchFields"]
        assert field == {"key": "metadata.name", "operator": "In", "values": ["n2"]}
        assert "requiredDuringSchedulingIgnoredDuringExecution" not in terms
        assert said(pod)["verdict"] == "share"
        assert said(pod)["gpu_chosen_by"] == "kubelet"
        # The agent of that node keeps the reservation, under the name it will see the pod by.
        assert [entry.pod for entry in world.nodes[1].ledger.entries] == ["hub/jupyter-ada"]
        assert "NVIDIA_VISIBLE_DEVICES" not in environment(pod)

    full, empty = fresh(held("GPU-a", 15 * GIB), name="n1"), fresh(gpu("GPU-b"), name="n2")
    run(scenario, full, empty, override=PLUGIN)


def test_a_pinned_pod_carries_the_uuid_and_must_run_there(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pod = await world.start("ada")
        [term] = pod["spec"]["affinity"]["nodeAffinity"][
            "requiredDuringSchedulingIgnoredDuringExecution"
        ]["nodeSelectorTerms"]
        assert term["matchExpressions"][0]["key"] == "zone"
        assert term["matchFields"][0]["values"] == ["n1"]
        assert environment(pod)["NVIDIA_VISIBLE_DEVICES"] == "GPU-a"
        assert pod["metadata"]["annotations"]["samepage/gpu-uuid"] == "GPU-a"
        assert said(pod)["gpu_chosen_by"] == "samepage"

    zone = {"matchExpressions": [{"key": "zone", "operator": "Exists"}]}
    override = {
        "environment": {"NVIDIA_VISIBLE_DEVICES": "all"},
        "node_affinity_required": [zone],
    }
    run(scenario, fresh(gpu("GPU-a")), override=override, pin=True)


def test_who_asks_the_device_plugin_is_never_pinned(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pod = await world.start("ada")
        assert "NVIDIA_VISIBLE_DEVICES" not in environment(pod)
        assert said(pod)["gpu_chosen_by"] == "kubelet"

    run(scenario, fresh(gpu("GPU-a")), override=PLUGIN, pin=True)


def test_two_at_once_do_not_get_the_same_gigabytes(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pods = await asyncio.gather(*(world.start(name) for name in ("ada", "bob", "cyd")))
        del pods
        created = [body for method, _, body in world.api.seen if method == "POST"]
        assert sorted(said(pod)["verdict"] for pod in created) == ["share", "share", "wait"]
        assert len({said(pod)["node"] for pod in created}) == 3  # n1, n2 and none

    one, two = fresh(gpu("GPU-a", total=10 * GIB)), fresh(gpu("GPU-b", total=10 * GIB), name="n2")
    run(scenario, one, two)


def test_starting_again_takes_the_same_gpu_and_nothing_more(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        first, again = await world.start("ada"), await world.start("ada")
        assert said(first)["devices"] == said(again)["devices"]
        assert sum(len(node.ledger.entries) for node in world.nodes) == 1

    run(scenario, fresh(gpu("GPU-a"), gpu("GPU-b")))


def test_a_stopped_server_gives_its_reservation_back(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        spawner = world.users.spawner("ada", profile=SMALL)
        await spawner.start()
        assert world.nodes[0].ledger.entries
        await spawner.run_post_stop_hook()
        assert not world.nodes[0].ledger.entries

    run(scenario, fresh(gpu("GPU-a")))


def test_another_profile_is_left_alone(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pod = await world.start("ada", slug="no-gpu")
        assert "affinity" not in pod["spec"]
        assert not world.nodes[0].asked

    run(scenario, fresh(gpu("GPU-a")))


def test_who_chooses_nothing_has_the_default_profile(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        pod = await world.start("ada", slug="")
        assert said(pod)["node"] == "n1"

    config = Config()
    config.KubeSpawner.profile_list = [
        {"display_name": "No GPU"},
        {"display_name": "GPU small", "default": True},
    ]
    run(scenario, fresh(gpu("GPU-a")), config=config)


@pytest.mark.parametrize("fault", ["slow", "gone", "full"])
def test_a_start_never_fails_for_us(
    run: Callable[..., None], fault: str, caplog: pytest.LogCaptureFixture
) -> None:
    async def scenario(world: World) -> None:
        began = time.monotonic()
        pod = await world.start("ada")
        assert time.monotonic() - began < 2.0
        assert "affinity" not in pod["spec"]
        assert environment(pod).get("NVIDIA_VISIBLE_DEVICES") is None

    facts = fresh(held("GPU-a", 15 * GIB) if fault == "full" else gpu("GPU-a"))
    addresses = ("http://127.0.0.1:9",) if fault == "gone" else ()
    caplog.set_level(logging.INFO, logger="traitlets")
    log = logging.getLogger("traitlets")
    log.addHandler(caplog.handler)
    try:
        run(
            scenario,
            facts,
            delay=60.0 if fault == "slow" else 0.0,
            addresses=addresses,
            budget_seconds=0.5,
        )
    finally:
        log.removeHandler(caplog.handler)
    ours = [each for each in caplog.records if each.getMessage().startswith("Samepage: ")]
    assert len(ours) == 1, [each.getMessage() for each in ours]
    assert (ours[0].levelno == logging.WARNING) == (fault != "full")
    assert not ours[0].exc_info


def test_the_form_says_how_full_it_is_and_keeps_its_slugs(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        spawner = world.users.spawner("ada")
        none, small = await spawner.profile_list(spawner)
        assert none == profiles()[0]
        assert small["slug"] == SMALL
        assert small["description"] == "6 GB (full, about 10 min)"
        form = await spawner.get_options_form()
        assert "full, about 10 min" in form
        # What comes back from the form is still found, full or not.
        spawner.user_options = {"profile": SMALL}
        await spawner.load_user_options()
        assert world.nodes[0].ledger.entries == ()

    full = held("GPU-a", 15 * GIB, tenants=(tenant("ns/GPU-a-0", ends_in_seconds=600.0),))
    run(scenario, fresh(full))


def test_the_form_says_when_nobody_knows(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        spawner = world.users.spawner("ada")
        [_, small] = await spawner.profile_list(spawner)
        assert small["description"] == "6 GB (whether it is free is not known now)"

    blind = fresh(gpu("GPU-a", memory_total_bytes=unknown("not told")))
    run(scenario, blind)


def test_without_agents_the_form_is_as_the_operator_wrote_it(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        spawner = world.users.spawner("ada")
        assert (await spawner.profile_list(spawner))[0] == profiles()[0]
        assert (await spawner.profile_list(spawner))[1]["description"] == "6 GB"

    run(scenario, addresses=("http://127.0.0.1:9",), budget_seconds=0.5)


def test_the_operators_own_hooks_and_profiles_stay(run: Callable[..., None]) -> None:
    async def own_profiles(spawner: Any) -> list[dict[str, Any]]:
        return profiles()

    def own_hook(spawner: Any, pod: Any) -> Any:
        pod.metadata.labels["mine"] = "kept"
        return pod

    async def scenario(world: World) -> None:
        pod = await world.start("ada")
        assert pod["metadata"]["labels"]["mine"] == "kept"
        assert said(pod)["node"] == "n1"

    config = Config()
    config.KubeSpawner.profile_list = own_profiles
    config.KubeSpawner.modify_pod_hook = own_hook
    run(scenario, fresh(gpu("GPU-a")), config=config)


def test_what_a_former_hub_promised_still_holds(run: Callable[..., None]) -> None:
    promised = Reservation(
        pod="hub/jupyter-old",
        user="old",
        node="n1",
        uuid="GPU-a",
        memory_bytes=6 * GIB,
        mode="time_slicing",
        expires=time.time() + 60,
    )

    async def scenario(world: World) -> None:
        pod = {
            "metadata": {
                "namespace": "hub",
                "name": "jupyter-old",
                "labels": {"component": "singleuser-server"},
                "annotations": {"samepage/gpu-reservation": encode([promised])},
            }
        }
        world.api.put("/api/v1/namespaces/hub/pods/jupyter-old", pod)
        assert said(await world.start("ada"))["verdict"] == "wait"

    run(scenario, fresh(gpu("GPU-a", total=10 * GIB)))


def test_pods_that_cannot_be_read_cost_no_start(run: Callable[..., None]) -> None:
    async def scenario(world: World) -> None:
        meta = {"namespace": "hub", "name": "odd", "labels": {"component": "singleuser-server"}}
        odd = {"metadata": {**meta, "annotations": "a text"}}
        world.api.put("/api/v1/namespaces/hub/pods/odd", odd)
        assert said(await world.start("ada"))["verdict"] == "share"

    run(scenario, fresh(gpu("GPU-a")))


def test_only_a_pods_own_reservation_is_believed() -> None:
    of_b = Reservation(
        pod="hub/b", user=None, node="n", uuid="G", memory_bytes=1, mode="mig", expires=9e9
    )
    notes = {"samepage/gpu-reservation": encode([of_b])}
    pods: list[dict[str, Any]] = [
        {"metadata": {"namespace": "hub", "name": "a", "annotations": notes}},
        {"metadata": {"namespace": "hub", "name": "b", "annotations": notes}},
        {"metadata": {"namespace": "hub", "name": "c", "annotations": None}},
        {"metadata": {"annotations": {"samepage/gpu-reservation": "[1]"}}},
    ]
    assert [each.pod for each in reservations_of(pods)] == ["hub/b"]
