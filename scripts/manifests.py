"""Writes what is applied to clusters from deploy/kustomize/base: `manifests.py [--check]`.

The base is written by hand, with the reasons beside each line. From it come

    daemonset.yaml                            all of it in one file, for kubectl apply -f
    deploy/kustomize/overlays/gpu/            a second DaemonSet for nodes with NVIDIA GPUs
    deploy/helm/samepage/templates/*.yaml     the same objects with values in place of some lines
    deploy/helm/samepage/values.schema.json   which values there are; unknown ones are refused

Each replacement must meet exactly as many lines as it says, so that a changed base cannot leave a
template behind unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
BASE = ROOT / "deploy/kustomize/base"
GPU = ROOT / "deploy/kustomize/overlays/gpu"
CHART = ROOT / "deploy/helm/samepage"
PARTS = (
    "namespace",
    "priorityclass",
    "serviceaccount",
    "configmap",
    "daemonset",
    "service",
    "networkpolicy",
)
CHECKSUM = re.compile(r'(samepage/config-checksum: )"[^"]*"')

HEADER = """\
# Samepage's node agent: kubectl apply -f daemonset.yaml
# Written by `make manifests` from deploy/kustomize/base; docs/operators/kubernetes.md goes with it.
# Put your registry's name in place of localhost/ in both images first.
"""
CHART_HEADER = "{{- /* Written by `make manifests` from deploy/kustomize/base. */}}\n"


class ManifestError(Exception):
    """The base has changed under a replacement."""


@dataclass(frozen=True, kw_only=True)
class Swap:
    """`old` (whole lines, or part of one) becomes `new`, `times` times."""

    old: str
    new: str
    times: int = 1


def swapped(text: str, swaps: Iterable[Swap], name: str) -> str:
    """`text` after all swaps. ManifestError: one met another number of places."""
    for swap in swaps:
        found = text.count(swap.old)
        if found != swap.times:
            raise ManifestError(f"{name}: {swap.old!r} stands {found} times, not {swap.times}")
        text = text.replace(swap.old, swap.new)
    return text


def block(text: str, first: str) -> str:
    """The line `first` and the deeper or list lines after it, comments included."""
    lines = text.splitlines(keepends=True)
    start = lines.index(first + "\n")
    depth = len(first) - len(first.lstrip())
    end = start + 1
    while end < len(lines):
        line = lines[end]
        indent = len(line) - len(line.lstrip())
        if indent < depth or (indent == depth and not line.lstrip().startswith("- ")):
            break
        end += 1
    return "".join(lines[start:end])


def checksum(configmap: str) -> str:
    """Of the settings: a change of them starts the agents anew."""
    data = yaml.safe_load(configmap)["data"]
    return hashlib.sha256(json.dumps(data, sort_keys=True).encode()).hexdigest()[:16]


def base() -> dict[str, str]:
    """The texts of the base, with the checksum of its settings."""
    texts = {part: (BASE / f"{part}.yaml").read_text(encoding="utf-8") for part in PARTS}
    mark = checksum(texts["configmap"])
    text, count = CHECKSUM.subn(rf'\g<1>"{mark}"', texts["daemonset"])
    if count != 1:
        raise ManifestError("daemonset: no place for the checksum")
    return texts | {"daemonset": text}


def toggled(text: str, condition: str) -> str:
    """`text` only if the value is true."""
    return f"{{{{- if {condition} }}}}\n{text}{{{{- end }}}}\n"


def given(path: str, key: str, indent: int) -> str:
    """`key:` with the value's YAML below it, left out when the value is empty."""
    pad = " " * indent
    return (
        f"{pad}{{{{- with .Values.{path} }}}}\n{pad}{key}:\n"
        f"{pad}  {{{{- toYaml . | nindent {indent + 2} }}}}\n{pad}{{{{- end }}}}\n"
    )


def templates(texts: dict[str, str]) -> dict[str, str]:
    """The chart's templates; the namespace is the release's, which the operator makes."""
    spaced = Swap(old="namespace: samepage\n", new="namespace: {{ .Release.Namespace }}\n")
    daemonset = texts["daemonset"]
    tuner_end = daemonset.index("        - name: reader\n")
    resources = [
        block(part, "          resources:")
        for part in (daemonset[:tuner_end], daemonset[tuner_end:])
    ]
    halves = [
        swapped(
            half,
            [Swap(old=limits, new=given(f"{name}.resources", "resources", 10))],
            f"daemonset ({name})",
        )
        for half, limits, name in (
            (daemonset[:tuner_end], resources[0], "tuner"),
            (daemonset[tuner_end:], resources[1], "reader"),
        )
    ]
    image = (
        'image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion '
        ".Values.image.tag) | quote }}"
    )
    pod = "".join(halves)
    pod = swapped(
        pod,
        [
            spaced,
            Swap(old="image: localhost/samepage-nodeagent:0.1.0", new=image, times=2),
            Swap(
                old="imagePullPolicy: IfNotPresent",
                new="imagePullPolicy: {{ .Values.image.pullPolicy }}",
                times=2,
            ),
            Swap(old="maxUnavailable: 10%", new="maxUnavailable: {{ .Values.maxUnavailable }}"),
            Swap(
                old=block(pod, "      nodeSelector:"), new=given("nodeSelector", "nodeSelector", 6)
            ),
            Swap(
                old=block(pod, "      tolerations:"),
                new=given("tolerations", "tolerations", 6)
                + given("affinity", "affinity", 6)
                + given("imagePullSecrets", "imagePullSecrets", 6)
                + "      {{- with .Values.runtimeClassName }}\n"
                "      runtimeClassName: {{ . }}\n      {{- end }}\n",
            ),
            Swap(
                old="        seccompProfile:\n          type: RuntimeDefault\n",
                new="        seccompProfile:\n          type: RuntimeDefault\n"
                + "        {{- with .Values.seLinuxType }}\n        seLinuxOptions:\n"
                "          type: {{ . }}\n        {{- end }}\n",
            ),
            Swap(old='value: "1000"', new="value: {{ .Values.reader.uid | quote }}"),
            Swap(old="runAsUser: 1000", new="runAsUser: {{ .Values.reader.uid }}"),
            Swap(old="runAsGroup: 1000", new="runAsGroup: {{ .Values.reader.gid }}"),
            Swap(
                old="            # The reader's user, whose answers are believed.\n",
                new="            {{- range $name, $value := .Values.tuner.env }}\n"
                "            - name: {{ $name }}\n"
                "              value: {{ $value | quote }}\n"
                "            {{- end }}\n"
                "            # The reader's user, whose answers are believed.\n",
            ),
        ],
        "daemonset",
    )
    pod = CHECKSUM.sub(r"\g<1>{{ toJson .Values.config | sha256sum | trunc 16 | quote }}", pod)
    configmap = texts["configmap"]
    settings = block(configmap, "data:")
    policy = texts["networkpolicy"]
    made = {
        "priorityclass": swapped(
            texts["priorityclass"],
            [
                Swap(
                    old="  name: samepage-agent\n",
                    new="  name: {{ .Values.priorityClass.name }}\n",
                ),
                Swap(old="value: 1000", new="value: {{ .Values.priorityClass.value | int }}"),
            ],
            "priorityclass",
        ),
        "serviceaccount": swapped(texts["serviceaccount"], [spaced], "serviceaccount"),
        "service": swapped(texts["service"], [spaced], "service"),
        "configmap": swapped(
            configmap,
            [
                spaced,
                Swap(
                    old=settings,
                    new="data:\n  {{- range $name, $value := .Values.config }}\n"
                    "  {{ $name }}: {{ $value | quote }}\n  {{- end }}\n",
                ),
            ],
            "configmap",
        ),
        "daemonset": swapped(
            pod,
            [
                Swap(
                    old="priorityClassName: samepage-agent",
                    new="priorityClassName: {{ .Values.priorityClass.name }}",
                )
            ],
            "daemonset",
        ),
        "networkpolicy": swapped(
            policy,
            [
                spaced,
                Swap(
                    old=block(policy, "    - from:").partition("      ports:")[0],
                    new="    - from:\n"
                    "        {{- toYaml .Values.networkPolicy.from | nindent 8 }}\n",
                ),
            ],
            "networkpolicy",
        ),
    }
    made["priorityclass"] = toggled(made["priorityclass"], ".Values.priorityClass.create")
    made["networkpolicy"] = toggled(made["networkpolicy"], ".Values.networkPolicy.enabled")
    return {name: CHART_HEADER + text for name, text in made.items()}


def gpu_daemonset(daemonset: str) -> str:
    """The DaemonSet for nodes with GPUs: another name, the NVIDIA runtime, those nodes only."""
    return swapped(
        daemonset,
        [
            Swap(
                old="kind: DaemonSet\nmetadata:\n  name: samepage-agent\n",
                new="kind: DaemonSet\nmetadata:\n  name: samepage-agent-gpu\n",
            ),
            Swap(old="component: node-agent", new="component: node-agent-gpu", times=3),
            Swap(
                old="        kubernetes.io/os: linux\n",
                new='        kubernetes.io/os: linux\n        nvidia.com/gpu.present: "true"\n'
                "      runtimeClassName: nvidia\n",
            ),
            Swap(
                old="            # The reader's user, whose answers are believed.\n",
                new="            # All GPUs of the node, to read them (utility), not to compute.\n"
                "            - name: NVIDIA_VISIBLE_DEVICES\n              value: all\n"
                "            - name: NVIDIA_DRIVER_CAPABILITIES\n              value: utility\n"
                "            # The reader's user, whose answers are believed.\n",
            ),
        ],
        "daemonset (gpu)",
    )


def schema() -> dict[str, Any]:
    """values.schema.json; `config` knows the settings of AgentConfig that a cluster may set."""
    from nodeagent.config import AgentConfig

    places = {"sys_root", "proc_root", "state_dir", "lock_file", "node_socket", "facts_socket"}
    settings = sorted(
        f"NODEAGENT_{field.name.upper()}"
        for field in fields(AgentConfig)
        if field.name not in places | {"facts_uids", "exit_with_parent"}
    )
    text = {"type": "string", "minLength": 1}

    def exact(properties: dict[str, Any], **more: Any) -> dict[str, Any]:
        return {
            "type": "object",
            "additionalProperties": False,
            "properties": properties,
        } | more

    container = {"resources": {"type": "object"}}
    return {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Values of the chart samepage",
    } | exact(
        {
            "image": exact(
                {
                    "repository": text,
                    "tag": {"type": "string"},
                    "pullPolicy": {"enum": ["IfNotPresent", "Always", "Never"]},
                },
                required=["repository"],
            ),
            "imagePullSecrets": {"type": "array", "items": exact({"name": text})},
            "config": exact({name: {"type": "string"} for name in settings}),
            "tuner": exact(
                container | {"env": {"type": "object", "additionalProperties": {"type": "string"}}}
            ),
            "reader": exact(
                container
                | {
                    "uid": {"type": "integer", "minimum": 1},
                    "gid": {"type": "integer", "minimum": 0},
                }
            ),
            "maxUnavailable": {
                "oneOf": [
                    {"type": "integer", "minimum": 1},
                    {"type": "string", "pattern": "^[1-9][0-9]?%$|^100%$"},
                ]
            },
            "nodeSelector": {"type": "object", "additionalProperties": {"type": "string"}},
            "tolerations": {"type": "array", "items": {"type": "object"}},
            "affinity": {"type": "object"},
            "runtimeClassName": {"type": "string"},
            "seLinuxType": {"type": "string"},
            "priorityClass": exact(
                {
                    "create": {"type": "boolean"},
                    "name": text,
                    "value": {"type": "integer", "maximum": 1_000_000_000},
                }
            ),
            "networkPolicy": exact(
                {
                    "enabled": {"type": "boolean"},
                    "from": {"type": "array", "minItems": 1, "items": {"type": "object"}},
                }
            ),
            # Helm puts these two into every chart's values when it is a part of another.
            "global": {"type": "object"},
            "enabled": {"type": "boolean"},
        }
    )


def rendered() -> dict[Path, str]:
    """Every written file and its text."""
    texts = base()
    files = {
        ROOT / "daemonset.yaml": HEADER + "---\n" + "---\n".join(texts[part] for part in PARTS),
        BASE / "daemonset.yaml": texts["daemonset"],
        GPU / "daemonset-gpu.yaml": "# Written by `make manifests` from ../../base.\n"
        + gpu_daemonset(texts["daemonset"]),
        CHART / "values.schema.json": json.dumps(schema(), indent=2) + "\n",
    }
    for name, text in templates(texts).items():
        files[CHART / "templates" / f"{name}.yaml"] = text
    return files


def main(arguments: list[str]) -> int:
    """Exit status: 1 when --check finds a file out of date."""
    old = [
        path
        for path, text in rendered().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    ]
    if "--check" in arguments:
        for path in old:
            print(f"{path.relative_to(ROOT)} is out of date. Type: make manifests", file=sys.stderr)
        return 1 if old else 0
    for path in old:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(rendered()[path], encoding="utf-8")
        print(path.relative_to(ROOT))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
