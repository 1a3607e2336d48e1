"""One YAML file per course -> what a hub offers and starts. For any JupyterHub; needs PyYAML only.

    # statistics.yaml; the name of the file is the course's id
    title: Statistics I
    image: registry.example.org/samepage-singleuser:0.1.0
    course: {url: "https://git.example.org/statistics.git"}
    preload: [numpy, pandas]
    memory: {guarantee: 384M, limit: 2G}

All keys: KEYS, and docs/operators/courses.md. The folder is read again whenever a list of courses
is asked for, so a new course needs no restart of the hub. A file with a mistake is left out and
named in the hub's log; the others stand.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

log = logging.getLogger("jupyterhub.samepage")

_AMOUNT = re.compile(r"\d+(\.\d+)?[KMGT]?")
_ID = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")
_QUANTITY = re.compile(r"\d+(\.\d+)?([KMGT]i?)?")
_WANTS = ("share", "exclusive", "mig")
_SINGLE = ("course", "courses")
_SHOWN_GPUS = "NVIDIA_VISIBLE_DEVICES"
_GPU_TAINTS = ({"key": "nvidia.com/gpu", "operator": "Exists", "effect": "NoSchedule"},)

#: Key -> (what it must be, in words; whether it is).
KEYS: dict[str, tuple[str, Callable[[Any], bool]]] = {
    "title": ("a text", lambda value: isinstance(value, str) and bool(value.strip())),
    "description": ("a text", lambda value: isinstance(value, str)),
    "image": ("the name of an image", lambda value: isinstance(value, str) and " " not in value),
    "course": ("a course as in samepage-course.yml, with url", lambda value: _is_course(value)),
    "courses": (
        "a list of courses as in samepage-course.yml, each with id and url",
        lambda value: (
            isinstance(value, list)
            and bool(value)
            and all(_is_course(one) and "id" in one for one in value)
        ),
    ),
    "preload": ("a list of Python modules", lambda value: _is_words(value)),
    "memory": (
        "guarantee and limit, such as {guarantee: 384M, limit: 2G}",
        lambda value: _is_amounts(value, _AMOUNT),
    ),
    "cpu": (
        "guarantee and limit in cores, such as {guarantee: 0.1, limit: 2}",
        lambda value: _is_amounts(value, re.compile(r"\d+(\.\d+)?")),
    ),
    "gpu": (
        "{resource: nvidia.com/gpu, count: 1}, with memory (6Gi) and want "
        f"({', '.join(_WANTS)}) for the scheduler if there is one",
        lambda value: _is_gpu(value),
    ),
    "nodes": ("labels of the nodes it may run on", lambda value: _is_texts(value)),
    "groups": ("a list of the hub's groups that see it", lambda value: _is_words(value)),
    "environment": ("names and texts", lambda value: _is_texts(value)),
}


class CourseFileError(ValueError):
    """A course's file cannot be used; the text names it and says what to write."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """What one file says. Amounts are texts as JupyterHub takes them (2G), absent ones None."""

    id: str
    title: str
    description: str = ""
    image: str | None = None
    memory_guarantee: str | None = None
    memory_limit: str | None = None
    cpu_guarantee: float | None = None
    cpu_limit: float | None = None
    gpu_resource: str | None = None
    gpu_count: int = 0
    gpu_memory: str | None = None
    gpu_want: str | None = None
    nodes: Mapping[str, str] = field(default_factory=dict)
    groups: tuple[str, ...] = ()
    """Who sees it; empty: everybody."""
    environment: Mapping[str, str] = field(default_factory=dict)
    """For the student's server, the course itself included."""


def _is_words(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(word, str) and word and not re.search(r"\s", word) for word in value
    )


def _is_texts(value: Any) -> bool:
    return isinstance(value, dict) and all(
        isinstance(name, str) and isinstance(text, str) for name, text in value.items()
    )


def _is_course(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("url"), str)


def _is_amounts(value: Any, form: re.Pattern[str]) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"guarantee", "limit"}
        and all(not isinstance(one, bool) and form.fullmatch(str(one)) for one in value.values())
    )


def _is_gpu(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) <= {"resource", "count", "memory", "want"}
        and isinstance(value.get("resource", ""), str)
        and type(value.get("count", 1)) is int
        and value.get("count", 1) >= 1
        and value.get("want", "share") in _WANTS
        and ("memory" not in value or bool(_QUANTITY.fullmatch(str(value["memory"]))))
    )


def parse(name: str, content: Any) -> Course:
    """`content` (what YAML gave) of the file `name` as a course. Errors: CourseFileError."""
    if not _ID.fullmatch(name):
        raise CourseFileError(
            f"{name}.yaml: a file's name is the id of its course; use small letters, digits and '-'"
        )
    if not isinstance(content, dict):
        raise CourseFileError(f"{name}.yaml is no mapping; write title: ... and course: ...")
    for key, value in content.items():
        if key not in KEYS:
            raise CourseFileError(f"{name}.yaml: unknown key {key!r}; there are {', '.join(KEYS)}")
        wanted, holds = KEYS[key]
        if not holds(value):
            raise CourseFileError(f"{name}.yaml: {key} must be {wanted}")
    if "title" not in content:
        raise CourseFileError(f"{name}.yaml has no title")
    if set(_SINGLE) <= set(content):
        raise CourseFileError(f"{name}.yaml: give course or courses, not both")
    memory, cpu, gpu = (content.get(key) or {} for key in ("memory", "cpu", "gpu"))
    return Course(
        id=name,
        title=content["title"],
        description=content.get("description", ""),
        image=content.get("image"),
        memory_guarantee=_text(memory.get("guarantee")),
        memory_limit=_text(memory.get("limit")),
        cpu_guarantee=_number(cpu.get("guarantee")),
        cpu_limit=_number(cpu.get("limit")),
        gpu_resource=gpu.get("resource", "nvidia.com/gpu") if gpu else None,
        gpu_count=gpu.get("count", 1) if gpu else 0,
        gpu_memory=_text(gpu.get("memory")),
        gpu_want=gpu.get("want"),
        nodes=content.get("nodes") or {},
        groups=tuple(content.get("groups") or ()),
        environment=_environment(name, content),
    )


def _text(value: Any) -> str | None:
    return None if value is None else str(value)


def _number(value: Any) -> float | None:
    return None if value is None else float(value)


def _environment(name: str, content: Mapping[str, Any]) -> dict[str, str]:
    listed = list(content.get("courses") or ())
    if "course" in content:
        listed = [{"id": name, "title": content["title"], **content["course"]}]
    made = dict(content.get("environment") or {})
    if listed:
        # As JSON, which is YAML too: nothing in a title can be mistaken for syntax.
        made["SAMEPAGE_COURSES_YAML"] = json.dumps(
            {"version": 1, "courses": listed}, default=str, ensure_ascii=False
        )
    if content.get("preload"):
        made["SAMEPAGE_PRELOAD"] = " ".join(content["preload"])
    return made


def _bytes(quantity: str) -> str:
    """`6Gi` as the text of a number of bytes."""
    step = 1024 if quantity.endswith("i") else 1000
    digits = quantity.rstrip("KMGTi")
    letter = quantity[len(digits) : len(digits) + 1]
    return str(int(float(digits) * step ** " KMGT".index(letter or " ")))


def read(folder: Path) -> tuple[Course, ...]:
    """The courses of a folder, by the names of their files; those with mistakes are logged."""
    found = []
    for path in sorted(folder.glob("*.y*ml")):
        try:
            content = yaml.safe_load(path.read_text(encoding="utf-8"))
            found.append(parse(path.stem, content))
        # ValueError, TypeError: a day such as 2026-02-30, or a name that JSON cannot have.
        except (ValueError, TypeError, RecursionError, OSError, yaml.YAMLError) as err:
            log.error("Course left out. %s: %s", path, err)
    return tuple(found)


def visible(courses: Iterable[Course], groups: Iterable[str]) -> tuple[Course, ...]:
    """Those that a member of `groups` may start."""
    own = set(groups)
    return tuple(one for one in courses if not one.groups or own & set(one.groups))


class GpuProfiles(Mapping[str, Any]):
    """Course -> what it asks of a GPU, where the hub gives them out; read again as the courses are.

    `hubext.Gpus(profiles=GpuProfiles("/etc/samepage/courses", hubext.GpuProfile), ...)`. A course
    that asks for what cannot be had is left out and named in the hub's log: it starts without.
    """

    def __init__(self, folder: str | Path, make: Callable[..., Any]) -> None:
        self._folder = Path(folder)
        self._make = make

    def _read(self) -> dict[str, Any]:
        found = {}
        for one in read(self._folder):
            if not one.gpu_count:
                continue
            want = one.gpu_want or ("exclusive" if one.gpu_count > 1 else "share")
            try:
                found[one.id] = self._make(memory=one.gpu_memory, want=want, gpus=one.gpu_count)
            except ValueError as err:
                log.error("Course %s starts without a GPU of the hub's: %s", one.id, err)
        return found

    def __getitem__(self, course: str) -> Any:
        return self._read()[course]

    def __iter__(self) -> Iterator[str]:
        return iter(self._read())

    def __len__(self) -> int:
        return len(self._read())


def _doubled(text: str) -> str:
    # KubeSpawner fills {username} and the like into every text it is given.
    return text.replace("{", "{{").replace("}", "}}")


class KubeProfiles:
    """`c.KubeSpawner.profile_list = KubeProfiles("/etc/samepage/courses")`.

    KubeSpawner lays a profile over what the server had at its last start, so a profile also takes
    away what only other courses set, their GPU, their nodes, their variables: these are as the
    hub's configuration has them, else gone (None).
    """

    def __init__(self, folder: str | Path) -> None:
        self._folder = Path(folder)
        self._used: dict[str, set[str]] = {}

    def __call__(self, spawner: Any) -> list[dict[str, Any]]:
        """KubeSpawner's profile list for the user of `spawner`; empty: nothing to choose from."""
        every = read(self._folder)
        made = {one.id: self._override(one, spawner) for one in every}
        for override in made.values():
            for trait, value in override.items():
                if isinstance(value, dict):
                    self._used.setdefault(trait, set()).update(value)
        groups = [group.name for group in getattr(spawner.user, "groups", ())]
        return [
            {
                "slug": one.id,
                "display_name": one.title,
                "description": one.description,
                "kubespawner_override": self._whole(made[one.id], spawner),
            }
            for one in visible(every, groups)
        ]

    def _whole(self, override: dict[str, Any], spawner: Any) -> dict[str, Any]:
        others = {
            trait: {name: configured(spawner, trait).get(name) for name in names}
            for trait, names in self._used.items()
        }
        return {
            trait: others.get(trait, {}) | value if isinstance(value, dict) else value
            for trait, value in override.items()
        }

    @staticmethod
    def _override(one: Course, spawner: Any) -> dict[str, Any]:
        gpu = {one.gpu_resource: str(one.gpu_count)} if one.gpu_resource else {}
        # What agent and extender read.
        asked = {
            "samepage/gpu-memory-bytes": None if one.gpu_memory is None else _bytes(one.gpu_memory),
            "samepage/gpu-exclusive": "true" if one.gpu_want == "exclusive" else None,
        }
        # Images made for GPUs ask for all of the node's. Without a claim: none; with one, the
        # node's device plugin says which, and must not be overruled.
        shown: dict[str, Any] = {_SHOWN_GPUS: None if gpu else "void"}
        override: dict[str, Any] = {
            "environment": shown | {name: _doubled(text) for name, text in one.environment.items()},
            "extra_resource_limits": gpu,
            "extra_resource_guarantees": dict(gpu),
            "extra_annotations": {key: text for key, text in asked.items() if text},
            "node_selector": dict(one.nodes),
        }
        plain = {
            "image": one.image,
            "mem_limit": one.memory_limit,
            "mem_guarantee": one.memory_guarantee,
            "cpu_limit": one.cpu_limit,
            "cpu_guarantee": one.cpu_guarantee,
        }
        usual = list(configured(spawner, "tolerations") or ())
        override["tolerations"] = [*usual, *(_GPU_TAINTS if gpu else ())]
        # What a file leaves out is as the chart's values have it, not as at the last start.
        return override | {
            trait: configured(spawner, trait) if value is None else value
            for trait, value in plain.items()
        }


def configured(spawner: Any, trait: str) -> Any:
    """The value of `trait` in the hub's configuration, else the class's default."""
    default = getattr(type(spawner), trait).default()
    for cls in type(spawner).__mro__:
        section = spawner.config.get(cls.__name__, {})
        if trait in section:
            found = section[trait]
            # c.KubeSpawner.environment.update(...) is kept until somebody asks.
            return found.get_value(default) if hasattr(found, "get_value") else found
    return default
