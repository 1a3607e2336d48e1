"""What set_up leaves in a hub's configuration, and what the spawners make of it."""

from __future__ import annotations

import asyncio
import copy
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from jupyterhub.spawner import SimpleLocalProcessSpawner
from traitlets.config import Config

import hubext
from hubext.notebooks import COMMAND, with_command
from nodeagent.errors import ConfigError
from tests.unit.hubext.support import Users


@pytest.fixture
def config() -> Config:
    return Config()


def environment(config: Config, **options: Any) -> dict[str, str]:
    users = Users(SimpleLocalProcessSpawner, config)
    try:
        spawner = users.spawner("ada", **options)
        return dict(asyncio.run(_environment(spawner)))
    finally:
        users.close()


async def _environment(spawner: Any) -> Any:
    return spawner.get_env()


def test_one_line_sets_up_the_notebooks(config: Config) -> None:
    hubext.set_up(config, agent_url="unix:///run/samepage/node.sock", env={})
    assert list(config.Spawner.cmd) == list(COMMAND)
    assert environment(config)["SAMEPAGE_AGENT_URL"] == "unix:///run/samepage/node.sock"
    assert "modify_pod_hook" not in config.KubeSpawner


def test_each_profile_has_its_courses(config: Config) -> None:
    hubext.set_up(config, courses={"ml": "https://x/ml.yml", "": "https://x/all.yml"}, env={})
    assert environment(config, profile="ml")["SAMEPAGE_COURSES"] == "https://x/ml.yml"
    assert environment(config, profile="other")["SAMEPAGE_COURSES"] == "https://x/all.yml"
    assert environment(config)["SAMEPAGE_COURSES"] == "https://x/all.yml"


def test_the_hubs_environment_can_say_it(config: Config) -> None:
    env = {
        "SAMEPAGE_HUB_AGENT_URL": "http://agent:9747",
        "SAMEPAGE_HUB_COURSES": "https://x/all.yml",
        "SAMEPAGE_HUB_GPU_AGENTS": "http://one:9747, http://two:9747",
    }
    hubext.set_up(config, env=env)
    given = environment(config)
    assert given["SAMEPAGE_AGENT_URL"] == "http://agent:9747"
    assert given["SAMEPAGE_COURSES"] == "https://x/all.yml"
    assert callable(config.KubeSpawner.modify_pod_hook)


def test_what_the_operator_has_set_stays(config: Config) -> None:
    config.Spawner.environment = {"SAMEPAGE_COURSES": "https://mine/x.yml"}
    config.SimpleLocalProcessSpawner.environment = {"A": "b"}
    hubext.set_up(config, courses="https://x/all.yml", environment={"C": "d"}, env={})
    assert config.Spawner.environment["SAMEPAGE_COURSES"] == "https://mine/x.yml"
    given = environment(config)
    # A spawner's own section replaces that of Spawner, so it has to hold everything.
    assert (given["A"], given["C"]) == ("b", "d")
    assert given["SAMEPAGE_COURSES"] == "https://x/all.yml"


def test_a_lazy_environment_of_the_operator_stays(config: Config) -> None:
    config.Spawner.environment.update({"A": "b"})
    hubext.set_up(config, agent_url="http://agent:9747", env={})
    given = environment(config)
    assert (given["A"], given["SAMEPAGE_AGENT_URL"]) == ("b", "http://agent:9747")


@pytest.mark.parametrize(
    ("own", "made"),
    [
        (None, ["new"]),
        ("jupyterhub-singleuser", ["new"]),
        (["wrap", "jupyterhub-singleuser", "-x"], ["wrap", "new", "-x"]),
        (["start-something-else"], ["start-something-else"]),
    ],
)
def test_the_command_keeps_the_operators_words(own: Any, made: list[str]) -> None:
    assert with_command(own, ["new"]) == made


def test_an_image_without_samepage_starts_as_stock(tmp_path: Path) -> None:
    def started() -> str:
        path = {"PATH": f"{tmp_path}:/usr/bin:/bin"}
        words = [*COMMAND, "--a b"]
        return subprocess.run(words, env=path, capture_output=True, text=True, check=True).stdout

    for name in ("jupyterhub-singleuser", "samepage-singleuser"):
        command = tmp_path / name
        command.write_text(f'#!/bin/sh\necho {name} "$@"\n')
        command.chmod(0o755)
        assert started() == f"{name} --a b\n"


def test_copies_of_the_hooks_share_one_ledger(config: Config) -> None:
    # traitlets copies each configured value for each spawner.
    gpus = hubext.Gpus(agents=("http://one:9747",), default=hubext.GpuProfile())
    hubext.set_up(config, gpus=gpus, env={})
    for hook in (config.Spawner.pre_spawn_hook, config.KubeSpawner.modify_pod_hook):
        assert copy.deepcopy(hook) is hook


def test_the_operators_own_hooks_still_run(config: Config) -> None:
    called: list[str] = []
    config.Spawner.pre_spawn_hook = lambda spawner: called.append("pre")

    async def post(spawner: Any) -> None:
        called.append("post")

    config.SimpleLocalProcessSpawner.post_stop_hook = post
    hubext.set_up(config, gpus=hubext.Gpus(agents=("http://one:9747",)), env={})
    users = Users(SimpleLocalProcessSpawner, config)
    spawner = users.spawner("ada")

    async def both() -> None:
        await spawner.run_pre_spawn_hook()
        await spawner.run_post_stop_hook()

    try:
        asyncio.run(both())
    finally:
        users.close()
    assert called == ["pre", "post"]


def test_an_own_class_of_kubespawner_keeps_its_own_profiles(config: Config) -> None:
    config.KubeSpawner.profile_list = [{"display_name": "Any"}]
    config.OurKubeSpawner.profile_list = [{"display_name": "Ours"}]
    hubext.set_up(config, gpus=hubext.Gpus(agents=("http://one:9747",)), env={})
    for name, shown in (("KubeSpawner", "Any"), ("OurKubeSpawner", "Ours")):
        [profile] = asyncio.run(config[name].profile_list(None))
        assert profile["display_name"] == shown
        assert callable(config[name].modify_pod_hook)


UNUSABLE: list[dict[str, Any]] = [
    {"agents": ("ftp://x",)},
    {"agents": ("http://x/path",)},
    {"agents": ("unix://relative",)},
    {},
    {"agents": ("http://x",), "published": hubext.Published()},
    {"agents": ("http://x",), "budget_seconds": 0},
    {"agents": ("http://x",), "when_full": "wait"},
]


@pytest.mark.parametrize("settings", UNUSABLE)
def test_unusable_settings_are_told_at_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises((ConfigError, ValueError), match=r"."):
        hubext.Gpus(**settings)


@pytest.mark.parametrize("settings", [{"memory": "6 apples"}, {"gpus": 2}, {"mig_profile": "1g"}])
def test_unusable_profiles_are_told_at_the_start(settings: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        hubext.GpuProfile(**settings)


def test_a_hub_without_these_spawners_can_import_it() -> None:
    unwanted = [
        "kubespawner",
        "dockerspawner",
        "systemdspawner",
        "kubernetes_asyncio",
        "docker",
        "pynvml",
    ]
    code = f"import sys, hubext; print([name for name in {unwanted} if name in sys.modules])"
    root = Path(__file__).parents[3]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True
    )
    assert done.stdout == "[]\n"
