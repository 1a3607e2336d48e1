"""The Localhost profile for aligned kernels: nothing more is allowed than one layout."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from scripts.seccomp_profile import ProfileError, flattened
from tests.unit.deploy import manifests

COMPONENT = manifests.ROOT / "deploy/kustomize/components/seccomp"
ENGINE = Path("/usr/share/containers/seccomp.json")


def rule(names: list[str], **more: Any) -> dict[str, Any]:
    empty = {"args": [], "comment": "", "includes": {}, "excludes": {}}
    return {"names": names, "action": "SCMP_ACT_ALLOW"} | empty | more


def value(number: int) -> list[dict[str, Any]]:
    return [{"index": 0, "value": number, "valueTwo": 0, "op": "SCMP_CMP_EQ"}]


DEFAULT: dict[str, Any] = {
    "defaultAction": "SCMP_ACT_ERRNO",
    "defaultErrnoRet": 1,
    "archMap": [
        {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": ["SCMP_ARCH_X86"]},
        {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": ["SCMP_ARCH_ARM"]},
    ],
    "syscalls": [
        rule(["read", "prctl"]),
        rule(["personality"], args=value(0)),
        rule(["ptrace"], includes={"minKernel": "4.8"}),
        rule(["mount", "bpf"], includes={"caps": ["CAP_SYS_ADMIN"]}),
        rule(["clone"], excludes={"caps": ["CAP_SYS_ADMIN"]}, args=value(7)),
        rule(["arch_prctl"], includes={"arches": ["amd64", "x32"]}),
        rule(["breakpoint"], includes={"arches": ["arm", "arm64"]}),
    ],
}


def allowed(profile: dict[str, Any]) -> set[str]:
    return {name for each in profile["syscalls"] for name in each["names"]}


def test_conditions_are_settled() -> None:
    made = flattened(DEFAULT, "amd64")
    assert allowed(made) == {"read", "prctl", "personality", "ptrace", "clone", "arch_prctl"}
    assert made["architectures"] == ["SCMP_ARCH_X86_64", "SCMP_ARCH_X86"]
    assert made["defaultAction"] == "SCMP_ACT_ERRNO"
    assert "breakpoint" in allowed(flattened(DEFAULT, "arm64"))
    # Words that runtimes pass over may not be left.
    keys = {key for each in made["syscalls"] for key in each}
    assert keys <= {"names", "action", "args", "errnoRet"}
    clone = next(each for each in made["syscalls"] if each["names"] == ["clone"])
    assert clone["args"] == value(7)


def test_one_value_is_added() -> None:
    rules = [
        each for each in flattened(DEFAULT, "amd64")["syscalls"] if "personality" in each["names"]
    ]
    assert [each["args"][0]["value"] for each in rules] == [0, 0x40000]


@pytest.mark.parametrize(
    "change",
    [
        {"defaultAction": "SCMP_ACT_ALLOW"},
        {"syscalls": [rule(["read"])]},
        {"syscalls": [*DEFAULT["syscalls"], rule(["x"], includes={"moon": ["full"]})]},
    ],
)
def test_what_is_not_understood_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(ProfileError):
        flattened(DEFAULT | change, "amd64")


def test_a_wrong_file_is_a_sentence(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.json"
    wrong.write_text("{}")
    done = subprocess.run(
        [sys.executable, manifests.ROOT / "scripts/seccomp_profile.py", wrong],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "no default profile" in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


@pytest.mark.skipif(not ENGINE.exists(), reason="no container engine's default profile here")
def test_a_real_engines_profile() -> None:
    made = flattened(json.loads(ENGINE.read_text()), "amd64")
    assert {"read", "prctl", "madvise", "personality", "arch_prctl"} <= allowed(made)
    privileged = {"mount", "bpf", "open_by_handle_at", "process_madvise", "setns", "init_module"}
    # Some engines' defaults answer these with an error of their own: a rule, but no permission.
    free = {n for r in made["syscalls"] if r["action"] == "SCMP_ACT_ALLOW" for n in r["names"]}
    assert free & privileged <= {"mount", "setns"}


def test_the_installer_has_no_rights_to_spare() -> None:
    one = yaml.safe_load((COMPONENT / "installer.yaml").read_text(encoding="utf-8"))
    for version in ("1.32", "1.34", "1.37"):
        kubernetes_validate.validate(one, version, strict=True)
    pod = one["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["securityContext"]["capabilities"] == {"drop": ["ALL"]}
    assert container["securityContext"]["allowPrivilegeEscalation"] is False
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["automountServiceAccountToken"] is False
    assert [volume["hostPath"]["path"] for volume in pod["volumes"] if "hostPath" in volume] == [
        "/var/lib/kubelet/seccomp/samepage"
    ]


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="no kubectl here")
def test_kubectl_builds_the_overlay(tmp_path: Path) -> None:
    copied = tmp_path / "kustomize"
    shutil.copytree(manifests.ROOT / "deploy/kustomize", copied)
    (copied / "components/seccomp/aligned.json").write_text(json.dumps(flattened(DEFAULT, "amd64")))
    done = subprocess.run(
        ["kubectl", "kustomize", str(copied / "overlays/seccomp")],
        capture_output=True, text=True, timeout=60, check=False, env=dict(os.environ),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    objects = manifests.load(done.stdout)
    named = [name for kind, name in objects if kind == "ConfigMap"]
    made = next(name for name in named if name.startswith("samepage-seccomp-"))
    pod = objects["DaemonSet", "samepage-seccomp"]["spec"]["template"]["spec"]
    assert pod["volumes"][0]["configMap"]["name"] == made
    # The whole agent as without the profile, and nothing else.
    mine = {("DaemonSet", "samepage-seccomp"), ("ConfigMap", made)}
    assert {key: one for key, one in objects.items() if key not in mine} == manifests.plain()
    for one in objects.values():
        kubernetes_validate.validate(one, "1.36", strict=True)
