"""daemonset.yaml on a real cluster: apply, roll out, upgrade, roll back, delete; who may do what.

Runs with KUBECONFIG and the names of pushed images (tests/integration/cluster.py), else is skipped.
It uses the namespace samepage, which must not exist before, and removes it.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import yaml

from tests.integration import cluster
from tests.integration.cluster import AGENT, SHIPPED, STUDENT, kubectl, objects
from tests.unit.deploy import manifests, z2jh

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.xdist_group("cluster"),
    pytest.mark.skipif(cluster.why_not() is not None, reason=str(cluster.why_not())),
    pytest.mark.timeout(900),
]
NAMESPACE = "samepage"
STUDENTS = "samepage-test-students"
DAEMONSET = "daemonset/samepage-agent"
NAME = {"app.kubernetes.io/name": "samepage-agent"}


def shipped() -> str:
    text = (manifests.ROOT / "daemonset.yaml").read_text(encoding="utf-8")
    return text.replace(SHIPPED, AGENT)


def rolled_out() -> str:
    return kubectl("-n", NAMESPACE, "rollout", "status", DAEMONSET, "--timeout=180s")


def wait_for(what: str, ready: Callable[[], bool], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(1)


@pytest.fixture(scope="module")
def agent() -> Iterator[None]:
    there = kubectl("get", "namespace", NAMESPACE, "--ignore-not-found")
    assert there == "", f"the namespace {NAMESPACE} is in use; this test would remove it"
    kubectl("apply", "-f", "-", stdin=shipped())
    try:
        rolled_out()
        yield
    finally:
        kubectl("delete", "--ignore-not-found", "-f", "-", stdin=shipped(), check=False)


def test_the_api_server_accepts_every_field(agent: None) -> None:
    said = kubectl("apply", "--dry-run=server", "--validate=strict", "-f", "-", stdin=shipped())
    assert "samepage-agent" in said


def test_every_agent_runs_without_rights(agent: None) -> None:
    pods = objects("pods", NAMESPACE, **NAME)
    assert pods
    for pod in pods:
        name = pod["metadata"]["name"]
        for container in ("tuner", "reader"):
            status = kubectl(
                "-n", NAMESPACE, "exec", name, "-c", container, "--", "cat", "/proc/1/status"
            )
            assert "CapEff:\t0000000000000000" in status
        assert (
            "ksm"
            in kubectl(
                "-n", NAMESPACE, "exec", name, "-c", "tuner", "--", "samepage-agent", "status"
            ).lower()
        )


def test_the_account_may_do_nothing(agent: None) -> None:
    who = f"--as=system:serviceaccount:{NAMESPACE}:samepage-agent"
    for verb, what in (
        ("get", "pods"), ("list", "nodes"), ("get", "secrets"), ("create", "pods/exec"),
        ("update", "nodes"), ("create", "leases"),
    ):  # fmt: skip
        said = kubectl("auth", "can-i", verb, what, who, "--all-namespaces", check=False)
        assert said.split()[0] == "no", f"{verb} {what}: {said}"


@contextmanager
def namespace(name: str, level: str) -> Iterator[None]:
    """A namespace with a level of PodSecurity, removed at the end."""
    kubectl("create", "namespace", name)
    try:
        kubectl("label", "namespace", name, f"pod-security.kubernetes.io/enforce={level}")
        yield
    finally:
        kubectl("delete", "namespace", name, "--wait=false", check=False)


@pytest.mark.parametrize("level", ["baseline", "restricted"])
def test_its_pods_are_for_its_own_namespace_alone(agent: None, level: str) -> None:
    """PodSecurity refuses them where students are."""
    pod = manifests.plain()["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]
    name = f"samepage-test-{level}"
    one = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "agent"}, "spec": pod}
    del one["spec"]["serviceAccountName"]
    del one["spec"]["priorityClassName"]
    with namespace(name, level):
        said = kubectl("-n", name, "create", "-f", "-", stdin=json.dumps(one), check=False)
        assert "violates PodSecurity" in said
        assert "hostPath" in said


def test_a_changed_setting_rolls_out(agent: None) -> None:
    old = {pod["metadata"]["uid"] for pod in objects("pods", NAMESPACE, **NAME)}
    text = shipped().replace('NODEAGENT_CPU_BUDGET: "0.10"', 'NODEAGENT_CPU_BUDGET: "0.11"')
    mark = manifests.plain()["DaemonSet", "samepage-agent"]["spec"]["template"]["metadata"]
    checksum = mark["annotations"]["samepage/config-checksum"]
    assert checksum in text
    kubectl("apply", "-f", "-", stdin=text.replace(checksum, "changed"))
    rolled_out()
    assert not old & {pod["metadata"]["uid"] for pod in objects("pods", NAMESPACE, **NAME)}


def test_a_bad_version_is_taken_back(agent: None) -> None:
    kubectl(
        "-n", NAMESPACE, "set", "image", DAEMONSET, f"tuner={AGENT}-does-not-exist",
    )  # fmt: skip
    nodes = len(objects("pods", NAMESPACE, **NAME))

    def ready() -> int:
        found = kubectl("-n", NAMESPACE, "get", DAEMONSET, "-o", "json")
        return int(json.loads(found)["status"].get("numberReady", 0))

    wait_for("the bad version's first pod", lambda: ready() < nodes)
    # At most a tenth of the nodes, but one, are without an agent.
    assert nodes - ready() <= max(1, nodes // 10)
    kubectl("-n", NAMESPACE, "rollout", "undo", DAEMONSET)
    rolled_out()


@pytest.mark.skipif(not STUDENT, reason="name a pushed image in SAMEPAGE_TEST_SINGLEUSER_IMAGE")
def test_a_student_is_spawned_where_restricted_is_enforced(agent: None) -> None:
    """The pod that a real KubeSpawner makes of our values, as a server without a hub."""
    values = z2jh.load(z2jh.FOLDER / "values.yaml", z2jh.FOLDER / "values-restricted.yaml")
    spawner = z2jh.spawner(z2jh.configured(values, z2jh.COURSES))
    spawner.user_options = {"profile": "statistics"}

    async def make() -> Any:
        await spawner.load_user_options()
        return await spawner.get_pod_manifest()

    pod = z2jh.plain(asyncio.run(make()))
    pod["metadata"] = {"name": "ada", "labels": {"test": "student"}}
    (container,) = pod["spec"]["containers"]
    # No hub answers here, so the plain server of the same image.
    container |= {"image": STUDENT, "args": ["samepage-lab"]}
    container["env"] = [one for one in container["env"] if not one["name"].startswith("JPY_")]
    pod["spec"].pop("schedulerName", None)
    with namespace(STUDENTS, "restricted"):
        kubectl("-n", STUDENTS, "create", "-f", "-", stdin=yaml.safe_dump(pod))
        kubectl("-n", STUDENTS, "wait", "--for=condition=Ready", "pod/ada", "--timeout=180s")
        status = kubectl("-n", STUDENTS, "exec", "ada", "--", "cat", "/proc/1/status")
        assert "CapEff:\t0000000000000000" in status


def test_deleting_leaves_nothing_but_the_folder(agent: None) -> None:
    kubectl("delete", "-f", "-", stdin=shipped(), seconds=300)
    assert kubectl("get", "namespace", NAMESPACE, "--ignore-not-found") == ""
    assert kubectl("get", "priorityclass", "samepage-agent", "--ignore-not-found") == ""
