"""The manifests are valid for several Kubernetes versions, and are all one and the same."""

from __future__ import annotations

import copy
import dataclasses
import shutil
import subprocess
import sys
from typing import Any

import kubernetes_validate
import pytest
import yaml

from nodeagent.config import AgentConfig, load
from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import ROOT, Objects

VERSIONS = ("1.32", "1.34", "1.35", "1.36", "1.37")
CHECKSUM = "samepage/config-checksum"


def test_written_files_are_what_the_base_says() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts/manifests.py", "--check"],
        cwd=ROOT,
        env={"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("form", manifests.forms())
def test_valid_for_kubernetes(form: str, version: str) -> None:
    for one in manifests.forms()[form].values():
        # It answers with the version it had a schema of; an older one would prove nothing.
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_a_misspelt_field_would_be_found() -> None:
    one = copy.deepcopy(manifests.plain()["DaemonSet", "samepage-agent"])
    one["spec"]["template"]["spec"]["containers"][0]["securityContext"]["readOnlyRootFS"] = True
    with pytest.raises(kubernetes_validate.ValidationError, match="readOnlyRootFS"):
        kubernetes_validate.validate(one, VERSIONS[-1], strict=True)


def without_checksum(objects: Objects) -> Objects:
    copied = copy.deepcopy(objects)
    for (kind, _), one in copied.items():
        if kind == "DaemonSet":
            assert one["spec"]["template"]["metadata"]["annotations"].pop(CHECKSUM)
    return copied


def test_one_file_and_kustomize_are_equal() -> None:
    assert manifests.plain() == manifests.kustomize_base()


def test_the_chart_makes_the_same_objects() -> None:
    wanted = without_checksum(manifests.plain())
    # The namespace is made by the operator, who labels it.
    del wanted["Namespace", "samepage"]
    assert without_checksum(manifests.chart()) == wanted


def test_the_chart_makes_the_same_daemonset_for_gpu_nodes() -> None:
    values = manifests.gpu_values()
    wanted = manifests.gpu()["DaemonSet", "samepage-agent-gpu"]
    made = manifests.chart(values)["DaemonSet", "samepage-agent"]
    for one in (wanted, made):
        assert one["spec"]["template"]["metadata"]["annotations"].pop(CHECKSUM)
    # A release of its own needs no names of its own, and its settings are in its own namespace.
    text = yaml.safe_dump(wanted).replace("samepage-agent-gpu", "samepage-agent")
    assert yaml.safe_load(text.replace("node-agent-gpu", "node-agent")) == made
    assert ("PriorityClass", "samepage-agent") not in manifests.chart(values)


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
@pytest.mark.parametrize("overlay", ["base", "overlays/gpu"])
def test_kubectl_builds_the_kustomization(overlay: str) -> None:
    done = subprocess.run(
        ["kubectl", "kustomize", str(ROOT / "deploy/kustomize" / overlay)],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    objects = manifests.load(done.stdout)
    for one in objects.values():
        assert kubernetes_validate.validate(one, VERSIONS[0], strict=True)
    if overlay == "base":
        assert objects == manifests.plain()
        return
    on_gpus = objects["DaemonSet", "samepage-agent-gpu"]["spec"]["template"]["spec"]
    assert on_gpus["runtimeClassName"] == "nvidia"
    assert on_gpus["nodeSelector"]["nvidia.com/gpu.present"] == "true"
    others = objects["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]
    needed = others["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    # No node may have two agents.
    assert needed["nodeSelectorTerms"] == [
        {"matchExpressions": [
            {"key": "nvidia.com/gpu.present", "operator": "NotIn", "values": ["true"]}
        ]}
    ]  # fmt: skip
    selectors = [
        objects["DaemonSet", name]["spec"]["selector"]["matchLabels"]
        for name in ("samepage-agent", "samepage-agent-gpu")
    ]
    assert selectors[0] != selectors[1]


def environment(container: Any, settings: dict[str, str]) -> dict[str, str]:
    return settings | {one["name"]: one.get("value", "a-node") for one in container["env"]}


@pytest.mark.parametrize(
    ("form", "name", "one"), [*manifests.daemonsets()], ids=lambda given: str(given)[:20]
)
def test_the_agent_accepts_its_settings(form: str, name: str, one: Any) -> None:
    settings = manifests.plain()["ConfigMap", "samepage-agent"]["data"]
    known = {f"NODEAGENT_{field.name.upper()}" for field in dataclasses.fields(AgentConfig)}
    tuner, reader = one["spec"]["template"]["spec"]["containers"]
    loaded = {}
    for container in (tuner, reader):
        given = environment(container, settings)
        ours = {key for key in given if key.startswith("NODEAGENT_")}
        assert ours <= known
        loaded[container["name"]] = load(given, {})
    one_side, other = loaded["tuner"], loaded["reader"]
    assert one_side.facts_socket == other.facts_socket
    uid = reader["securityContext"]["runAsUser"]
    assert one_side.facts_uids == ((uid, uid),)
    port = tuner["ports"][0]["containerPort"]
    assert one_side.listen.port == port


def test_a_change_of_the_settings_restarts_the_agents() -> None:
    def mark(objects: Objects) -> str:
        template = objects["DaemonSet", "samepage-agent"]["spec"]["template"]
        return str(template["metadata"]["annotations"][CHECKSUM])

    changed = manifests.chart({"config": {"NODEAGENT_MODE": "observe"}})
    assert mark(changed) != mark(manifests.chart())
    assert mark(manifests.plain()) != "0"


def test_nothing_in_the_selector_changes_with_a_version() -> None:
    version = yaml.safe_load((manifests.CHART / "Chart.yaml").read_text())["appVersion"]
    for _, _, one in manifests.daemonsets():
        assert version not in str(one["spec"]["selector"])
        labels = one["spec"]["template"]["metadata"]["labels"]
        assert one["spec"]["selector"]["matchLabels"].items() <= labels.items()
