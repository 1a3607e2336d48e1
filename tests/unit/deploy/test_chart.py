"""The chart's values: what is accepted, what is refused, what they do."""

from __future__ import annotations

import json
from typing import Any

import kubernetes_validate
import pytest
from jsonschema import Draft7Validator

from tests.unit.deploy import manifests
from tests.unit.deploy.gotemplate import UnknownActionError, render

SCHEMA = Draft7Validator(json.loads((manifests.CHART / "values.schema.json").read_text()))


def errors(changes: dict[str, Any]) -> list[str]:
    found = SCHEMA.iter_errors(manifests.merged(manifests.values(), changes))
    return [error.message for error in found]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"image": {"repository": "registry.example.org/samepage-nodeagent", "tag": "0.2.0"}},
        {"imagePullSecrets": [{"name": "registry"}]},
        {"config": {"NODEAGENT_INVITE_CGROUP": "kubepods", "NODEAGENT_MODE": "observe"}},
        {"tuner": {"env": {"NVIDIA_VISIBLE_DEVICES": "all"}}, "runtimeClassName": "nvidia"},
        {"maxUnavailable": 1},
        {"seLinuxType": "spc_t"},
        {"networkPolicy": {"enabled": False}},
        {"tolerations": []},
        manifests.gpu_values(),
        manifests.merged(
            manifests.gpu_values(), {"gpu": {"names": True, "tokenSecret": "samepage-token"}}
        ),
    ],
)
def test_good_values(changes: dict[str, Any]) -> None:
    assert errors(changes) == []
    for one in manifests.chart(changes).values():
        kubernetes_validate.validate(one, "1.36", strict=True)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"imag": {}}, "'imag' was unexpected"),
        ({"image": {"tagg": "1"}}, "'tagg' was unexpected"),
        ({"image": {"tag": 1.5}}, "1.5 is not of type 'string'"),
        ({"config": {"NODEAGENT_MOED": "tune"}}, "'NODEAGENT_MOED' was unexpected"),
        ({"config": {"NODEAGENT_CPU_BUDGET": 0.1}}, "0.1 is not of type 'string'"),
        # Where the manifest's mounts are, is no setting.
        ({"config": {"NODEAGENT_SYS_ROOT": "/sys"}}, "'NODEAGENT_SYS_ROOT' was unexpected"),
        ({"reader": {"uid": 0}}, "0 is less than the minimum of 1"),
        ({"maxUnavailable": 0}, "0 is not valid under any of the given schemas"),
        ({"networkPolicy": {"from": []}}, "[] should be non-empty"),
        ({"priorityClass": {"value": 2_000_000_000}}, "is greater than the maximum"),
        ({"seccomp": {"arch": "x86_64"}}, "'x86_64' is not one of"),
        ({"gpu": {"enable": True}}, "'enable' was unexpected"),
        ({"gpu": {"names": True}}, "True was expected"),
        ({"gpu": {"tokenSecret": "token"}}, "True was expected"),
    ],
)
def test_bad_values(changes: dict[str, Any], said: str) -> None:
    assert any(said in error for error in errors(changes)), errors(changes)


def test_values_reach_their_places() -> None:
    objects = manifests.chart(
        {
            "image": {"repository": "r.example.org/agent", "tag": "7"},
            "reader": {"uid": 2000, "gid": 3000, "resources": {"limits": {"memory": "1Gi"}}},
            "tuner": {"env": {"NVIDIA_VISIBLE_DEVICES": "all"}},
            "runtimeClassName": "nvidia",
            "seLinuxType": "spc_t",
            "imagePullSecrets": [{"name": "key"}],
            "priorityClass": {"create": False, "name": "system-node-critical"},
            "networkPolicy": {"enabled": False},
        }
    )
    assert {kind for kind, _ in objects} == {"ServiceAccount", "ConfigMap", "DaemonSet", "Service"}
    pod = objects["DaemonSet", "samepage-agent"]["spec"]["template"]["spec"]
    tuner, reader = pod["containers"]
    assert tuner["image"] == reader["image"] == "r.example.org/agent:7"
    named = {one["name"]: one["value"] for one in tuner["env"]}
    assert named["NVIDIA_VISIBLE_DEVICES"] == "all"
    assert named["NODEAGENT_FACTS_UIDS"] == "2000"
    assert reader["securityContext"]["runAsUser"] == 2000
    assert reader["securityContext"]["runAsGroup"] == 3000
    assert reader["resources"]["limits"]["memory"] == "1Gi"
    assert tuner["resources"]["limits"]["memory"] == "256Mi"
    assert pod["runtimeClassName"] == "nvidia"
    assert pod["securityContext"]["seLinuxOptions"] == {"type": "spc_t"}
    assert pod["imagePullSecrets"] == [{"name": "key"}]
    assert pod["priorityClassName"] == "system-node-critical"


def test_more_than_the_small_language_is_noticed() -> None:
    with pytest.raises(UnknownActionError):
        render('{{ include "x" . }}', {"Values": {}})
