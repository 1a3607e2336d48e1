"""The stack for Docker Swarm: rights, health, rollback, and the hub's configuration."""

from __future__ import annotations

import asyncio
import importlib.util
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import yaml
from jupyterhub.objects import Hub, Server
from jupyterhub.utils import maybe_future
from traitlets.config import Config

from nodeagent.config import load
from tests.unit.deploy import swarm
from tests.unit.deploy.manifests import ROOT
from tests.unit.deploy.manifests import plain as manifest

#: Of a compose file's service, what Swarm heeds (docs.docker.com, compose file deploy); it passes
#: over privileged, pid, security_opt and the like, and says so in a warning only.
HEEDED = {
    "cap_drop", "command", "configs", "deploy", "entrypoint", "environment", "healthcheck",
    "image", "networks", "ports", "read_only", "secrets", "stop_grace_period", "tmpfs", "user",
    "volumes", "working_dir",
}  # fmt: skip
DEPLOY = {
    "endpoint_mode", "mode", "placement", "replicas", "resources", "restart_policy",
    "rollback_config", "update_config",
}  # fmt: skip

SERVICES: dict[str, Any] = swarm.plain()["services"]
EVERY = pytest.mark.parametrize("name", SERVICES)


@EVERY
def test_nothing_that_swarm_passes_over(name: str) -> None:
    assert set(SERVICES[name]) - {"<<"} <= HEEDED
    assert set(SERVICES[name]["deploy"]) - {"<<"} <= DEPLOY


@pytest.mark.skipif(swarm.no_client() is not None, reason=str(swarm.no_client()))
def test_dockers_client_reads_it() -> None:
    read = swarm.read_by_docker()
    assert set(read["services"]) == {"proxy", "hub", "tuner", "reader"}
    for name, one in read["services"].items():
        # All that the file says has arrived.
        assert set(SERVICES[name]) - {"<<"} <= set(one), name


@pytest.mark.skipif(swarm.no_client() is not None, reason=str(swarm.no_client()))
@pytest.mark.parametrize("missing", sorted(swarm.NAMES))
def test_a_missing_name_is_said(missing: str) -> None:
    with pytest.raises(AssertionError, match=missing):
        swarm.read_by_docker({missing: ""})


@EVERY
def test_no_container_has_a_right_it_does_not_need(name: str) -> None:
    one = SERVICES[name]
    assert one["cap_drop"] == ["ALL"]
    assert one["read_only"] is True
    assert "cap_add" not in one
    assert one["tmpfs"] == ["/tmp"]
    sources = {each["source"] for each in one.get("volumes", []) if each["type"] == "bind"}
    assert sources == {
        "proxy": set(),
        "hub": {"/var/run/docker.sock"},
        "tuner": {"/sys/kernel/mm/ksm"},
        "reader": {"/proc", "/sys/fs/cgroup"},
    }.get(name)
    users = {"proxy": "65534:65534", "hub": None, "tuner": "0:0", "reader": "1000:1000"}
    assert one.get("user") == users[name]


@EVERY
def test_health_rollback_and_bounds(name: str) -> None:
    one = SERVICES[name]
    assert one["healthcheck"]["test"][0] == "CMD"
    deploy = one["deploy"]
    assert deploy["update_config"]["failure_action"] == "rollback"
    assert deploy["update_config"]["order"] == "stop-first"
    assert "rollback_config" in deploy
    for bound in ("limits", "reservations"):
        assert set(deploy["resources"][bound]) == {"cpus", "memory"}

    def seconds(text: str) -> int:
        return int(text.removesuffix("s"))

    check = one["healthcheck"]
    until_bad = seconds(check["start_period"]) + check["retries"] * seconds(check["interval"])
    # Else bad health shows after the update counts as good; start_period ends with a good answer.
    watched = seconds(deploy["update_config"]["monitor"])
    assert watched >= min(until_bad, seconds(check["start_period"]))


def test_the_agent_is_on_every_node_and_has_time_to_restore() -> None:
    for name in ("tuner", "reader"):
        assert SERVICES[name]["deploy"]["mode"] == "global"
    assert SERVICES["tuner"]["stop_grace_period"] == "60s"


def test_the_agent_has_what_it_has_on_kubernetes() -> None:
    pod = manifest()["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]
    tuner, reader = pod["containers"]
    mine = {name: SERVICES[name]["environment"] for name in ("tuner", "reader")}
    for container in (tuner, reader):
        theirs = {each["name"]: each["value"] for each in container["env"]}
        own = mine[container["name"]]
        same = {"NODEAGENT_SYS_ROOT", "NODEAGENT_PROC_ROOT", "NODEAGENT_FACTS_SOCKET"}
        assert {k: own.get(k) for k in same} == {k: theirs.get(k) for k in same}
        assert SERVICES[container["name"]]["command"] == container["args"]
    filled = {
        name: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(text))
        for name, text in mine["tuner"].items()
    }
    # Swarm fills it in with the name that constraints know, and the hub places by it.
    assert filled["NODEAGENT_NODE_NAME"] == "{{.Node.Hostname}}"
    config = load(filled | {"NODEAGENT_NODE_NAME": "worker-7"}, {})
    assert config.node_name == "worker-7"
    uid = int(SERVICES["reader"]["user"].partition(":")[0])
    assert config.facts_uids == ((uid, uid),)
    mounts = {each["target"] for each in SERVICES["tuner"]["volumes"]}
    assert config.node_socket is not None
    assert {str(config.state_dir), str(config.node_socket.parent)} <= mounts


def test_students_do_not_reach_the_agents_network() -> None:
    assert SERVICES["tuner"]["networks"] == ["agents"]
    assert SERVICES["reader"]["networks"] == ["nobody"]
    networks = swarm.plain()["networks"]
    assert networks["agents"]["internal"] is True
    assert networks["nobody"]["internal"] is True
    users = [name for name, one in SERVICES.items() if "nobody" in one["networks"]]
    assert users == ["reader"]


def test_configs_get_a_new_name_with_their_content() -> None:
    for name, one in swarm.plain()["configs"].items():
        assert one["name"].startswith(f"samepage-{name}-${{SAMEPAGE_CONFIGS:?"), name
        assert (swarm.FOLDER / one["file"]).resolve().is_file()
    script = (swarm.FOLDER / "deploy.sh").read_text()
    hashed = script.partition("SAMEPAGE_CONFIGS=$(cat ")[2].partition(" | ")[0].split()
    files = {path.resolve() for each in hashed for path in swarm.FOLDER.glob(each)}
    files |= {(swarm.FOLDER / each).resolve() for each in hashed if "*" not in each}
    used = {(swarm.FOLDER / one["file"]).resolve() for one in swarm.plain()["configs"].values()}
    courses = set((ROOT / "deploy/z2jh/courses").glob("*.yaml"))
    assert used <= files | courses
    assert "../z2jh/courses/*.yaml" in hashed


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Config]:
    """The hub's configuration, as jupyterhub reads it from the stack's config."""
    yield swarm.hub_config(tmp_path, monkeypatch)
    sys.modules.pop("samepage_courses", None)


class FakeDocker:
    """Docker's API as far as a spawner asks it before a service is made."""

    def __init__(self) -> None:
        self.made: dict[str, Any] = {}

    def create_service(self, task_template: Any, **more: Any) -> dict[str, str]:
        self.made = {"task": task_template, **more}
        return {"ID": "service"}

    def tasks(self, filters: Any) -> list[Any]:
        return [{"Status": {"State": "running"}}]


def service(hub: Config, course: str | None, groups: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a real SwarmSpawner would ask Docker to make."""
    user = SimpleNamespace(
        id=7, name="ada", escaped_name="ada", admin=False, url="/user/ada/", server=Server(),
        groups=[SimpleNamespace(name=each) for each in groups],
    )  # fmt: skip
    orm = SimpleNamespace(name="", server=None, oauth_client_id="none", user=user)
    spawner = hub.JupyterHub.spawner_class(
        config=hub,
        hub=Hub(public_host="", connect_url="http://hub:8081"),
        user=user,
        orm_spawner=orm,
        api_token="secret",
    )
    docker = FakeDocker()

    async def ask(method: str, *args: Any, **more: Any) -> Any:
        return getattr(docker, method)(*args, **more)

    async def nothing(*args: Any, **more: Any) -> None:
        return None

    spawner.docker = ask
    spawner.get_object = nothing
    spawner.start_object = nothing
    spawner.user_options = {} if course is None else {"course": course}

    async def start() -> None:
        # After the service is made it asks for its address, which needs a daemon.
        spawner.get_ip_and_port = address
        await maybe_future(spawner.run_pre_spawn_hook())
        await spawner.start()

    async def address() -> tuple[str, int]:
        return "ada", 8888

    asyncio.run(start())
    return dict(docker.made)


def test_a_course_is_image_repository_preload_memory(hub: Config) -> None:
    task = service(hub, "statistics")["task"]
    container = task["ContainerSpec"]
    assert container["Image"] == "localhost/samepage-singleuser:0.1.0"
    assert container["Args"][0] == "samepage-singleuser"
    assert container["User"] == "1000:100"
    assert container["CapabilityDrop"] == ["ALL"]
    env = dict(entry.split("=", 1) for entry in container["Env"])
    assert env["SAMEPAGE_PRELOAD"].startswith("numpy ")
    assert env["SAMEPAGE_AGENT_URL"] == "unix:///run/samepage/node.sock"
    assert env["NVIDIA_VISIBLE_DEVICES"] == "void"
    (course,) = json.loads(env["SAMEPAGE_COURSES_YAML"])["courses"]
    assert course["url"] == "https://git.example.org/statistics.git"
    assert task["Resources"]["Limits"]["MemoryBytes"] == 2 * 2**30
    mounts = {each["Target"]: each for each in container["Mounts"]}
    assert mounts["/home/jovyan"]["Source"] == "samepage-home-ada"
    driver = mounts["/home/jovyan"]["VolumeOptions"]["DriverConfig"]
    assert driver["Options"]["device"] == ":/homes/ada"
    assert driver["Options"]["o"] == "addr=nfs.example.org,rw"
    assert mounts["/run/samepage"]["ReadOnly"] is True
    assert mounts["/run/samepage"]["Source"] == "samepage_node"


def test_one_home_for_all_students_is_refused(
    hub: Config, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "jupyterhub_config.py"
    code = compile(path.read_text(encoding="utf-8"), str(path), "exec")
    names = {"get_config": Config, "__file__": str(path)}
    monkeypatch.setenv("SAMEPAGE_HOME_OPTIONS", "type=nfs;o=addr=nfs.example.org;device=:/homes")
    with pytest.raises(ValueError, match="one and the same home"):
        exec(code, names)
    for harmless in ("", "type=tmpfs;device=tmpfs"):
        monkeypatch.setenv("SAMEPAGE_HOME_OPTIONS", harmless)
        exec(code, names)


def test_a_gpu_is_a_generic_resource(hub: Config) -> None:
    task = service(hub, "deep-learning", ("deep-learning",))["task"]
    reserved = task["Resources"]["Reservations"]
    assert reserved["GenericResources"] == [
        {"DiscreteResourceSpec": {"Kind": "nvidia.com/gpu", "Value": 1}}
    ]
    env = [entry.partition("=")[0] for entry in task["ContainerSpec"]["Env"]]
    assert "NVIDIA_VISIBLE_DEVICES" not in env


def test_without_a_course_a_server_starts_as_configured(hub: Config) -> None:
    task = service(hub, None)["task"]
    assert task["Resources"]["Limits"]["MemoryBytes"] == 2 * 2**30
    assert not any("COURSES" in entry for entry in task["ContainerSpec"]["Env"])


def test_a_course_of_another_group_cannot_be_started(hub: Config) -> None:
    with pytest.raises(ValueError, match="deep-learning"):
        service(hub, "deep-learning")


def test_who_is_stopped_after_300_seconds_has_told_of_its_activity(hub: Config) -> None:
    interval = hub.CourseSpawner.environment["JUPYTERHUB_ACTIVITY_INTERVAL"]
    assert 3 * int(interval) <= 300
    assert 3 * hub.JupyterHub.last_activity_interval <= 300
    (culler,) = hub.JupyterHub.services
    assert "--timeout=300" in culler["command"]
    assert importlib.util.find_spec(culler["command"][2]) is not None


def test_what_the_hub_image_installs_is_what_is_tested() -> None:
    """The spawner and the culler come in the versions of constraints.txt, with the [hub] extra."""
    tested = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text().split()
    }
    script = (ROOT / "images/hub/install.sh").read_text(encoding="utf-8")
    line = next(each for each in script.splitlines() if "requirements-hub.txt" in each)
    named = line.partition("requirements-hub.txt")[2].strip('" ').lower().split()
    assert set(named) == {"dockerspawner", "jupyterhub-idle-culler", "pyyaml"}
    assert {*named, "jupyterhub", "tornado"} <= tested


def test_the_hub_alone_joins_the_agents_and_only_for_gpus() -> None:
    assert SERVICES["hub"]["networks"] == ["hub"]
    assert "agent-token" not in {each["source"] for each in SERVICES["hub"]["secrets"]}
    over = yaml.safe_load(swarm.GPUS.read_text(encoding="utf-8"))
    assert set(over) == {"services"}
    assert set(over["services"]) == {"hub"}
    changed = over["services"]["hub"]
    assert set(changed) == {"environment", "networks", "secrets"}
    assert changed["networks"] == ["hub", "agents"]
    # The tuner's own, which its agents believe.
    assert changed["secrets"] == SERVICES["tuner"]["secrets"]


@pytest.mark.skipif(swarm.no_client() is not None, reason=str(swarm.no_client()))
def test_dockers_client_lays_gpus_over_the_stack() -> None:
    stack, both = swarm.read_by_docker(), swarm.read_by_docker(None, swarm.GPUS)
    hub = both["services"]["hub"]
    assert set(hub["networks"]) == {"hub", "agents"}
    sources = {each["source"] for each in hub["secrets"]}
    assert sources == {"hub-cookie", "proxy-token", "class-password", "agent-token"}
    token = hub["environment"]["SAMEPAGE_HUB_GPU_TOKEN_FILE"]
    assert token == "/run/secrets/agent-token"
    asked = hub["environment"]["SAMEPAGE_HUB_GPU_AGENTS"]
    port = both["services"]["tuner"]["environment"]["NODEAGENT_LISTEN"].rpartition(":")[2]
    assert asked == f"http://tasks.tuner:{port}"
    for name in ("proxy", "tuner", "reader"):
        assert both["services"][name] == stack["services"][name]


def test_the_script_refuses_what_it_cannot_do(tmp_path: Path) -> None:
    docker = tmp_path / "docker"
    docker.write_text('#!/bin/sh\necho "inactive false"\n')
    docker.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "DOCKER": str(docker)}
    script = swarm.FOLDER / "deploy.sh"

    def said(more: dict[str, str]) -> str:
        done = subprocess.run(
            [script], env=env | more, capture_output=True, text=True, timeout=60, check=False
        )
        assert done.returncode == 1
        return done.stderr

    assert "SAMEPAGE_HUB_IMAGE is not set" in said({})
    assert "docker swarm init" in said(swarm.NAMES)


def test_the_script_deploys_once_the_secrets_are_there(tmp_path: Path) -> None:
    docker, log = tmp_path / "docker", tmp_path / "log"
    docker.write_text(
        f'#!/bin/sh\necho "$SAMEPAGE_CONFIGS $*" >> {log}\n'
        'case "$*" in info*) echo "active true";; *inspect*cookie*) exit 1;; '
        "*create*) cat > /dev/null;; esac\n"
    )
    docker.chmod(0o755)
    env = {"PATH": "/usr/bin:/bin", "DOCKER": str(docker)} | swarm.NAMES
    del env["SAMEPAGE_CONFIGS"]
    subprocess.run([swarm.FOLDER / "deploy.sh", "--prune"], env=env, timeout=60, check=True)
    calls = log.read_text().splitlines()
    made = [line for line in calls if "secret create" in line]
    assert [line.split()[2] for line in made] == ["samepage-hub-cookie"]
    assert re.fullmatch(
        r"[0-9a-f]{12} stack deploy --compose-file stack.yml --prune samepage", calls[-1]
    )


def test_yaml_anchors_are_all_used() -> None:
    text = swarm.STACK.read_text(encoding="utf-8")
    names = set(re.findall(r"&([a-z-]+)", text))
    assert names == set(re.findall(r"\*([a-z-]+)", text))
    assert yaml.safe_load(text)
