"""The values for Zero to JupyterHub: only keys that it has, and pods as we want them."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml
from jsonschema import Draft7Validator

from labext.courses.manifest import reading
from tests.standins.gpu_node import GpuNode
from tests.unit.deploy import z2jh
from tests.unit.deploy.z2jh import COURSES, FILES, FOLDER, KEYS, VARIANTS
from tests.unit.hubext.support import fresh
from tests.unit.nodeagent.gpu_support import gpu

BASE = FOLDER / "values.yaml"
VERSIONS = ("1.32", "1.34", "1.37")
#: A checkout of github.com/jupyterhub/zero-to-jupyterhub-k8s, to test with the chart itself.
CHART = os.environ.get("SAMEPAGE_Z2JH", "")
needs_chart = pytest.mark.skipif(
    not CHART, reason="name a checkout of zero-to-jupyterhub-k8s in SAMEPAGE_Z2JH"
)


def combinations() -> Iterator[tuple[Path, ...]]:
    """None, each, each two and all variants over the base."""
    for count in (0, 1, 2, len(VARIANTS)):
        yield from itertools.combinations(VARIANTS, count)


def leaves(values: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    for key, value in values.items():
        here = f"{path}.{key}" if path else key
        if here in KEYS or not isinstance(value, dict):
            yield here, value
        else:
            yield from leaves(value, here)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_only_documented_keys_of_the_chart(path: Path) -> None:
    for key, value in leaves(yaml.safe_load(path.read_text(encoding="utf-8"))):
        assert key in KEYS, f"{path.name}: {key}"
        assert isinstance(value, KEYS[key]), f"{path.name}: {key} is {value!r}"


@needs_chart
@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_charts_own_schema(path: Path) -> None:
    chart = Path(CHART) / "jupyterhub"
    schema = yaml.safe_load((chart / "values.schema.yaml").read_text(encoding="utf-8"))
    usual = yaml.safe_load((chart / "values.yaml").read_text(encoding="utf-8"))
    values = z2jh.laid(usual, z2jh.load(*{BASE: None, path: None}))
    errors = [
        f"{'.'.join(map(str, error.path))}: {error.message}"
        for error in Draft7Validator(schema).iter_errors(values)
        # Null in the chart's values.yaml has been merged away here.
        if "is a required property" not in error.message
    ]
    assert errors == []


@needs_chart
@pytest.mark.skipif(shutil.which("helm") is None, reason="no helm here")
@pytest.mark.parametrize("path", VARIANTS, ids=lambda path: path.stem)
def test_the_chart_renders(path: Path) -> None:
    done = subprocess.run(
        ["helm", "template", "hub", f"{CHART}/jupyterhub", "-f", BASE, "-f", path],
        capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    for one in yaml.safe_load_all(done.stdout):
        if one is not None:
            kubernetes_validate.validate(one, VERSIONS[-1], strict=True)


def pod(
    paths: tuple[Path, ...], profile: str | None, groups: tuple[str, ...] = ()
) -> dict[str, Any]:
    spawner = z2jh.spawner(z2jh.configured(z2jh.load(BASE, *paths), COURSES), groups)
    spawner.user_options = {} if profile is None else {"profile": profile}

    async def make() -> Any:
        await spawner.load_user_options()
        return await spawner.get_pod_manifest()

    return z2jh.plain(asyncio.run(make()))


def environment(one: dict[str, Any]) -> dict[str, str]:
    (container,) = one["spec"]["containers"]
    return {each["name"]: each["value"] for each in container["env"] if "value" in each}


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("paths", [(), tuple(VARIANTS)], ids=["base", "all"])
def test_the_pod_is_valid(paths: tuple[Path, ...], version: str) -> None:
    made = pod(paths, "statistics")
    assert kubernetes_validate.validate(made, version, strict=True) == version


def test_a_course_is_image_repository_preload_memory() -> None:
    made = pod((), "statistics")
    (container,) = made["spec"]["containers"]
    assert container["image"] == "localhost/samepage-singleuser:0.1.0"
    assert container["args"][0] == "samepage-singleuser"
    assert container["resources"]["limits"]["memory"] == 2 * 2**30
    assert container["resources"]["requests"]["memory"] == 384 * 2**20
    env = environment(made)
    assert env["SAMEPAGE_PRELOAD"].split()[:2] == ["numpy", "numpy.random"]
    assert env["SAMEPAGE_AGENT_URL"] == "unix:///run/samepage/node.sock"
    (course,) = json.loads(env["SAMEPAGE_COURSES_YAML"])["courses"]
    assert course["id"] == "statistics"
    assert course["url"] == "https://git.example.org/statistics.git"


def test_the_manifest_of_every_course_is_one_the_server_accepts() -> None:
    for slug in ("statistics", "maps", "deep-learning"):
        env = environment(pod((), slug, ("deep-learning",)))
        assert reading.read(env["SAMEPAGE_COURSES_YAML"].encode(), slug)


def test_the_agents_socket_is_all_that_is_mounted_from_the_node() -> None:
    made = pod((), "statistics")
    hosts = [volume["hostPath"] for volume in made["spec"]["volumes"] if "hostPath" in volume]
    assert hosts == [{"path": "/run/samepage/node", "type": "DirectoryOrCreate"}]
    (container,) = made["spec"]["containers"]
    mounts = {each["mountPath"]: each for each in container["volumeMounts"]}
    assert mounts["/run/samepage"]["readOnly"] is True


def level_restricted(one: dict[str, Any]) -> list[str]:
    """What PodSecurity's level "restricted" would refuse (kubernetes.io/docs, pod security)."""
    spec = one["spec"]
    kinds = {"configMap", "csi", "downwardAPI", "emptyDir", "ephemeral", "projected"}
    kinds |= {"persistentVolumeClaim", "secret"}
    wrong = [
        f"volume {volume['name']}"
        for volume in spec.get("volumes", [])
        if not set(volume) - {"name"} <= kinds
    ]
    wrong += [name for name in ("hostPID", "hostIPC", "hostNetwork") if spec.get(name)]
    for container in [*spec["containers"], *(spec.get("initContainers") or [])]:
        name = container["name"]
        rights = (spec.get("securityContext") or {}) | (container.get("securityContext") or {})
        if rights.get("allowPrivilegeEscalation") is not False:
            wrong.append(f"{name}: escalation")
        if (rights.get("capabilities") or {}).get("drop") != ["ALL"]:
            wrong.append(f"{name}: capabilities")
        if rights.get("runAsNonRoot") is not True or rights.get("runAsUser") == 0:
            wrong.append(f"{name}: root")
        if (rights.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            wrong.append(f"{name}: seccomp")
    return wrong


@pytest.mark.parametrize("others", [*combinations()], ids=lambda paths: "+".join(
    path.stem.removeprefix("values-") for path in paths
) or "none")  # fmt: skip
def test_every_mixture_of_variants_starts(others: tuple[Path, ...]) -> None:
    made = pod(others, "statistics")
    kubernetes_validate.validate(made, VERSIONS[0], strict=True)
    names = {path.stem for path in others}
    (container,) = made["spec"]["containers"]
    bundle = "values-norebuild" in names
    command = "/opt/samepage/bin/samepage-singleuser" if bundle else "samepage-singleuser"
    assert container["args"][0] == command
    assert bool(made["spec"].get("initContainers")) is bundle
    profile = container["securityContext"]["seccompProfile"]["type"]
    assert profile == ("Localhost" if "values-aligned" in names else "RuntimeDefault")
    refused = level_restricted(made)
    if "values-restricted" in names and "values-course-cache" not in names:
        assert refused == []
    else:
        assert all(each.startswith("volume samepage") for each in refused)


def test_restricted_asks_the_agents_service() -> None:
    made = pod((FOLDER / "values-restricted.yaml",), "statistics")
    assert environment(made)["SAMEPAGE_AGENT_URL"] == "http://samepage-agent.samepage.svc:9747"
    values = z2jh.load(BASE, FOLDER / "values-restricted.yaml")
    (rule,) = values["singleuser"]["networkPolicy"]["egress"]
    agent = yaml.safe_load((z2jh.ROOT / "deploy/kustomize/base/service.yaml").read_text())
    assert rule["ports"] == [{"port": agent["spec"]["ports"][0]["port"], "protocol": "TCP"}]
    # The privileged init container of the chart.
    assert values["singleuser"]["cloudMetadata"] == {"blockWithIptables": False}


def test_the_hub_gives_out_gpus_to_courses_that_ask_for_one(tmp_path: Path) -> None:
    """The hub's hooks around our courses, with a real agent's answers from a stand-in."""
    values = z2jh.load(BASE, FOLDER / "values-gpu-hub.yaml")
    asked = yaml.safe_load(
        (z2jh.ROOT / "deploy/kustomize/components/gpu-ask/service.yaml").read_text()
    )
    (port,) = asked["spec"]["ports"]
    own = asked["metadata"]
    agents = f"http://{own['name']}.{own['namespace']}.svc:{port['port']}"
    (mounted,) = [
        each["mountPath"]
        for each in values["hub"]["extraVolumeMounts"]
        if each["name"] == "samepage-token"
    ]
    (tmp_path / "token").write_text("t0ken")
    hooks = values["hub"]["extraConfig"]
    text = hooks["40-samepage-gpus"]
    assert agents in text
    assert f"{mounted}/token" in text
    assert "samepage-courses" in {each["name"] for each in values["hub"]["extraVolumes"]}

    async def scenario() -> None:
        async with GpuNode(fresh(gpu("GPU-a"), name="gpu-1"), token="t0ken") as node:
            hooks["40-samepage-gpus"] = text.replace(agents, node.url).replace(
                f"{mounted}/token", str(tmp_path / "token")
            )
            config = await asyncio.to_thread(z2jh.configured, values, COURSES)
            for course, affinity in (("deep-learning", True), ("statistics", False)):
                spawner = await asyncio.to_thread(z2jh.spawner, config, ("deep-learning",))
                spawner.user_options = {"profile": course}
                await spawner.load_user_options()
                made = await spawner.get_pod_manifest()
                made = z2jh.plain(await spawner.modify_pod_hook(spawner, made))
                kubernetes_validate.validate(made, VERSIONS[0], strict=True)
                assert ("gpu-1" in json.dumps(made["spec"].get("affinity"))) is affinity
                limits = made["spec"]["containers"][0]["resources"]["limits"]
                assert ("nvidia.com/gpu" in limits) is affinity
            assert [entry.user for entry in node.ledger.entries] == ["alice"]

    asyncio.run(scenario())


def test_who_is_stopped_after_300_seconds_has_told_of_its_activity() -> None:
    """JupyterHub counts a server as idle for as long as nobody told it otherwise."""
    for paths, timeout in (((), 3600), ((FOLDER / "values-cull-300s.yaml",), 300)):
        values = z2jh.load(BASE, *paths)
        assert values["cull"]["enabled"] is True
        assert values["cull"]["timeout"] == timeout
        hub = z2jh.at(values, "hub.config.JupyterHub.last_activity_interval") or 300
        server = int(values["singleuser"]["extraEnv"].get("JUPYTERHUB_ACTIVITY_INTERVAL", 300))
        # Two reports may be late or lost.
        assert 3 * max(hub, server) <= timeout
        assert 4 * values["cull"]["every"] <= 4 * timeout / 3


def test_the_commands_of_hooks_and_bundles_exist() -> None:
    hook = z2jh.load(FOLDER / "values-hooks.yaml")["singleuser"]["lifecycleHooks"]
    command = hook["postStart"]["exec"]["command"][-1]
    done = subprocess.run(
        [Path(sys.executable).parent / "samepage-course", "pull", "--help"],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    for option in re.findall(r"--\w+", command):
        assert option in done.stdout
    # A hook that fails would stop the student's pod.
    assert command.endswith("|| true")
