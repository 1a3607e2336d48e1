"""What the agent may do on a node: every right that is not needed is denied, in every form."""

from __future__ import annotations

from typing import Any

import pytest

from nodeagent.config import AgentConfig, load
from nodeagent.http.hosts import is_allowed
from tests.unit.deploy import manifests

EVERY = pytest.mark.parametrize(
    "one", [pytest.param(one, id=f"{form}-{name}") for form, name, one in manifests.daemonsets()]
)


def pod(one: Any) -> Any:
    return one["spec"]["template"]["spec"]


@EVERY
def test_no_container_has_a_right_it_does_not_need(one: Any) -> None:
    for container in pod(one)["containers"]:
        rights = container["securityContext"]
        assert rights["privileged"] is False
        assert rights["allowPrivilegeEscalation"] is False
        assert rights["readOnlyRootFilesystem"] is True
        assert rights["capabilities"] == {"drop": ["ALL"]}
    assert pod(one)["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert "initContainers" not in pod(one)


@EVERY
def test_root_is_the_tuner_only_and_sees_no_process(one: Any) -> None:
    tuner, reader = pod(one)["containers"]
    assert (tuner["name"], reader["name"]) == ("tuner", "reader")
    assert tuner["securityContext"]["runAsUser"] == 0
    on_gpus = {"pod-resources", "gpu-data"} if manifests.is_for_gpus(one) else set()
    mounts = {mount["name"] for mount in tuner["volumeMounts"]}
    assert mounts == {"ksm", "state", "facts"} | on_gpus
    assert reader["securityContext"]["runAsNonRoot"] is True
    assert reader["securityContext"]["runAsUser"] > 0


@EVERY
def test_who_sees_processes_answers_nobody_outside(one: Any) -> None:
    _, reader = pod(one)["containers"]
    assert "ports" not in reader
    writable = [mount["name"] for mount in reader["volumeMounts"] if not mount.get("readOnly")]
    assert writable == ["facts"]
    assert reader["args"] == ["reader"]


@EVERY
def test_no_namespace_of_the_host_but_pids_on_gpu_nodes(one: Any) -> None:
    for name in ("hostNetwork", "hostIPC", "shareProcessNamespace"):
        assert not pod(one).get(name, False)
    # The driver lists the host's pids, and SO_PEERCRED gives 0 for those of other namespaces.
    assert pod(one).get("hostPID", False) is manifests.is_for_gpus(one)


@EVERY
def test_on_gpu_nodes_the_tuner_reads_gpus_and_is_given_what_it_asks_for(one: Any) -> None:
    tuner, reader = pod(one)["containers"]
    given = {each["name"]: each.get("value") for each in tuner["env"]}
    nvidia = {name: value for name, value in given.items() if name.startswith("NVIDIA_")}
    if not manifests.is_for_gpus(one):
        assert not nvidia
        assert "runtimeClassName" not in pod(one)
        return
    assert nvidia == {"NVIDIA_VISIBLE_DEVICES": "all", "NVIDIA_DRIVER_CAPABILITIES": "utility"}
    assert pod(one)["runtimeClassName"] == "nvidia"
    assert not [each for each in reader["env"] if each["name"].startswith("NVIDIA_")]
    (name,) = [each for each in tuner["env"] if each["name"] == "NODEAGENT_NODE_NAME"]
    assert name["valueFrom"] == {"fieldRef": {"fieldPath": "spec.nodeName"}}
    ours = {
        name: value
        for name, value in given.items()
        if name.startswith("NODEAGENT_") and value is not None
    }
    config = load(ours, {})
    mounts = {each["mountPath"]: each for each in tuner["volumeMounts"]}
    # The folder: a socket that was mounted itself is dead when the kubelet has restarted.
    assert mounts[str(config.pod_resources.parent)]["readOnly"] is True
    assert not mounts[str(config.gpu_data)].get("readOnly", False)
    # With hostPID the container's own /proc is the host's; the tuner needs no other.
    assert config.proc_root == AgentConfig().proc_root


@EVERY
def test_folders_of_the_host_are_few_typed_and_outside_sys(one: Any) -> None:
    paths = {v["name"]: v["hostPath"] for v in pod(one)["volumes"] if "hostPath" in v}
    on_gpus = {
        "pod-resources": "/var/lib/kubelet/pod-resources",
        "gpu-data": "/var/lib/samepage/gpu",
    }
    assert {name: path["path"] for name, path in paths.items()} == {
        "ksm": "/sys/kernel/mm/ksm",
        "state": "/run/samepage",
        "proc": "/proc",
        "cgroup": "/sys/fs/cgroup",
    } | (on_gpus if manifests.is_for_gpus(one) else {})
    assert all(path["type"] in ("Directory", "DirectoryOrCreate") for path in paths.values())
    for container in pod(one)["containers"]:
        for mount in container["volumeMounts"]:
            # AppArmor's default profile refuses writes below /sys, whatever is mounted there.
            assert not mount["mountPath"].startswith(("/sys", "/proc"))
            written = mount["name"] in ("ksm", "state", "gpu-data") or (
                mount["name"] == "facts" and container["name"] == "reader"
            )
            assert bool(mount.get("readOnly")) is not written


@EVERY
def test_no_token_and_no_role(one: Any) -> None:
    assert pod(one)["automountServiceAccountToken"] is False
    for objects in manifests.forms().values():
        assert not [kind for kind, _ in objects if "Role" in kind]
    account = manifests.plain()["ServiceAccount", "samepage-agent"]
    assert account["automountServiceAccountToken"] is False
    assert pod(one)["serviceAccountName"] == "samepage-agent"


@EVERY
def test_probes_ask_for_real_health(one: Any) -> None:
    tuner, reader = pod(one)["containers"]
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert tuner[probe]["httpGet"] == {"path": "/healthz", "port": "metrics"}
    # A reading counts as good for 3 intervals and 10 s: no restart before it is really old.
    live = tuner["livenessProbe"]
    assert live["periodSeconds"] * live["failureThreshold"] > 3 * load({}, {}).interval + 10
    assert reader["livenessProbe"]["exec"]["command"] == ["samepage-agent", "reader", "--check"]


@EVERY
def test_bounds(one: Any) -> None:
    for container in pod(one)["containers"]:
        for bound in ("requests", "limits"):
            assert set(container["resources"][bound]) == {"cpu", "memory"}
    assert one["spec"]["updateStrategy"] == {
        "type": "RollingUpdate",
        "rollingUpdate": {"maxUnavailable": "10%"},
    }
    assert pod(one)["priorityClassName"] == "samepage-agent"
    assert pod(one)["terminationGracePeriodSeconds"] >= 30


@EVERY
def test_it_runs_where_students_run(one: Any) -> None:
    taints = {(each["key"], each.get("value")) for each in pod(one)["tolerations"]}
    assert ("hub.jupyter.org/dedicated", "user") in taints
    assert ("hub.jupyter.org_dedicated", "user") in taints
    assert ("nvidia.com/gpu", None) in taints


def test_the_priority_preempts_no_student() -> None:
    priority = manifests.plain()["PriorityClass", "samepage-agent"]
    assert priority["preemptionPolicy"] == "Never"
    assert 0 < priority["value"] < 1_000_000_000
    assert priority["globalDefault"] is False


def test_the_namespace_says_what_it_lets_in() -> None:
    labels = manifests.plain()["Namespace", "samepage"]["metadata"]["labels"]
    levels = {
        key.rpartition("/")[2]: value
        for key, value in labels.items()
        if key.startswith("pod-security.kubernetes.io/")
    }
    assert levels == {"enforce": "privileged", "warn": "baseline", "audit": "baseline"}


def test_the_network_lets_only_monitoring_in_and_nothing_out() -> None:
    for name in ("daemonset.yaml", "chart"):
        policy = manifests.forms()[name]["NetworkPolicy", "samepage-agent"]["spec"]
        assert set(policy["policyTypes"]) == {"Ingress", "Egress"}
        assert policy["egress"] == []
        (rule,) = policy["ingress"]
        assert [port["port"] for port in rule["ports"]] == [9747]
        assert len(rule["from"]) == 1
        # Of both DaemonSets.
        assert policy["podSelector"]["matchLabels"] == {"app.kubernetes.io/name": "samepage-agent"}


def test_the_service_never_leaves_the_node_and_its_names_are_answered() -> None:
    objects = manifests.plain()
    service = objects["Service", "samepage-agent"]["spec"]
    assert service["internalTrafficPolicy"] == "Local"
    assert service["type"] == "ClusterIP"
    (port,) = service["ports"]
    for _, _, one in manifests.daemonsets():
        tuner = pod(one)["containers"][0]
        assert port["targetPort"] in [named["name"] for named in tuner["ports"]]
        assert service["selector"].items() <= one["spec"]["template"]["metadata"]["labels"].items()
    config = load(objects["ConfigMap", "samepage-agent"]["data"], {})
    for name in ("samepage-agent.samepage", "samepage-agent.samepage.svc"):
        header = f"{name}:{port['port']}"
        assert is_allowed(header, listen_host=config.listen.host, allowed=config.allow_host)
    assert not is_allowed("evil.test", listen_host=config.listen.host, allowed=config.allow_host)
