"""Our values for Zero to JupyterHub, and what its hub makes of them."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any
from unittest.mock import patch

import yaml
from jupyterhub.objects import Hub, Server
from kubernetes_asyncio.client import ApiClient
from kubespawner import KubeSpawner
from traitlets.config import Config

ROOT = Path(__file__).parents[3]
FOLDER = ROOT / "deploy/z2jh"
COURSES = FOLDER / "courses"
FILES = sorted(FOLDER.glob("values*.yaml"))
VARIANTS = [path for path in FILES if path.name != "values.yaml"]

#: Keys of values.schema.yaml of Zero to JupyterHub 4.3 that we use, as its reference documents
#: them, with the types it takes; "any" below: the chart passes on what it finds there.
KEYS: dict[str, tuple[type, ...]] = {
    "cull.enabled": (bool,),
    "cull.every": (int,),
    "cull.timeout": (int,),
    "hub.config": (dict,),
    "hub.extraConfig": (dict,),
    "hub.extraFiles": (dict,),
    "hub.extraVolumeMounts": (list,),
    "hub.extraVolumes": (list,),
    "hub.image.name": (str,),
    "hub.image.tag": (str,),
    "singleuser.allowPrivilegeEscalation": (bool,),
    "singleuser.cloudMetadata.blockWithIptables": (bool,),
    "singleuser.cmd": (str, list),
    "singleuser.cpu.guarantee": (int, float),
    "singleuser.cpu.limit": (int, float),
    "singleuser.defaultUrl": (str,),
    "singleuser.extraEnv": (dict,),
    "singleuser.fsGid": (int,),
    "singleuser.image.name": (str,),
    "singleuser.image.tag": (str,),
    "singleuser.initContainers": (list,),
    "singleuser.lifecycleHooks.postStart": (dict,),
    "singleuser.memory.guarantee": (str, int, float),
    "singleuser.memory.limit": (str, int, float),
    "singleuser.networkPolicy.egress": (list,),
    "singleuser.storage.extraVolumeMounts": (dict, list),
    "singleuser.storage.extraVolumes": (dict, list),
    "singleuser.uid": (int,),
}

#: Where the chart's hub puts a value that is handed to KubeSpawner (its jupyterhub_config.py).
TRAITS = {
    "allow_privilege_escalation": "allowPrivilegeEscalation",
    "cmd": "cmd",
    "cpu_guarantee": "cpu.guarantee",
    "cpu_limit": "cpu.limit",
    "default_url": "defaultUrl",
    "environment": "extraEnv",
    "fs_gid": "fsGid",
    "init_containers": "initContainers",
    "lifecycle_hooks": "lifecycleHooks",
    "mem_guarantee": "memory.guarantee",
    "mem_limit": "memory.limit",
    "uid": "uid",
    "volume_mounts": "storage.extraVolumeMounts",
    "volumes": "storage.extraVolumes",
}
#: What the chart gives every student's pod.
USER_TAINTS = [
    {"key": key, "operator": "Equal", "value": "user", "effect": "NoSchedule"}
    for key in ("hub.jupyter.org/dedicated", "hub.jupyter.org_dedicated")
]


def load(*paths: Path) -> dict[str, Any]:
    """The files, laid over each other as Helm does it: null takes a key away."""
    found: dict[str, Any] = {}
    for path in paths:
        found = laid(found, yaml.safe_load(path.read_text(encoding="utf-8")))
    return found


def laid(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    found = dict(base)
    for key, value in over.items():
        if value is None:
            found.pop(key, None)
        elif isinstance(value, dict):
            old = found.get(key)
            found[key] = laid(old if isinstance(old, dict) else {}, value)
        else:
            found[key] = value
    return found


def at(values: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        if key not in values:
            return None
        values = values[key]
    return values


@contextmanager
def reader(values: Mapping[str, Any]) -> Iterator[ModuleType]:
    """`samepage_courses` as the hub imports it: from the text in the values."""
    file = values["hub"]["extraFiles"]["samepage_courses"]
    module = ModuleType("samepage_courses")
    # A dataclass looks its module up.
    sys.modules["samepage_courses"] = module
    try:
        exec(compile(file["stringData"], file["mountPath"], "exec"), module.__dict__)
        yield module
    finally:
        del sys.modules["samepage_courses"]


def configured(values: Mapping[str, Any], courses: Path) -> Config:
    """The hub's configuration after the chart's part and our extraConfig."""
    c = Config()
    own = values["singleuser"]
    for trait, path in TRAITS.items():
        value = at(own, path)
        if value is not None:
            c.KubeSpawner[trait] = value
    c.KubeSpawner.image = f"{own['image']['name']}:{own['image']['tag']}"
    c.KubeSpawner.tolerations = USER_TAINTS
    mounted = at(values, "hub.extraVolumeMounts")[0]["mountPath"]
    with reader(values):
        for _, text in sorted(values["hub"]["extraConfig"].items()):
            # The mount of the ConfigMap is a folder here.
            exec(compile(text.replace(mounted, str(courses)), "extraConfig", "exec"), {"c": c})
    return c


def spawner(config: Config, groups: tuple[str, ...] = ()) -> Any:
    """A real KubeSpawner for a user of these groups, without a cluster."""
    user = SimpleNamespace(
        id=7,
        name="alice",
        escaped_name="alice",
        admin=False,
        url="/user/alice/",
        server=Server(),
        groups=[SimpleNamespace(name=name) for name in groups],
    )
    orm = SimpleNamespace(name="", server=None, oauth_client_id="none", user=user)

    async def make() -> Any:
        made = KubeSpawner(
            config=config,
            hub=Hub(public_host="", connect_url="http://hub:8081"),
            user=user,
            orm_spawner=orm,
            api_token="secret",
        )
        # As the hub has it when a server starts.
        made._spawn_pending = True
        return made

    # It looks for a cluster's address when it is made, and uses it when it starts a pod.
    with (
        patch("kubespawner.spawner.load_config"),
        patch("kubespawner.spawner.shared_client"),
    ):
        return asyncio.run(make())


def plain(made: Any) -> dict[str, Any]:
    """An object of the client library as it would be sent."""
    # Without __init__, which opens a session.
    return dict(ApiClient.__new__(ApiClient).sanitize_for_serialization(made))
