"""The agent's half of deploy/swarm/stack.yml on a real Docker Swarm, on a made-up KSM folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import containers_engine, docker_swarm
from tests.integration.docker_swarm import Docker, wait_for
from tests.unit.deploy.manifests import ROOT
from tests.unit.deploy.swarm import no_client, read_by_docker
from tests.unit.nodeagent.support import build_root

REASON = containers_engine.why_not() or docker_swarm.why_not() or no_client()
pytestmark = [
    pytest.mark.containers,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(REASON is not None, reason=str(REASON)),
    pytest.mark.timeout(1200),
]
IMAGE = "localhost/samepage-nodeagent:test"
FOUND = {"run": "0", "pages_to_scan": "100"}


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    # A daemon's sockets need a short path, and its layers no tmpfs.
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        yield Path(made)


@pytest.fixture(scope="module")
def docker(folder: Path) -> Iterator[Docker]:
    tag = containers_engine.image("nodeagent")
    archive = folder / "agent.tar"
    containers_engine.podman("save", "-o", archive, tag, seconds=300)
    with docker_swarm.swarm(folder) as found:
        loaded = found("load", "-q", "-i", archive)
        found("tag", loaded.split()[-1], IMAGE)
        found("secret", "create", "samepage-agent-token", "-", stdin="0123456789" * 4)
        yield found


@pytest.fixture(scope="module")
def ksm(folder: Path) -> Path:
    made = build_root(folder / "machine", **FOUND).sys / "kernel/mm/ksm"
    for path in made.rglob("*"):
        path.chmod(0o644)
    return made


def stack(ksm: Path) -> dict[str, Any]:
    """What docker reads from the file, without hub and proxy, whose images are not ours."""
    found = read_by_docker({"SAMEPAGE_NODEAGENT_IMAGE": IMAGE})
    for name in ("hub", "proxy"):
        del found["services"][name]
    del found["networks"]["hub"], found["volumes"]["hub"], found["configs"]
    found["secrets"] = {"agent-token": found["secrets"]["agent-token"]}
    for one in found["services"].values():
        # The same questions, more often, as somebody waits.
        one["healthcheck"]["interval"] = "2s"
        one["environment"]["NODEAGENT_INTERVAL"] = "1"
        one["deploy"]["update_config"]["monitor"] = "15s"
    for volume in found["services"]["tuner"]["volumes"]:
        if volume["source"] == "/sys/kernel/mm/ksm":
            volume["source"] = str(ksm)
    return found


def deploy(docker: Docker, content: dict[str, Any], folder: Path) -> None:
    file = folder / "stack.yml"
    file.write_text(yaml.safe_dump(content))
    docker("stack", "deploy", "--resolve-image=never", "-c", file, "samepage")


def healthy(docker: Docker) -> bool:
    found = docker("ps", "--format", "{{.Names}} {{.Status}}").splitlines()
    good = [line.partition(".")[0] for line in found if "(healthy)" in line]
    return {"samepage_tuner", "samepage_reader"} <= set(good)


def container(docker: Docker, name: str) -> str:
    return docker("ps", "-q", "-f", f"name=samepage_{name}").split()[0]


@pytest.fixture
def running(docker: Docker, ksm: Path, folder: Path) -> Docker:
    """The stack, deployed if it is not there."""
    if "samepage_tuner" not in docker("service", "ls", "--format", "{{.Name}}"):
        deploy(docker, stack(ksm), folder)
    wait_for("a healthy agent", lambda: healthy(docker))
    return docker


def test_neither_has_a_capability_nor_a_root_to_write(running: Docker) -> None:
    for name in ("tuner", "reader"):
        one = container(running, name)
        status = running("exec", one, "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status
        refused = running("exec", one, "sh", "-c", "touch /etc/x 2>&1; true")
        assert "Read-only file system" in refused
    assert running("exec", container(running, "reader"), "id", "-u").strip() == "1000"


#: A student's process: it asks the node's agent through the socket, opts in, and goes on.
STUDENT = """
import ctypes, os, socket, time
s = socket.socket(socket.AF_UNIX)
s.connect("/run/samepage/node.sock")
s.sendall(b"GET /v1/node HTTP/1.0\\r\\nHost: localhost\\r\\n\\r\\n")
print(os.listdir("/run/samepage"), s.recv(100), flush=True)
assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0
held = bytearray(b"x" * (64 << 20))
time.sleep(600)
"""


def node(docker: Docker) -> Any:
    code = (
        "import json, urllib.request as r;"
        "print(r.urlopen('http://127.0.0.1:9747/v1/node').read().decode())"
    )
    return json.loads(docker("exec", container(docker, "tuner"), "python3", "-c", code))["ksm"]


def test_a_students_service_is_seen_and_sees_the_socket_alone(running: Docker, ksm: Path) -> None:
    seen = node(running)
    assert seen["mode"] == "tune"
    assert seen["problem"] is None, seen
    running(
        "service", "create", "--detach", "--name=student", "--no-resolve-image",
        "--restart-condition=none", "--user=1000:100", "--cap-drop=ALL",
        "--network=samepage_agents",
        "--mount=type=volume,source=samepage_node,target=/run/samepage,readonly",
        "--entrypoint=python3", IMAGE, "-c", STUDENT,
    )  # fmt: skip

    def said() -> str:
        # Not `service logs`, which may wait long for a task that starts.
        found = running("ps", "-q", "-f", "name=student.").split()
        return running("logs", found[0], check=False) if found else ""

    try:
        wait_for("the student", lambda: "HTTP/1" in said())
        assert "['node.sock']" in said()
        assert "200 OK" in said()
        # The reader has counted it, the tuner has heard, and KSM runs.
        wait_for("the count", lambda: (node(running)["opted_in_processes"] or 0) >= 1)
        wait_for("merging", lambda: (ksm / "run").read_text().strip() == "1")
    finally:
        running("service", "rm", "student")


def test_bad_health_goes_back_to_what_ran(running: Docker, ksm: Path, folder: Path) -> None:
    bad = stack(ksm)
    bad["services"]["tuner"]["healthcheck"] |= {
        "test": ["CMD", "false"],
        "start_period": "0s",
        "retries": 1,
        "interval": "1s",
    }
    deploy(running, bad, folder)

    def state() -> str:
        form = "{{if .UpdateStatus}}{{.UpdateStatus.State}}{{end}}"
        return running("service", "inspect", "-f", form, "samepage_tuner").strip()

    wait_for("the rollback", lambda: state() == "rollback_completed")
    test = running(
        "service", "inspect", "-f", "{{json .Spec.TaskTemplate.ContainerSpec.Healthcheck.Test}}",
        "samepage_tuner",
    )  # fmt: skip
    assert json.loads(test) == ["CMD", "samepage-agent", "status", "--quiet"]
    wait_for("health", lambda: healthy(running))


def test_ksm_is_put_back_when_the_stack_goes(running: Docker, ksm: Path) -> None:
    running("stack", "rm", "samepage")
    wait_for("the end", lambda: running("ps", "-q", "-f", "name=samepage_").split() == [])
    assert {name: (ksm / name).read_text().strip() for name in FOUND} == FOUND


def test_the_script_deploys_the_whole_stack_and_its_changes(docker: Docker, folder: Path) -> None:
    """As the page says it; hub and proxy are accepted, and have no image here."""
    copied = folder / "checkout"
    shutil.rmtree(copied, ignore_errors=True)
    shutil.copytree(ROOT / "deploy", copied / "deploy")
    wrapper = folder / "docker-here"
    wrapper.write_text(f'#!/bin/sh\nexec docker -H unix://{docker.socket} "$@"\n')
    wrapper.chmod(0o755)
    env = {
        **os.environ,
        "DOCKER": str(wrapper),
        # This machine's KSM is only looked at.
        "NODEAGENT_MODE": "observe",
        "SAMEPAGE_STACK": "whole",
        "SAMEPAGE_HUB_IMAGE": "localhost/none:1",
        "SAMEPAGE_SINGLEUSER_IMAGE": "localhost/none:1",
        "SAMEPAGE_PROXY_IMAGE": "localhost/none:1",
        "SAMEPAGE_NODEAGENT_IMAGE": IMAGE,
    }
    docker("secret", "create", "samepage-class-password", "-", stdin="a long one", check=False)

    def deployed(*options: str) -> set[str]:
        done = subprocess.run(
            [copied / "deploy/swarm/deploy.sh", "--resolve-image=never", *options],
            env=env, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        spec = json.loads(docker("service", "inspect", "whole_hub"))[0]["Spec"]
        mounted = spec["TaskTemplate"]["ContainerSpec"]["Configs"]
        return {one["ConfigName"] for one in mounted}

    def of_agents() -> set[str]:
        """What the hub has of the agents: their network, their token."""
        task = json.loads(docker("service", "inspect", "whole_hub"))[0]["Spec"]["TaskTemplate"]
        network = docker("network", "inspect", "-f", "{{.Id}}", "whole_agents").strip()
        joined = {"network" for one in task["Networks"] if one["Target"] == network}
        secrets = {one["File"]["Name"] for one in task["ContainerSpec"]["Secrets"]}
        return joined | secrets & {"agent-token"}

    try:
        first = deployed()
        services = docker("service", "ls", "--format", "{{.Name}} {{.Mode}}").split("\n")
        assert {line for line in services if line.startswith("whole_")} == {
            "whole_hub replicated", "whole_proxy replicated",
            "whole_tuner global", "whole_reader global",
        }  # fmt: skip
        assert of_agents() == set()
        assert deployed("--compose-file", "gpus.yml") == first
        assert of_agents() == {"network", "agent-token"}
        assert deployed() == first
        assert of_agents() == set()
        with (copied / "deploy/z2jh/courses/maps.yaml").open("a") as file:
            file.write("# changed\n")
        assert not first & deployed()
    finally:
        docker("stack", "rm", "whole")
        wait_for("the end", lambda: docker("ps", "-q", "-f", "name=whole_").split() == [])
