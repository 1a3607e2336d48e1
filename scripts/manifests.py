"""Writes what is applied to clusters from deploy/kustomize/base: `manifests.py [--check]`.

The base is written by hand, with the reasons beside each line. From it come

    daemonset.yaml                            all of it in one file, for kubectl apply -f
    deploy/kustomize/overlays/gpu/            a second DaemonSet for nodes with NVIDIA GPUs
    deploy/helm/samepage/templates/*.yaml     the same objects with values in place of some lines
    deploy/helm/samepage/values.schema.json   which values there are; unknown ones are refused
    deploy/z2jh/values.yaml                   the hub's reader of course files, put into its place

Each replacement must meet exactly as many lines as it says, so that a changed base cannot leave a
template behind unnoticed.
"""

from __future__ import annotations

import hashlib
import json
import re
import sys
import textwrap
from collections.abc import Iterable
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[1]
BASE = ROOT / "deploy/kustomize/base"
GPU = ROOT / "deploy/kustomize/overlays/gpu"
COMPONENTS = ROOT / "deploy/kustomize/components"
CHART = ROOT / "deploy/helm/samepage"
Z2JH = ROOT / "deploy/z2jh/values.yaml"
COURSES = ROOT / "deploy/hub/samepage_courses.py"
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
IMAGE = (
    'image: {{ printf "%s:%s" .Values.image.repository (default .Chart.AppVersion '
    ".Values.image.tag) | quote }}"
)
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
    spaced = SPACED
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
    pod = "".join(halves)
    pod = swapped(
        pod,
        [
            spaced,
            Swap(old="image: localhost/samepage-nodeagent:0.1.0", new=IMAGE, times=2),
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
    pod = with_gpus(with_donors(pod))
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
    made |= course_cache() | seccomp() | gpu_publish() | gpu_names() | gpu_ask()
    return {name: CHART_HEADER + text for name, text in made.items()}


SPACED = Swap(old="namespace: samepage\n", new="namespace: {{ .Release.Namespace }}\n")
STUDENTS = Swap(
    old="image: localhost/samepage-singleuser:0.1.0",
    new="image: {{ .Values.students.image | quote }}",
)
PULL = Swap(
    old="imagePullPolicy: IfNotPresent", new="imagePullPolicy: {{ .Values.image.pullPolicy }}"
)


def placed(text: str, name: str) -> str:
    """Where a DaemonSet beside the agent's runs, and with which secret its image is pulled."""
    selector = block(text, "      nodeSelector:")
    own = "        kubernetes.io/arch: amd64\n"
    chosen_arch = "        kubernetes.io/arch: {{ .Values.seccomp.arch }}\n"
    chosen = given("nodeSelector", "nodeSelector", 6)
    if own in selector:
        chosen = (
            "      nodeSelector:\n"
            + chosen_arch
            + (
                "        {{- with .Values.nodeSelector }}\n"
                "        {{- toYaml . | nindent 8 }}\n        {{- end }}\n"
            )
        )
    return swapped(
        text,
        [
            SPACED,
            Swap(old=selector, new=chosen),
            Swap(
                old=block(text, "      tolerations:"),
                new=given("tolerations", "tolerations", 6)
                + given("imagePullSecrets", "imagePullSecrets", 6),
            ),
            PULL,
        ],
        name,
    )


def with_donors(daemonset: str) -> str:
    """The agent's DaemonSet with the donors' container and folders, if they are asked for."""
    patch = (COMPONENTS / "donors/donors.yaml").read_text(encoding="utf-8")
    _, _, rest = patch.partition("      containers:\n")
    container, _, volumes = rest.partition("      volumes:\n")
    container = swapped(
        container,
        [
            STUDENTS,
            PULL,
            Swap(old="runAsUser: 1000", new="runAsUser: {{ .Values.reader.uid }}"),
            Swap(old="runAsGroup: 1000", new="runAsGroup: {{ .Values.reader.gid }}"),
            Swap(
                old=block(container, "          resources:"),
                new=given("donors.resources", "resources", 10),
            ),
            Swap(
                old="              value: /home/jovyan\n",
                new="              value: /home/jovyan\n"
                "            {{- range $name, $value := .Values.donors.env }}\n"
                "            - name: {{ $name }}\n"
                "              value: {{ $value | quote }}\n"
                "            {{- end }}\n",
            ),
            Swap(
                old="localhostProfile: samepage/aligned.json",
                new="localhostProfile: {{ .Values.donors.localhostProfile }}",
            ),
        ],
        "donors",
    )
    condition = "      {{- if .Values.donors.enabled }}\n"
    return swapped(
        daemonset + condition + volumes + "      {{- end }}\n",
        [
            Swap(
                old="      volumes:\n        - name: ksm\n",
                new=f"{condition}{container}      {{{{- end }}}}\n"
                "      volumes:\n        - name: ksm\n",
            )
        ],
        "daemonset (donors)",
    )


def patch_of(component: str) -> tuple[dict[str, Any], list[Any]]:
    """The tuner and the volumes that a component adds."""
    text = (COMPONENTS / component / "kustomization.yaml").read_text(encoding="utf-8")
    (patch,) = yaml.safe_load(text)["patches"]
    spec = yaml.safe_load(patch["patch"])["spec"]["template"]["spec"]
    (tuner,) = spec["containers"]
    return tuner, spec["volumes"]


def if_so(condition: str, text: str) -> str:
    """`text`, indented as it is, only if the condition holds."""
    pad = " " * (len(text) - len(text.lstrip(" ")))
    return f"{pad}{{{{- if {condition} }}}}\n{text}{pad}{{{{- end }}}}\n"


def listed(items: list[Any], indent: int) -> str:
    """Items of a YAML list."""
    return textwrap.indent(yaml.safe_dump(items, sort_keys=False), " " * indent)


HERE_ENV = "            # The reader's user, whose answers are believed.\n"
HERE_MOUNT = "            - name: state\n              mountPath"
HERE_VOLUME = "        - name: proc\n          hostPath"
HERE_POD = "      securityContext:\n        seccompProfile:\n"

GPU_POD = """\
      # The driver lists the host's pids, and who asks on the node's socket is told by theirs.
      # In a pid namespace of its own the agent knows of no GPU process whose it is.
      hostPID: true
"""
NODE_NAME = """\
            - name: NODEAGENT_NODE_NAME
              valueFrom:
                fieldRef:
                  fieldPath: spec.nodeName
"""
GPU_ENV = """\
            # All GPUs of the node, to read them (utility), not to compute.
            - name: NVIDIA_VISIBLE_DEVICES
              value: all
            - name: NVIDIA_DRIVER_CAPABILITIES
              value: utility
            - name: NODEAGENT_GPU_DATA
              value: /var/lib/samepage/gpu
"""
GPU_MOUNTS = """\
            - name: pod-resources
              mountPath: /var/lib/kubelet/pod-resources
              readOnly: true
            - name: gpu-data
              mountPath: /var/lib/samepage/gpu
"""
GPU_VOLUMES = """\
        # The folder, not the socket in it: the kubelet makes that anew when it restarts.
        - name: pod-resources
          hostPath:
            path: /var/lib/kubelet/pod-resources
            type: Directory
        # A week of measurements, records of decisions, snoozed flags.
        - name: gpu-data
          hostPath:
            path: /var/lib/samepage/gpu
            type: DirectoryOrCreate
"""


def with_gpus(daemonset: str) -> str:
    """The agent's DaemonSet with what its tuner needs on nodes with GPUs, if that is asked for."""
    publish, account = patch_of("gpu-publish")
    names, same_account = patch_of("gpu-names")
    if (names["volumeMounts"], same_account) != (publish["volumeMounts"], account):
        raise ManifestError("gpu-publish and gpu-names give different accounts")
    ask, token = patch_of("gpu-ask")
    secret = Swap(
        old="secretName: samepage-agent-token", new="secretName: {{ .Values.gpu.tokenSecret }}"
    )
    gpu, to_api, asked = (
        ".Values.gpu.enabled",
        "or .Values.gpuPublish.enabled .Values.gpu.names",
        ".Values.gpu.tokenSecret",
    )
    env = (
        if_so(gpu, GPU_ENV)
        + if_so(f"or {gpu} .Values.gpuPublish.enabled", NODE_NAME)
        + if_so(".Values.gpuPublish.enabled", listed(publish["env"], 12))
        + if_so(asked, listed(ask["env"], 12))
    )
    mounts = (
        if_so(gpu, GPU_MOUNTS)
        + if_so(to_api, listed(publish["volumeMounts"], 12))
        + if_so(asked, listed(ask["volumeMounts"], 12))
    )
    volumes = (
        if_so(gpu, GPU_VOLUMES)
        + if_so(to_api, listed(account, 8))
        + if_so(asked, swapped(listed(token, 8), [secret], "gpu-ask"))
    )
    return swapped(
        daemonset,
        [
            Swap(old=HERE_POD, new=if_so(gpu, GPU_POD) + HERE_POD),
            Swap(old=HERE_ENV, new=env + HERE_ENV),
            Swap(old=HERE_MOUNT, new=mounts + HERE_MOUNT),
            Swap(old=HERE_VOLUME, new=volumes + HERE_VOLUME),
        ],
        "daemonset (gpu)",
    )


def of_release(component: str, parts: Iterable[str], namespaces: int, labels: int) -> str:
    """Objects of a GPU component, in the release's namespace and for its DaemonSet."""
    folder = COMPONENTS / component
    texts = [(folder / f"{name}.yaml").read_text(encoding="utf-8") for name in parts]
    where = "{{ .Release.Namespace }}"
    return swapped(
        "---\n".join(texts),
        [
            Swap(old="namespace: samepage\n", new=f"namespace: {where}\n", times=namespaces),
            Swap(old="component: node-agent-gpu", new="component: node-agent", times=labels),
        ],
        component,
    )


def gpu_names() -> dict[str, str]:
    """The chart's template of the right to read pods' names, from its component."""
    text = of_release("gpu-names", ("rbac", "networkpolicy"), 2, 1)
    return {"gpu-names": toggled(text, ".Values.gpu.names")}


def gpu_ask() -> dict[str, str]:
    """The chart's template of the name under which hubs ask, from its component."""
    text = of_release("gpu-ask", ("service", "networkpolicy"), 2, 2)
    return {"gpu-ask": toggled(text, ".Values.gpu.tokenSecret")}


def gpu_publish() -> dict[str, str]:
    """The chart's template of rights and policies for publishing GPUs, from its component."""
    where = "{{ .Release.Namespace }}"
    text = swapped(
        of_release("gpu-publish", ("rbac", "own-lease-only", "networkpolicy"), 5, 1),
        [
            Swap(old="serviceaccount:samepage:", new=f"serviceaccount:{where}:"),
            Swap(old="metadata.name: samepage\n", new=f"metadata.name: {where}\n"),
        ],
        "gpu-publish",
    )
    return {"gpu-publish": toggled(text, ".Values.gpuPublish.enabled")}


def course_cache() -> dict[str, str]:
    """The chart's templates of the course cache, from its component."""
    folder = COMPONENTS / "course-cache"
    text = (folder / "courses.yaml").read_text(encoding="utf-8")
    secret = "{{- with .Values.courseCache.credentialsSecret }}"
    text = swapped(
        placed(text, "courses"),
        [
            STUDENTS,
            Swap(
                old=block(text, "          resources:"),
                new=given("courseCache.resources", "resources", 10),
            ),
            Swap(
                old="path: /var/cache/samepage/courses\n",
                new="path: {{ .Values.courseCache.path }}\n",
            ),
            Swap(
                old="    metadata:\n      labels:\n",
                new="    metadata:\n      annotations:\n"
                "        samepage/config-checksum: "
                "{{ .Values.courseCache.courses | sha256sum | trunc 16 | quote }}\n"
                "      labels:\n",
            ),
            Swap(
                old="            - name: HOME\n",
                new=f"            {secret}\n"
                "            - name: NODEAGENT_COURSE_CACHE_CREDENTIALS\n"
                "              value: /run/secrets/courses/credentials\n"
                "            {{- end }}\n            - name: HOME\n",
            ),
            Swap(
                old="            - name: tmp\n              mountPath",
                new=f"            {secret}\n"
                "            - name: credentials\n"
                "              mountPath: /run/secrets/courses\n"
                "              readOnly: true\n"
                "            {{- end }}\n            - name: tmp\n              mountPath",
            ),
            Swap(
                old="        - name: tmp\n          emptyDir",
                new=f"        {secret}\n"
                "        - name: credentials\n          secret:\n"
                "            secretName: {{ . }}\n            defaultMode: 0400\n"
                "        {{- end }}\n        - name: tmp\n          emptyDir",
            ),
        ],
        "courses",
    )
    listed = (
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: samepage-courses\n"
        "  namespace: {{ .Release.Namespace }}\n  labels:\n"
        "    app.kubernetes.io/name: samepage-courses\n"
        "data:\n  courses.txt: {{ .Values.courseCache.courses | quote }}\n"
    )
    policy = (folder / "networkpolicy.yaml").read_text(encoding="utf-8")
    policy = swapped(
        policy,
        [
            SPACED,
            Swap(
                old=block(policy, "    - from:").partition("      ports:")[0],
                new="    - from:\n        {{- toYaml .Values.networkPolicy.from | nindent 8 }}\n",
            ),
        ],
        "courses (networkpolicy)",
    )
    return {
        "courses": toggled(text + listed, ".Values.courseCache.enabled"),
        "courses-networkpolicy": toggled(
            toggled(policy, ".Values.networkPolicy.enabled"), ".Values.courseCache.enabled"
        ),
    }


def seccomp() -> dict[str, str]:
    """The chart's template that puts the seccomp profile on the nodes, from its component."""
    text = (COMPONENTS / "seccomp/installer.yaml").read_text(encoding="utf-8")
    text = swapped(
        placed(text, "seccomp"),
        [
            Swap(old="image: localhost/samepage-nodeagent:0.1.0", new=IMAGE),
            # kustomize gives the ConfigMap a new name with each profile; Helm's keeps its name.
            Swap(
                old="    metadata:\n      labels:\n",
                new="    metadata:\n      annotations:\n"
                "        samepage/config-checksum: "
                "{{ .Values.seccomp.profile | sha256sum | trunc 16 | quote }}\n"
                "      labels:\n",
            ),
        ],
        "seccomp",
    )
    profile = (
        "---\napiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: samepage-seccomp\n"
        "  namespace: {{ .Release.Namespace }}\n  labels:\n"
        "    app.kubernetes.io/name: samepage-seccomp\n"
        "data:\n  aligned.json: {{ .Values.seccomp.profile | quote }}\n"
    )
    return {"seccomp": toggled(text + profile, ".Values.seccomp.profile")}


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
                old="and no student's process in sight.\n",
                new="and the host's processes in sight: see hostPID.\n",
            ),
            Swap(old=HERE_POD, new=GPU_POD + HERE_POD),
            Swap(old=HERE_ENV, new=GPU_ENV + NODE_NAME + HERE_ENV),
            Swap(old=HERE_MOUNT, new=GPU_MOUNTS + HERE_MOUNT),
            Swap(old=HERE_VOLUME, new=GPU_VOLUMES + HERE_VOLUME),
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
            "students": exact({"image": {"type": "string"}}),
            "courseCache": exact(
                container
                | {
                    "enabled": {"type": "boolean"},
                    "path": {"type": "string", "pattern": "^/."},
                    "courses": {"type": "string"},
                    "credentialsSecret": {"type": "string"},
                }
            ),
            "donors": exact(
                container
                | {
                    "enabled": {"type": "boolean"},
                    "env": {"type": "object", "additionalProperties": {"type": "string"}},
                    "localhostProfile": text,
                }
            ),
            "seccomp": exact({"profile": {"type": "string"}, "arch": {"enum": ["amd64", "arm64"]}}),
            "gpuPublish": exact({"enabled": {"type": "boolean"}}),
            "gpu": exact(
                {
                    "enabled": {"type": "boolean"},
                    "names": {"type": "boolean"},
                    "tokenSecret": {"type": "string"},
                }
            ),
            # Helm puts these two into every chart's values when it is a part of another.
            "global": {"type": "object"},
            "enabled": {"type": "boolean"},
        },
        # What runs in the students' image needs its name.
        allOf=[
            {
                "if": {"properties": {part: {"properties": {"enabled": {"const": True}}}}},
                "then": {"properties": {"students": {"properties": {"image": {"minLength": 1}}}}},
            }
            for part in ("courseCache", "donors")
        ]
        # Names and questions of GPUs without a look at GPUs: nothing would come of them.
        + [
            {
                "if": {"properties": {"gpu": {"properties": {key: value}, "required": [key]}}},
                "then": {"properties": {"gpu": {"properties": {"enabled": {"const": True}}}}},
            }
            for key, value in (("names", {"const": True}), ("tokenSecret", {"minLength": 1}))
        ],
    )


def z2jh_values() -> str:
    """The values for Zero to JupyterHub with deploy/hub/samepage_courses.py in them."""
    lines = Z2JH.read_text(encoding="utf-8").splitlines(keepends=True)
    starts = [at for at, line in enumerate(lines) if line.startswith("      stringData:")]
    if len(starts) != 1:
        raise ManifestError(f"{Z2JH.name}: {len(starts)} places for the reader of course files")
    end = starts[0] + 1
    while end < len(lines) and (not lines[end].strip() or lines[end].startswith(" " * 8)):
        end += 1
    reader = textwrap.indent(COURSES.read_text(encoding="utf-8"), " " * 8)
    return "".join([*lines[: starts[0]], "      stringData: |\n", reader, *lines[end:]])


def rendered() -> dict[Path, str]:
    """Every written file and its text."""
    texts = base()
    files = {
        ROOT / "daemonset.yaml": HEADER + "---\n" + "---\n".join(texts[part] for part in PARTS),
        BASE / "daemonset.yaml": texts["daemonset"],
        GPU / "daemonset-gpu.yaml": "# Written by `make manifests` from ../../base.\n"
        + gpu_daemonset(texts["daemonset"]),
        CHART / "values.schema.json": json.dumps(schema(), indent=2) + "\n",
        Z2JH: z2jh_values(),
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
