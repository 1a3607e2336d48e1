"""Manifests of the scheduler's extender, and of agents whose GPU facts others read."""

from __future__ import annotations

import dataclasses
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nodeagent.config import AgentConfig, load
from nodeagent.gpu.extender.app import build_extender
from nodeagent.gpu.extender.ranker import Ranker
from nodeagent.gpu.publish.target import lease_name, write
from nodeagent.gpu.sharing.policy import Policy
from tests.unit.deploy import manifests

ROOT = Path(__file__).parents[3]
SCHEDULER = ROOT / "deploy/scheduler"
VERSION = "1.36"

needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")


def built(folder: Path) -> manifests.Objects:
    done = subprocess.run(
        ["kubectl", "kustomize", "--load-restrictor=LoadRestrictionsNone", str(folder)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = manifests.load(done.stdout)
    for one in found.values():
        assert kubernetes_validate.validate(one, VERSION, strict=True)
    return found


@pytest.fixture(params=["gpu-publish", "gpu-ask", "gpu-names"])
def component(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def with_components(folder: Path, *names: str) -> manifests.Objects:
    # kustomize wants relative paths, and refuses a tree that it is in itself.
    deploy = folder / "deploy"
    shutil.copytree(ROOT / "deploy/kustomize", deploy)
    own = folder / "own"
    own.mkdir()
    wanted = {
        "apiVersion": "kustomize.config.k8s.io/v1beta1",
        "kind": "Kustomization",
        "resources": ["../deploy/overlays/gpu"],
        "components": [f"../deploy/components/{name}" for name in names],
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    return built(own)


def containers(one: Any) -> dict[str, Any]:
    return {each["name"]: each for each in one["spec"]["template"]["spec"]["containers"]}


@needs_kubectl
def test_only_the_tuner_on_gpu_nodes_gets_what_it_needs(component: str, tmp_path: Path) -> None:
    found = with_components(tmp_path, component)
    volume = "token" if component == "gpu-ask" else "api-account"
    on_gpus = containers(found["DaemonSet", "samepage-agent-gpu"])
    assert volume in {each["name"] for each in on_gpus["tuner"]["volumeMounts"]}
    assert volume not in {each["name"] for each in on_gpus["reader"]["volumeMounts"]}
    others = found["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]
    assert volume not in {each["name"] for each in others["volumes"]}
    for name in ("samepage-agent", "samepage-agent-gpu"):
        pod = found["DaemonSet", name]["spec"]["template"]["spec"]
        assert pod["automountServiceAccountToken"] is False
    known = {f"NODEAGENT_{field.name.upper()}" for field in dataclasses.fields(AgentConfig)}
    given = {
        each["name"]: each.get("value", "a-node")
        for each in on_gpus["tuner"]["env"]
        if each["name"].startswith("NODEAGENT_")
    }
    assert set(given) <= known
    loaded = load(given, {})
    assert loaded.node_name == "a-node"
    assert loaded.gpu_publish == ("lease" if component == "gpu-publish" else "none")


@needs_kubectl
def test_publishing_may_write_leases_and_nothing_else(tmp_path: Path) -> None:
    found = with_components(tmp_path, "gpu-publish")
    role = found["Role", "samepage-gpu-publish"]
    assert role["rules"] == [
        {
            "apiGroups": ["coordination.k8s.io"],
            "resources": ["leases"],
            "verbs": ["create", "patch"],
        }
    ]
    assert not [key for key in found if key[0] in ("ClusterRole", "ClusterRoleBinding")]
    change = write("lease", "n1", "text", namespace="samepage", taken=0.0, holds_seconds=90)
    assert change.path.startswith("/apis/coordination.k8s.io/v1/namespaces/samepage/leases/")
    assert kubernetes_validate.validate(dict(change.body), VERSION, strict=True)
    policy = found["ValidatingAdmissionPolicy", "samepage-gpu-own-lease-only"]["spec"]
    [rule] = policy["validations"]
    assert f"'{lease_name('')}' + variables.node" in rule["expression"]
    [condition] = policy["matchConditions"]
    account = found["RoleBinding", "samepage-gpu-publish"]["subjects"][0]
    name = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert f"== '{name}'" in condition["expression"]
    assert policy["failurePolicy"] == "Fail"


@needs_kubectl
def test_all_of_them_together(tmp_path: Path) -> None:
    found = with_components(tmp_path, "gpu-publish", "gpu-ask", "gpu-names")
    pod = found["DaemonSet", "samepage-agent-gpu"]["spec"]["template"]["spec"]
    names = [each["name"] for each in pod["volumes"]]
    assert len(names) == len(set(names))
    account = next(each for each in pod["volumes"] if each["name"] == "api-account")
    assert len(account["projected"]["sources"]) == 3
    rights = found["ClusterRole", "samepage-gpu-names"]["rules"]
    asked = [(each["resources"], each["verbs"]) for each in rights]
    assert asked == [(["pods"], ["list"]), (["nodes"], ["get"])]


@needs_kubectl
def test_the_chart_makes_the_same_of_names_and_questions(tmp_path: Path) -> None:
    values = manifests.merged(
        manifests.gpu_values(),
        {
            "gpu": {"names": True, "tokenSecret": "samepage-agent-token"},
            "gpuPublish": {"enabled": True},
        },
    )
    made = manifests.chart(values)
    found = with_components(tmp_path, "gpu-publish", "gpu-ask", "gpu-names")
    for one in made.values():
        assert kubernetes_validate.validate(one, VERSION, strict=True)

    def plain(one: Any) -> Any:
        text = yaml.safe_dump(one).replace("samepage-agent-gpu\n", "samepage-agent\n")
        return yaml.safe_load(text.replace("node-agent-gpu", "node-agent"))

    for key in found:
        if key[1].startswith("samepage-gpu-") or key == ("Service", "samepage-agent-gpus"):
            assert made[key] == plain(found[key]), key
    pods = [
        plain(objects["DaemonSet", name])["spec"]["template"]["spec"]
        for objects, name in ((found, "samepage-agent-gpu"), (made, "samepage-agent"))
    ]
    for pod in pods:
        pod["volumes"].sort(key=lambda each: str(each["name"]))
        for container in pod["containers"]:
            for part in ("env", "volumeMounts"):
                container.get(part, []).sort(key=lambda each: str(each["name"]))
    assert pods[0] == pods[1]


def test_without_a_value_the_chart_gives_the_tuner_no_account_and_no_token() -> None:
    made = manifests.chart(manifests.gpu_values())
    assert not [kind for kind, _ in made if "Role" in kind]
    names = {
        one["name"]
        for one in made["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]["volumes"]
    }
    assert not names & {"api-account", "token"}


@needs_kubectl
def test_the_scheduler_and_its_extender_find_each_other() -> None:
    found = built(SCHEDULER)
    [config_name] = [name for kind, name in found if kind == "ConfigMap"]
    config = yaml.safe_load(found["ConfigMap", config_name]["data"]["config.yaml"])
    [extender] = config["extenders"]
    service = found["Service", "samepage-extender"]
    port = service["spec"]["ports"][0]["port"]
    host = f"{service['metadata']['name']}.{service['metadata']['namespace']}.svc"
    assert extender["urlPrefix"] == f"http://{host}:{port}/samepage"
    routes = {
        rule.matcher.regex.pattern  # type: ignore[attr-defined]  # every rule here has a path
        for rule in build_extender(Ranker(Policy())).wildcard_router.rules
    }
    assert f"/samepage/{extender['prioritizeVerb']}$" in routes
    scheduler = found["Deployment", "samepage-scheduler"]["spec"]["template"]
    volume = scheduler["spec"]["volumes"][0]["configMap"]["name"]
    assert volume == config_name  # the hash in it restarts the scheduler when it changes
    pod = found["Deployment", "samepage-extender"]["spec"]["template"]
    assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
    policy = found["NetworkPolicy", "samepage-extender"]["spec"]
    let_in = policy["ingress"][0]["from"][0]["podSelector"]["matchLabels"]
    assert let_in.items() <= scheduler["metadata"]["labels"].items()


def test_the_extender_can_only_rank() -> None:
    config = yaml.safe_load((SCHEDULER / "kube-scheduler-config.yaml").read_text())
    [extender] = config["extenders"]
    assert extender["ignorable"] is True
    assert not {"filterVerb", "bindVerb", "preemptVerb"} & set(extender)
    assert all(not each["ignoredByScheduler"] for each in extender["managedResources"])


def test_the_extender_has_few_rights() -> None:
    found = manifests.load((SCHEDULER / "extender.yaml").read_text())
    assert found["Role", "samepage-extender"]["rules"] == [
        {"apiGroups": ["coordination.k8s.io"], "resources": ["leases"], "verbs": ["list"]}
    ]
    pod = found["Deployment", "samepage-extender"]["spec"]["template"]["spec"]
    assert pod["securityContext"]["runAsNonRoot"] is True
    [container] = pod["containers"]
    limits = container["securityContext"]
    assert limits["capabilities"] == {"drop": ["ALL"]}
    assert limits["readOnlyRootFilesystem"] is True
    assert "volumes" not in pod
