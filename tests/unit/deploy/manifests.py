"""What is applied to a cluster, in every form in which we ship it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from tests.unit.deploy.gotemplate import render

ROOT = Path(__file__).parents[3]
CHART = ROOT / "deploy/helm/samepage"
Objects = dict[tuple[str, str], Any]


def load(text: str) -> Objects:
    """(kind, name) -> object; twice the same is an error."""
    found: Objects = {}
    for one in yaml.safe_load_all(text):
        if one is None:
            continue
        key = one["kind"], one["metadata"]["name"]
        assert key not in found, key
        found[key] = one
    return found


def plain() -> Objects:
    return load((ROOT / "daemonset.yaml").read_text(encoding="utf-8"))


def kustomize_base() -> Objects:
    folder = ROOT / "deploy/kustomize/base"
    names = yaml.safe_load((folder / "kustomization.yaml").read_text())["resources"]
    return load("---\n".join((folder / name).read_text(encoding="utf-8") for name in names))


def gpu() -> Objects:
    return load((ROOT / "deploy/kustomize/overlays/gpu/daemonset-gpu.yaml").read_text())


def values() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART / "values.yaml").read_text(encoding="utf-8")))


def merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """As Helm lays values over defaults: deep for objects."""
    found = dict(base)
    for key, value in changes.items():
        old = found.get(key)
        both = isinstance(old, dict) and isinstance(value, dict)
        found[key] = merged(old, value) if both and isinstance(old, dict) else value
    return found


def chart(changes: dict[str, Any] | None = None) -> Objects:
    about = yaml.safe_load((CHART / "Chart.yaml").read_text())
    context = {
        "Values": merged(values(), changes or {}),
        "Release": {"Namespace": "samepage"},
        "Chart": {"AppVersion": about["appVersion"]},
    }
    texts = [
        render(path.read_text(encoding="utf-8"), context)
        for path in sorted((CHART / "templates").glob("*.yaml"))
    ]
    return load("\n---\n".join(texts))


def gpu_values() -> dict[str, Any]:
    return dict(yaml.safe_load((CHART / "values-gpu.yaml").read_text(encoding="utf-8")))


def forms() -> dict[str, Objects]:
    return {
        "daemonset.yaml": plain(),
        "gpu": gpu(),
        "chart": chart(),
        "chart-gpu": chart(gpu_values()),
    }


def is_for_gpus(one: Any) -> bool:
    """Whether a DaemonSet is for the nodes with GPUs, and theirs alone."""
    return "nvidia.com/gpu.present" in one["spec"]["template"]["spec"]["nodeSelector"]


def daemonsets() -> Iterator[Any]:
    for form, objects in forms().items():
        for (kind, name), one in objects.items():
            if kind == "DaemonSet":
                yield form, name, one
