"""Courses and GPUs at one start on Swarm: neither overwrites the other, in any order."""

from __future__ import annotations

import asyncio
import logging
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.utils import maybe_future
from traitlets.config import Config

import hubext
from nodeagent.gpu.sharing.policy import GIB
from nodeagent.gpu.snapshot import Snapshot
from tests.standins.docker_engine import DockerEngine
from tests.standins.gpu_node import GpuNode
from tests.unit.deploy import swarm
from tests.unit.hubext.support import Users, fresh
from tests.unit.nodeagent.gpu_support import gpu, held

COURSES = {
    "deep": "title: Deep\nimage: r.example.org/cuda:1\ngpu: {resource: NVIDIA-GPU, memory: 6Gi}\n"
    "nodes: {pool: gpu}\nmemory: {limit: 4G}\nenvironment: {HF_HOME: /srv/models}",
    "plain": "title: Plain",
    "odd": "title: Odd\ngpu: {count: 2, want: share}",
}
Start = Callable[[str], Awaitable[dict[str, Any]]]
Scenario = Callable[[Any, Start, GpuNode], Awaitable[None]]


@pytest.fixture
def room(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Room]:
    yield Room(tmp_path, monkeypatch)
    sys.modules.pop("samepage_courses", None)


class Room:
    """A hub of the stack, beside a Docker and a node with a GPU that are stand-ins."""

    def __init__(self, folder: Path, patch: pytest.MonkeyPatch) -> None:
        self._folder = folder
        self._patch = patch
        courses = folder / "courses"
        courses.mkdir()
        for name, text in COURSES.items():
            (courses / f"{name}.yaml").write_text(text)

    def run(
        self,
        scenario: Scenario,
        facts: Snapshot,
        *,
        order: str = "gpus.yml",
        own: Callable[[Config], None] = lambda c: None,
    ) -> None:
        """`order`: when set_up is called; `own`: the operator's lines, at the file's end."""
        asyncio.run(self._run(scenario, facts, order, own))

    async def _run(
        self, scenario: Scenario, facts: Snapshot, order: str, own: Callable[[Config], None]
    ) -> None:
        async with GpuNode(facts, token="t0ken") as node, DockerEngine() as engine:
            c = Config()
            token = self._folder / "token"
            token.write_text("t0ken")
            changes = {"SAMEPAGE_COURSES_FOLDER": str(self._folder / "courses")}

            def set_up() -> None:
                gpus = hubext.Gpus(
                    agents=(node.url,),
                    token_file=token,
                    profiles={"deep": hubext.GpuProfile(memory="6Gi")},
                    budget_seconds=20.0,
                )
                hubext.set_up(c, cmd=None, gpus=gpus, env={})

            c.DockerSpawner.client_kwargs = {"version": "1.43", "base_url": engine.url}
            if order == "gpus.yml":
                changes["SAMEPAGE_HUB_GPU_AGENTS"] = node.url
                changes["SAMEPAGE_HUB_GPU_TOKEN_FILE"] = str(token)
                own(c)
            if order == "before":
                set_up()
            swarm.hub_config(self._folder, self._patch, c, **changes)
            if order == "after":
                own(c)
                set_up()
            async with self._spawner(c) as spawner:

                async def start(course: str) -> dict[str, Any]:
                    spawner.user_options = {"course": course}
                    await maybe_future(spawner.run_pre_spawn_hook())
                    await spawner.create_object()
                    return dict(engine.created[-1][1]["TaskTemplate"])

                await scenario(spawner, start, node)

    @asynccontextmanager
    async def _spawner(self, c: Config) -> Any:
        users = Users(c.JupyterHub.spawner_class, c)
        try:
            yield users.spawner("ada")
        finally:
            made = c.JupyterHub.spawner_class
            if made._client is not None:
                made._client.close()
                made._client = None
            users.close()


def environment(task: dict[str, Any]) -> dict[str, str]:
    return dict(entry.split("=", 1) for entry in task["ContainerSpec"]["Env"])


def worker(c: Config) -> None:
    c.CourseSpawner.extra_placement_spec = {
        "constraints": ["node.role==worker"],
        "preferences": [("spread", "node.labels.rack")],
    }


@pytest.mark.parametrize("order", ["gpus.yml", "before", "after"])
def test_a_course_keeps_its_own_and_gets_the_gpu(room: Room, order: str) -> None:
    async def scenario(spawner: Any, start: Start, node: GpuNode) -> None:
        task = await start("deep")
        found = environment(task)
        assert found["NVIDIA_VISIBLE_DEVICES"] == "GPU-b"
        assert found["HF_HOME"] == "/srv/models"
        assert found["SAMEPAGE_AGENT_URL"] == "unix:///run/samepage/node.sock"
        rules = task["Placement"]["Constraints"]
        assert rules[-2:] == ["node.labels.pool == gpu", "node.hostname==n1"]
        assert task["ContainerSpec"]["Image"] == "r.example.org/cuda:1"
        assert task["Resources"]["Limits"]["MemoryBytes"] == 4 * 2**30
        # Swarm counts GPUs unless the hub gives them out: one of its cards would serve one student.
        reserved = task["Resources"].get("Reservations", {}).get("GenericResources")
        assert (reserved is None) == (order == "gpus.yml")
        assert [entry.pod for entry in node.ledger.entries] == ["docker/jupyter-ada"]

    room.run(scenario, fresh(held("GPU-a", 12 * GIB), gpu("GPU-b")), order=order)


@pytest.mark.parametrize("stopped", [True, False])
def test_the_next_course_has_nothing_of_the_last(room: Room, stopped: bool) -> None:
    async def scenario(spawner: Any, start: Start, node: GpuNode) -> None:
        await start("deep")
        if stopped:
            await maybe_future(spawner.run_post_stop_hook())
            assert spawner.environment["NVIDIA_VISIBLE_DEVICES"] == "void"
        task = await start("plain")
        found = environment(task)
        assert found["NVIDIA_VISIBLE_DEVICES"] == "void"
        assert "HF_HOME" not in found
        assert task["Placement"]["Constraints"] == ["node.role==worker"]
        again = await start("deep")
        assert environment(again)["NVIDIA_VISIBLE_DEVICES"] == "GPU-a"
        assert again["Placement"]["Constraints"][0] == "node.role==worker"
        assert len(again["Placement"]["Constraints"]) == 3
        assert again["Placement"]["Preferences"]

    room.run(scenario, fresh(gpu("GPU-a")), own=worker)


@pytest.mark.parametrize("section", ["Spawner", "DockerSpawner", "SwarmSpawner", "CourseSpawner"])
def test_the_operators_own_hook_runs_too_and_sees_the_course(room: Room, section: str) -> None:
    seen = []

    def mine(spawner: Any) -> None:
        seen.append(spawner.environment.get("HF_HOME"))
        spawner.environment = {**spawner.environment, "MINE": "1"}

    def own(c: Config) -> None:
        c[section].pre_spawn_hook = mine

    async def scenario(spawner: Any, start: Start, node: GpuNode) -> None:
        found = environment(await start("deep"))
        assert seen == ["/srv/models"]
        assert found["MINE"] == "1"
        assert found["HF_HOME"] == "/srv/models"
        assert found["NVIDIA_VISIBLE_DEVICES"] == "GPU-a"

    room.run(scenario, fresh(gpu("GPU-a")), own=own)


def test_full_or_asking_for_what_cannot_be_starts_without_a_gpu(
    room: Room, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    # Alembic, which the hub's database brings, changes what loggers hand on.
    hub = logging.getLogger("jupyterhub.samepage")
    monkeypatch.setattr(hub, "error", lambda text, *words: said.append(text % words))

    async def scenario(spawner: Any, start: Start, node: GpuNode) -> None:
        for course in ("deep", "odd"):
            task = await start(course)
            assert environment(task)["NVIDIA_VISIBLE_DEVICES"] == "void"
            assert not any("hostname" in rule for rule in task["Placement"]["Constraints"])
        assert "Course odd starts without a GPU of the hub's: 2 GPUs to share" in said[0]

    room.run(scenario, fresh(held("GPU-a", 15 * GIB)))
