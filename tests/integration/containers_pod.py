"""A pod of daemonset.yaml as podman containers: the same users, privileges, mounts and settings.

Only what belongs to a cluster differs: the network is this machine's, the port is a free one on
loopback, the state folder is the test's (the test itself holds the machine's KSM lock), and
readings come every two seconds.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.integration.containers_engine import ROOT, logs, podman

FACTS_VOLUME = "samepage-test-facts"


def manifest(kind: str) -> dict[str, Any]:
    """The one object of this kind in daemonset.yaml."""
    objects = yaml.safe_load_all((ROOT / "daemonset.yaml").read_text())
    (found,) = [each for each in objects if each["kind"] == kind]
    return dict(found)


def options(container: Mapping[str, Any], *, state: Path, settings: Mapping[str, str]) -> list[str]:
    """podman's options for one container of the manifest."""
    context = container["securityContext"]
    assert context["privileged"] is False
    assert context["allowPrivilegeEscalation"] is False
    assert context["readOnlyRootFilesystem"] is True
    assert "add" not in context["capabilities"]
    words = [
        f"--user={context['runAsUser']}:{context['runAsGroup']}",
        "--read-only",
        "--read-only-tmpfs=false",
        "--security-opt=no-new-privileges",
        *[f"--cap-drop={name}" for name in context["capabilities"]["drop"]],
        f"--memory={container['resources']['limits']['memory'].removesuffix('i').lower()}",
    ]
    pod = manifest("DaemonSet")["spec"]["template"]["spec"]
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    for mount in container["volumeMounts"]:
        volume = volumes[mount["name"]]
        source = volume["hostPath"]["path"] if "hostPath" in volume else FACTS_VOLUME
        if mount["name"] == "state":
            source = str(state)
        mode = ":ro" if mount.get("readOnly") else ""
        words.append(f"--volume={source}:{mount['mountPath']}{mode}")
    environment: dict[str, str] = {}
    for each in container["envFrom"]:
        assert each["configMapRef"]["name"] == "samepage-agent"
        environment |= manifest("ConfigMap")["data"]
    environment |= {each["name"]: each["value"] for each in container.get("env", [])}
    words += [f"--env={name}={value}" for name, value in (environment | dict(settings)).items()]
    return words


@contextlib.contextmanager
def running(image: str, *, state: Path, port: int, log: Path) -> Iterator[dict[str, str]]:
    """Tuner and reader run; yields their container names."""
    podman(
        "volume", "create", "--opt=type=tmpfs", "--opt=device=tmpfs",
        "--opt=o=mode=1777", FACTS_VOLUME,
    )  # fmt: skip
    names: dict[str, str] = {}
    settings = {"NODEAGENT_LISTEN": f"127.0.0.1:{port}", "NODEAGENT_INTERVAL": "2"}
    pod = manifest("DaemonSet")["spec"]["template"]["spec"]
    assert not {"hostPID", "hostNetwork", "hostIPC", "initContainers"} & set(pod)
    try:
        for container in pod["containers"]:
            name = f"samepage-test-{container['name']}"
            given = options(container, state=state, settings=settings)
            podman("run", "-d", "--name", name, "--network=host", *given, image, *container["args"])
            names[container["name"]] = name
        yield names
    finally:
        texts = [f"== {name}\n{logs(name)}" for name in names.values()]
        log.write_text("\n".join(texts))
        for name in names.values():
            podman("rm", "-f", "-t", "20", name, check=False)
        podman("volume", "rm", "-f", FACTS_VOLUME, check=False)
