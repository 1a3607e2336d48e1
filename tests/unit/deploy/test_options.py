"""Course cache, donors and the seccomp profile: the chart's options and kustomize's components."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from nodeagent.config import load
from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import ROOT, Objects

IMAGE = "localhost/samepage-singleuser:0.1.0"
COURSES = (ROOT / "deploy/kustomize/components/course-cache/courses.txt").read_text()
PROFILE = json.dumps({"defaultAction": "SCMP_ACT_ERRNO", "syscalls": []})
ALL: dict[str, Any] = {
    "students": {"image": IMAGE},
    "courseCache": {"enabled": True, "courses": COURSES},
    "donors": {"enabled": True},
    "seccomp": {"profile": PROFILE},
}
CHECKSUM = "samepage/config-checksum"


def every() -> Objects:
    return manifests.chart(ALL)


def pods(objects: Objects) -> dict[str, Any]:
    return {
        name: one["spec"]["template"]["spec"]
        for (kind, name), one in objects.items()
        if kind == "DaemonSet"
    }


@pytest.mark.parametrize("version", ["1.32", "1.34", "1.37"])
def test_valid_for_kubernetes(version: str) -> None:
    changes = manifests.merged(ALL, {"courseCache": {"credentialsSecret": "tokens"}})
    for one in manifests.chart(changes).values():
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_without_options_there_is_nothing_of_them() -> None:
    assert set(pods(manifests.chart())) == {"samepage-agent"}
    assert set(pods(every())) == {"samepage-agent", "samepage-courses", "samepage-seccomp"}


@pytest.mark.parametrize("part", ["courseCache", "donors"])
def test_the_students_image_is_asked_for(part: str) -> None:
    schema = Draft7Validator(json.loads((manifests.CHART / "values.schema.json").read_text()))
    without = manifests.merged(manifests.values(), {part: {"enabled": True}})
    assert not schema.is_valid(without)
    assert schema.is_valid(manifests.merged(without, {"students": {"image": IMAGE}}))


def test_no_container_has_a_right_it_does_not_need() -> None:
    for name, pod in pods(every()).items():
        assert pod["automountServiceAccountToken"] is False, name
        for flag in ("hostPID", "hostNetwork", "hostIPC", "shareProcessNamespace"):
            assert not pod.get(flag, False)
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["capabilities"] == {"drop": ["ALL"]}
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True
            assert rights["privileged"] is False
            kind = (pod["securityContext"] | rights)["seccompProfile"]["type"]
            assert kind == ("Localhost" if container["name"] == "donors" else "RuntimeDefault")
            for bound in ("requests", "limits"):
                assert set(container["resources"][bound]) == {"cpu", "memory"}
        keys = {each["key"] for each in pod["tolerations"]}
        assert {"hub.jupyter.org/dedicated", "nvidia.com/gpu"} <= keys


def test_who_talks_to_the_network_sees_nothing_of_the_node_but_its_folder() -> None:
    objects = every()
    cache = pods(objects)["samepage-courses"]
    hosts = [volume["hostPath"]["path"] for volume in cache["volumes"] if "hostPath" in volume]
    assert hosts == ["/var/cache/samepage/courses"]
    agent = objects["NetworkPolicy", "samepage-agent"]["spec"]
    assert agent["egress"] == []
    own = objects["NetworkPolicy", "samepage-courses"]["spec"]
    assert agent["podSelector"] != own["podSelector"]
    ports = {(port["protocol"], port["port"]) for rule in own["egress"] for port in rule["ports"]}
    assert ports == {("UDP", 53), ("TCP", 53), ("TCP", 443), ("TCP", 22)}


def test_the_cache_accepts_its_settings() -> None:
    (container,) = pods(every())["samepage-courses"]["containers"]
    config = load({each["name"]: each["value"] for each in container["env"]}, {})
    mounts = {each["name"]: each["mountPath"] for each in container["volumeMounts"]}
    assert config.mode == "off"
    assert config.gpu is False
    assert str(config.course_cache) == mounts["cache"]
    assert config.course_cache_list == Path(mounts["list"]) / "courses.txt"
    assert config.listen.port == container["ports"][0]["containerPort"]
    students = yaml.safe_load((ROOT / "deploy/z2jh/values-course-cache.yaml").read_text())
    env = students["singleuser"]["extraEnv"]
    assert env["SAMEPAGE_COURSE_CACHE"] == mounts["cache"]
    # Root's, whom a server believes without being told.
    assert container["securityContext"]["runAsUser"] == 0
    mount = students["singleuser"]["storage"]["extraVolumeMounts"]["samepage-courses"]
    assert mount["readOnly"] is True
    assert mount["mountPath"] == f"{mounts['cache']}/public"


def test_credentials_are_a_secret_that_only_root_reads() -> None:
    changes = manifests.merged(ALL, {"courseCache": {"credentialsSecret": "tokens"}})
    pod = pods(manifests.chart(changes))["samepage-courses"]
    (secret,) = [volume["secret"] for volume in pod["volumes"] if "secret" in volume]
    assert secret == {"secretName": "tokens", "defaultMode": 0o400}
    (container,) = pod["containers"]
    env = {each["name"]: each["value"] for each in container["env"]}
    assert env["NODEAGENT_COURSE_CACHE_CREDENTIALS"] == "/run/secrets/courses/credentials"


def test_donors_are_the_students_user_in_the_agents_pod() -> None:
    values = manifests.merged(
        ALL,
        {"reader": {"uid": 2000, "gid": 3000}, "donors": {"env": {"SAMEPAGE_PRELOAD": "numpy"}}},
    )
    pod = pods(manifests.chart(values))["samepage-agent"]
    tuner, reader, donors = sorted(pod["containers"], key=lambda each: str(each["name"]) != "tuner")
    by_name = {each["name"]: each for each in (tuner, reader, donors)}
    assert set(by_name) == {"tuner", "reader", "donors"}
    made = by_name["donors"]
    assert made["securityContext"]["runAsUser"] == 2000
    assert made["image"] == IMAGE
    assert {"name": "SAMEPAGE_PRELOAD", "value": "numpy"} in made["env"]
    assert made["command"][-4:] == ["--", "python3", "-m", "labext.kernels.donor"]
    # Nothing of the node.
    hosts = {volume["name"] for volume in pod["volumes"] if "hostPath" in volume}
    assert not hosts & {mount["name"] for mount in made["volumeMounts"]}


def test_a_new_list_or_profile_restarts_who_reads_it() -> None:
    def marks(changes: dict[str, Any]) -> dict[str, str]:
        return {
            name: one["spec"]["template"]["metadata"]["annotations"][CHECKSUM]
            for (kind, name), one in manifests.chart(changes).items()
            if kind == "DaemonSet"
        }

    old = marks(ALL)
    new = marks(
        manifests.merged(ALL, {"courseCache": {"courses": "x"}, "seccomp": {"profile": "{}"}})
    )
    changed = {name for name in old if old[name] != new[name]}
    assert changed == {"samepage-courses", "samepage-seccomp"}


def without_names(objects: Objects) -> Objects:
    """Without what differs by design: kustomize names a ConfigMap by its content, Helm marks it."""
    text = json.dumps([one for _, one in sorted(objects.items()) if one["kind"] != "Namespace"])
    for (kind, name), one in objects.items():
        if kind == "ConfigMap" and "data" in one and not name.endswith("agent"):
            text = text.replace(name, name.rsplit("-", 1)[0] if name.count("-") > 1 else name)
    found: Objects = {}
    for one in json.loads(text):
        if one["kind"] == "DaemonSet":
            template = one["spec"]["template"]
            (template["metadata"].get("annotations") or {}).pop(CHECKSUM, None)
            if not template["metadata"].get("annotations"):
                template["metadata"].pop("annotations", None)
            for part in ("containers", "volumes"):
                template["spec"][part].sort(key=lambda each: str(each["name"]))
        if one["kind"] == "ConfigMap":
            one["metadata"].pop("labels", None)
        found[one["kind"], one["metadata"]["name"]] = one
    return found


needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")


def built(folder: Path, overlay: str, *components: str) -> Objects:
    """A kustomization of an operator's own, beside ours."""
    copied = folder / "kustomize"
    shutil.copytree(ROOT / "deploy/kustomize", copied)
    (copied / "components/seccomp/aligned.json").write_text(PROFILE)
    own = copied / "own"
    own.mkdir()
    wanted = {
        "resources": [f"../{overlay}"],
        "components": [f"../components/{name}" for name in components],
    }
    (own / "kustomization.yaml").write_text(yaml.safe_dump(wanted))
    done = subprocess.run(
        ["kubectl", "kustomize", str(own)],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return manifests.load(done.stdout)


@needs_kubectl
@pytest.mark.parametrize(
    ("overlay", "components"),
    [
        ("overlays/seccomp", ["course-cache", "donors"]),
        ("base", ["seccomp", "course-cache", "donors"]),
    ],
    ids=["overlay", "component"],
)
def test_components_and_chart_make_the_same_objects(
    overlay: str, components: list[str], tmp_path: Path
) -> None:
    assert without_names(built(tmp_path, overlay, *components)) == without_names(every())


@needs_kubectl
def test_gpu_nodes_and_the_profile_in_one_overlay(tmp_path: Path) -> None:
    names = ["gpu-publish", "gpu-ask", "gpu-names", "donors", "course-cache"]
    objects = built(tmp_path, "overlays/gpu", "seccomp", *names)
    for version in ("1.32", "1.34", "1.37"):
        for one in objects.values():
            assert kubernetes_validate.validate(one, version, strict=True) == version
    made = pods(objects)
    assert set(made) == {
        "samepage-agent", "samepage-agent-gpu", "samepage-courses", "samepage-seccomp"
    }  # fmt: skip
    # No node has two agents, and the profile goes to GPU nodes as to the others.
    installer = made["samepage-seccomp"]
    assert "nvidia.com/gpu" in {each["key"] for each in installer["tolerations"]}
    assert set(installer["nodeSelector"]) == {"kubernetes.io/os", "kubernetes.io/arch"}
    assert "affinity" not in installer
    assert "affinity" in made["samepage-agent"]
    (volume,) = [each for each in installer["volumes"] if "configMap" in each]
    profile = objects["ConfigMap", volume["configMap"]["name"]]
    assert profile["metadata"]["namespace"] == "samepage"
    assert profile["data"] == {"aligned.json": PROFILE}
    # Each of the two is what it is without the other.
    (tmp_path / "gpu").mkdir()
    alone = built(tmp_path / "gpu", "overlays/gpu", *names)
    assert {key: one for key, one in objects.items() if key in alone} == alone
    assert set(objects) - set(alone) == {
        ("DaemonSet", "samepage-seccomp"), ("ConfigMap", volume["configMap"]["name"])
    }  # fmt: skip
    for name, pod in made.items():
        assert pod["automountServiceAccountToken"] is False, name
        assert pod.get("hostPID", False) is (name == "samepage-agent-gpu")
        for container in pod["containers"]:
            rights = container["securityContext"]
            assert rights["capabilities"] == {"drop": ["ALL"]}, name
            assert rights["allowPrivilegeEscalation"] is False
            assert rights["readOnlyRootFilesystem"] is True


def blocks(page: str) -> list[Any]:
    """Pieces of kustomizations that a page shows."""
    text = (ROOT / "docs/operators" / page).read_text(encoding="utf-8")
    found = [yaml.safe_load(block) for block in re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)]
    keys = {"resources", "components", "images", "patches"}
    return [one for one in found if isinstance(one, dict) and set(one) <= keys]


@needs_kubectl
def test_what_the_pages_show_can_be_built(tmp_path: Path) -> None:
    """Copied from top to bottom: a later piece takes the place of the same key of an earlier."""
    shown = [*blocks("kubernetes.md"), *blocks("gpu-hub.md")]
    assert len(shown) == 4
    shutil.copytree(ROOT / "deploy/kustomize", tmp_path / "samepage/deploy/kustomize")
    (tmp_path / "samepage/deploy/kustomize/components/seccomp/aligned.json").write_text(PROFILE)
    install, arm, gpus, hub = shown
    for pieces in ([install], [install, gpus, arm], [install, hub]):
        whole = {key: value for piece in pieces for key, value in piece.items()}
        (tmp_path / "kustomization.yaml").write_text(yaml.safe_dump(whole))
        done = subprocess.run(
            ["kubectl", "kustomize", str(tmp_path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        objects = manifests.load(done.stdout)
        images = {each["image"] for pod in pods(objects).values() for each in pod["containers"]}
        assert all(image.startswith("registry.example.org/") for image in images), images
        assert (arm in pieces) == ("kubernetes.io/arch: arm64" in done.stdout)


@pytest.mark.parametrize("arch", ["amd64", "arm64"])
def test_the_charts_profile_is_for_one_architecture_on_gpu_nodes_too(arch: str) -> None:
    changes = manifests.merged(
        manifests.gpu_values(), {"seccomp": {"profile": PROFILE, "arch": arch}}
    )
    objects = manifests.chart(changes)
    assert pods(objects)["samepage-seccomp"]["nodeSelector"] == {
        "kubernetes.io/arch": arch,
        "kubernetes.io/os": "linux",
        "nvidia.com/gpu.present": "true",
    }
    for one in objects.values():
        assert kubernetes_validate.validate(one, "1.36", strict=True)


GPUS = {"gpuPublish": {"enabled": True}}


@pytest.mark.parametrize("version", ["1.32", "1.34", "1.37"])
def test_publishing_gpus_is_valid(version: str) -> None:
    for one in manifests.chart(GPUS).values():
        assert kubernetes_validate.validate(one, version, strict=True) == version


def test_who_publishes_gpus_writes_leases_and_nobody_else_has_a_token() -> None:
    objects = manifests.chart(GPUS)
    role = objects["Role", "samepage-gpu-publish"]
    assert [rule["resources"] for rule in role["rules"]] == [["leases"]]
    assert not {"get", "list", "watch", "delete", "*"} & set(role["rules"][0]["verbs"])
    policy = objects["ValidatingAdmissionPolicy", "samepage-gpu-own-lease-only"]
    account = objects["ServiceAccount", "samepage-agent"]["metadata"]
    name = f"system:serviceaccount:{account['namespace']}:{account['name']}"
    assert name in policy["spec"]["matchConditions"][0]["expression"]
    pod = pods(objects)["samepage-agent"]
    assert pod["automountServiceAccountToken"] is False
    holders = [
        container["name"]
        for container in pod["containers"]
        if any(mount["name"] == "api-account" for mount in container["volumeMounts"])
    ]
    assert holders == ["tuner"]
    assert not any(kind == "ClusterRole" for kind, _ in objects)
    egress = objects["NetworkPolicy", "samepage-gpu-publish"]["spec"]
    assert egress["podSelector"]["matchLabels"].items() <= (
        objects["DaemonSet", "samepage-agent"]["spec"]["template"]["metadata"]["labels"].items()
    )
