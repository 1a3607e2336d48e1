"""DockerSpawner and SwarmSpawner, as they are, with a stand-in for Docker's engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from dockerspawner import DockerSpawner, SwarmSpawner
from jupyterhub import orm
from traitlets.config import Config

import hubext
from hubext import hooks
from hubext.containers import give_docker
from hubext.devices import Devices
from hubext.loan import lend
from nodeagent.gpu.sharing.policy import GIB
from nodeagent.gpu.snapshot import Snapshot
from tests.standins.docker_engine import DockerEngine
from tests.standins.gpu_node import GpuNode
from tests.unit.hubext.support import Users, fresh
from tests.unit.nodeagent.gpu_support import gpu, held

Create = Callable[[Any], Awaitable[dict[str, Any]]]


def run(
    spawner_class: type[Any],
    scenario: Callable[[Any, Create, GpuNode], Awaitable[None]],
    facts: Snapshot,
    config: Config | None = None,
    **settings: Any,
) -> None:
    async def all_of_it() -> None:
        async with GpuNode(facts) as node, DockerEngine() as engine:
            c = config or Config()
            c.DockerSpawner.client_kwargs = {"version": "1.43", "base_url": engine.url}
            c.DockerSpawner.use_internal_ip = True
            hubext.set_up(
                c,
                gpus=hubext.Gpus(
                    agents=(node.url,),
                    default=hubext.GpuProfile(memory="6Gi"),
                    **{"budget_seconds": 20.0, **settings},
                ),
                env={},
            )
            users = Users(spawner_class, c)

            async def create(spawner: Any) -> dict[str, Any]:
                await spawner.run_pre_spawn_hook()
                await spawner.create_object()
                return dict(engine.created[-1][1])

            try:
                await scenario(users.spawner("ada"), create, node)
            finally:
                spawner_class._client.close()
                spawner_class._client = None
                users.close()

    asyncio.run(all_of_it())


def test_settings_that_cannot_be_changed_cost_no_start(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(spawner: Any, given: Any) -> None:
        lend(spawner, "environment", {"HALF": "done"})
        raise TypeError("not what was thought")

    monkeypatch.setitem(hooks._GIVE, "docker", refused)

    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        body = await create(spawner)
        assert not [entry for entry in body["Env"] if entry.startswith(("HALF", "NVIDIA"))]

    run(DockerSpawner, scenario, fresh(gpu("GPU-a")))


def test_the_container_is_given_the_gpu_by_uuid() -> None:
    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        body = await create(spawner)
        [request] = body["HostConfig"]["DeviceRequests"]
        assert request["Driver"] == "nvidia"
        assert request["DeviceIDs"] == ["GPU-b"]
        assert request["Capabilities"] == [["gpu"]]
        assert "NVIDIA_VISIBLE_DEVICES=GPU-b" in body["Env"]
        assert body["Cmd"][0] == "sh"
        assert [entry.pod for entry in node.ledger.entries] == ["docker/jupyter-ada"]

    run(DockerSpawner, scenario, fresh(held("GPU-a", 12 * GIB), gpu("GPU-b")))


@pytest.mark.parametrize("member", [True, False])
def test_a_profile_can_be_for_a_group_of_the_hub_only(member: bool) -> None:
    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        # Asked of the hub's API, whatever its form offers.
        spawner.user_options = {"profile": "gpu-whole"}
        if member:
            spawner.user.orm_user.groups = [orm.Group(name="gpu-course")]
        await create(spawner)
        [entry] = node.ledger.entries
        assert (entry.mode == "exclusive") is member

    profiles = {"gpu-whole": hubext.GpuProfile(want="exclusive", groups=("gpu-course",))}
    run(DockerSpawner, scenario, fresh(gpu("GPU-a")), profiles=profiles)


@pytest.mark.parametrize("form", ["mapping", "function", "coroutine"])
def test_the_operators_host_config_stays(form: str) -> None:
    own = {
        "ipc_mode": "private",
        "device_requests": [
            {"driver": "nvidia", "count": -1, "capabilities": [["gpu"]]},
            {"driver": "fpga", "count": 1, "capabilities": [["fpga"]]},
        ],
    }

    async def later(spawner: Any) -> dict[str, Any]:
        return own

    config = Config()
    config.DockerSpawner.extra_host_config = {
        "mapping": own,
        "function": lambda spawner: own,
        "coroutine": later,
    }[form]

    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        body = await create(spawner)
        requests = body["HostConfig"]["DeviceRequests"]
        assert [each["Driver"] for each in requests] == ["fpga", "nvidia"]
        assert requests[1]["DeviceIDs"] == ["GPU-a"]
        assert body["HostConfig"]["IpcMode"] == "private"

    run(DockerSpawner, scenario, fresh(gpu("GPU-a")), config)


@pytest.mark.parametrize("wrong", [None, "", [], {"device_requests": 0}], ids=repr)
def test_a_wrong_host_config_is_not_hidden(wrong: Any) -> None:
    # The same as without us: DockerSpawner is handed what the operator's function gave.
    class Spawner:
        environment: ClassVar[dict[str, str]] = {}
        user = SimpleNamespace(name="ada")
        log = logging.getLogger("hub")
        extra_host_config: Any = staticmethod(lambda spawner: wrong)

    given = Devices(uuids=("GPU-a",), node="n1")
    spawner = Spawner()
    give_docker(spawner, given)
    assert asyncio.run(spawner.extra_host_config(spawner)) is wrong
    plain = Spawner()
    plain.extra_host_config = wrong
    with pytest.raises(TypeError, match="extra_host_config"):
        give_docker(plain, given)


def test_the_gpu_of_the_last_start_does_not_stay() -> None:
    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        first = await create(spawner)
        assert first["HostConfig"]["DeviceRequests"][0]["DeviceIDs"] == ["GPU-a"]
        node.snapshot = fresh(held("GPU-a", 15 * GIB))
        await spawner.run_post_stop_hook()
        # The hub's facts are a moment old; the node itself knows better.
        again = await create(spawner)
        assert not again["HostConfig"].get("DeviceRequests")
        assert not [each for each in again["Env"] if each.startswith("NVIDIA")]

    run(DockerSpawner, scenario, fresh(gpu("GPU-a")))


def test_full_can_mean_without_a_gpu() -> None:
    own = {"device_requests": [{"driver": "nvidia", "count": -1, "capabilities": [["gpu"]]}]}
    config = Config()
    config.DockerSpawner.extra_host_config = own

    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        body = await create(spawner)
        assert body["HostConfig"]["DeviceRequests"] == []
        assert "NVIDIA_VISIBLE_DEVICES=void" in body["Env"]

    full = fresh(held("GPU-a", 15 * GIB))
    run(DockerSpawner, scenario, full, config, when_full="without")


def test_a_swarm_service_runs_on_the_node_of_its_gpu() -> None:
    config = Config()
    config.SwarmSpawner.extra_placement_spec = {"constraints": ["node.role==worker"]}

    async def scenario(spawner: Any, create: Create, node: GpuNode) -> None:
        task = (await create(spawner))["TaskTemplate"]
        assert task["Placement"]["Constraints"] == ["node.role==worker", "node.hostname==n1"]
        assert "NVIDIA_VISIBLE_DEVICES=GPU-a" in task["ContainerSpec"]["Env"]
        assert [entry.pod for entry in node.ledger.entries] == ["docker/jupyter-ada"]

    run(SwarmSpawner, scenario, fresh(gpu("GPU-a")), config)
