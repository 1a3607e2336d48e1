"""SystemdSpawner with stand-ins for systemd's commands; real processes of a local spawner."""

from __future__ import annotations

import asyncio
import os
import shlex
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import psutil
import pytest
import systemdspawner.systemd
from jupyterhub.spawner import LocalProcessSpawner, SimpleLocalProcessSpawner, Spawner
from systemdspawner import SystemdSpawner
from traitlets.config import Config

import hubext
from hubext.spawners import key_of
from tests.standins.gpu_node import GpuNode
from tests.unit.hubext.support import Users, fresh
from tests.unit.nodeagent.gpu_support import gpu


def run(
    spawner_class: type[Any],
    scenario: Callable[[Any, GpuNode], Awaitable[None]],
    name: str = "root",
    config: Config | None = None,
) -> None:
    async def all_of_it() -> None:
        async with GpuNode(fresh(gpu("GPU-a"))) as node:
            c = config or Config()
            default = hubext.GpuProfile(memory="6Gi")
            gpus = hubext.Gpus(agents=(node.url,), default=default, budget_seconds=20.0)
            hubext.set_up(c, gpus=gpus, cmd=None, env={})
            users = Users(spawner_class, c)
            try:
                await scenario(users.spawner(name), node)
            finally:
                users.close()

    asyncio.run(all_of_it())


def test_a_systemd_unit_gets_its_gpu_by_uuid(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, code in (("systemd-run", 0), ("systemctl", 3)):
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho "$0" "$@" >> {tmp_path}/calls\nexit {code}\n')
        command.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setattr(systemdspawner.systemd, "RUN_ROOT", str(tmp_path))
    monkeypatch.setattr(systemdspawner.systemd, "get_systemd_version", lambda: 252)

    async def scenario(spawner: Any, node: GpuNode) -> None:
        await spawner.run_pre_spawn_hook()
        spawner.start_timeout = 0
        await spawner.start()
        assert "systemd-run --unit jupyter-root-singleuser" in (tmp_path / "calls").read_text()
        written = tmp_path / "jupyter-root-singleuser" / "jupyter-root-singleuser.env"
        given = dict(
            shlex.split(line)[0].split("=", 1) for line in written.read_text().split("\n") if line
        )
        assert given["NVIDIA_VISIBLE_DEVICES"] == given["CUDA_VISIBLE_DEVICES"] == "GPU-a"
        owners = [entry.pod for entry in node.ledger.entries]
        assert owners == ["unit/jupyter-root-singleuser.service"]

    config = Config()
    config.SystemdSpawner.cmd = ["true"]
    run(SystemdSpawner, scenario, config=config)


def test_a_local_process_gets_its_gpu_by_uuid(tmp_path: Path) -> None:
    async def scenario(spawner: Any, node: GpuNode) -> None:
        spawner.home_dir = str(tmp_path)
        await spawner.run_pre_spawn_hook()
        await spawner.start()
        try:
            given = psutil.Process(spawner.pid).environ()
            assert given["NVIDIA_VISIBLE_DEVICES"] == given["CUDA_VISIBLE_DEVICES"] == "GPU-a"
            assert given["MINE"] == "kept"
        finally:
            await spawner.stop(now=True)
        await spawner.run_post_stop_hook()
        assert not node.ledger.entries

    config = Config()
    config.SimpleLocalProcessSpawner.cmd = [sys.executable, "-c", "input()"]
    config.SimpleLocalProcessSpawner.environment = {"MINE": "kept"}
    run(SimpleLocalProcessSpawner, scenario, config=config)


def test_the_reservations_key_is_the_one_the_agent_sees() -> None:
    users = Users(LocalProcessSpawner, Config())
    try:
        # "daemon" is in every system's list of users, with number 1.
        assert key_of(users.spawner("daemon"), "local") == "user/1"
        # Users without an account share the hub's own: their servers must not share a key.
        assert key_of(users.spawner("ada"), "local") == "local/ada"
    finally:
        users.close()


def test_a_spawner_nobody_knows_starts_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    class OtherSpawner(Spawner):  # type: ignore[misc]  # JupyterHub has no types
        async def start(self) -> None: ...

        async def stop(self, now: bool = False) -> None: ...

        async def poll(self) -> None: ...

    async def scenario(spawner: Any, node: GpuNode) -> None:
        log = spawner.log
        log.addHandler(caplog.handler)
        try:
            await spawner.run_pre_spawn_hook()
        finally:
            log.removeHandler(caplog.handler)
        assert spawner.environment == {}
        assert not node.asked

    run(OtherSpawner, scenario)
    assert [each for each in caplog.records if "OtherSpawner is not known" in each.getMessage()]
