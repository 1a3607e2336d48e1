"""Course cache and donors, in the students' image, with the rights of their manifests."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml

from demo.git_server import GitServer
from scripts.seccomp_profile import flattened
from tests.integration.containers_engine import PODMAN, ROOT, image, podman, run, why_not
from tests.integration.courses_upstream import Teacher

ENGINE = Path("/usr/share/containers/seccomp.json")
COMPONENTS = ROOT / "deploy/kustomize/components"
pytestmark = [
    pytest.mark.containers,
    pytest.mark.xdist_group("containers"),
    pytest.mark.skipif(why_not() is not None, reason=str(why_not())),
    pytest.mark.timeout(1200),
]


#: How many of the processes that opted in have the C library at the same address.
ALIKE = """
import collections, glob, re
found = collections.Counter()
for folder in glob.glob("/proc/[0-9]*"):
    try:
        if "ksm_merge_any: yes" in open(folder + "/ksm_stat").read():
            maps = open(folder + "/maps").read()
            found[re.search(r"^([0-9a-f]+)-.*libc\\.so", maps, re.M)[1]] += 1
    except (OSError, TypeError):
        pass
print(found.most_common(1)[0][1] if found else 0)
"""


def container(file: str, name: str) -> Any:
    pod = yaml.safe_load((COMPONENTS / file).read_text())["spec"]["template"]["spec"]
    return next(one for one in pod["containers"] if one["name"] == name)


@contextmanager
def running(name: str, one: Any, *more: str | Path) -> Iterator[None]:
    """The container of a manifest; podman's words for what the kubelet would give it."""
    rights = one["securityContext"]
    assert rights["readOnlyRootFilesystem"] is True
    env = {each["name"]: each["value"] for each in one["env"]}
    words: list[str | Path] = [
        "--read-only", "--read-only-tmpfs=false", "--security-opt=no-new-privileges",
        f"--cap-drop={rights['capabilities']['drop'][0].lower()}",
        f"--user={rights['runAsUser']}:{rights['runAsGroup']}",
        f"--entrypoint={json.dumps(one['command'])}",
        *[f"--env={key}={value}" for key, value in env.items()],
        *[
            f"--tmpfs={mount['mountPath']}:mode=1777,notmpcopyup"
            for mount in one["volumeMounts"]
            if mount["name"].endswith(("tmp", "home"))
        ],
    ]  # fmt: skip
    podman("rm", "-f", "-t0", name, check=False)
    podman("run", "-d", "--name", name, *words, *more, image("singleuser"))
    try:
        yield
    finally:
        podman("rm", "-f", "-t5", name, check=False)


def wait_for(what: str, ready: Callable[[], bool], log: Callable[[], str]) -> None:
    deadline = time.monotonic() + 120
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within 120 s\n{log()}"
        time.sleep(0.5)


def test_the_cache_fetches_a_course_for_the_node(tmp_path: Path) -> None:
    Teacher(tmp_path / "teacher").publish({"week-1.md": "Welcome\n"})
    cache, listed = tmp_path / "cache", tmp_path / "list"
    cache.mkdir()
    listed.mkdir()
    one = container("course-cache/courses.yaml", "courses")
    with GitServer(tmp_path / "teacher" / "served") as server:
        (listed / "courses.txt").write_text(server.url("course") + "\n")
        # The host's network in place of the pod's, so another port of its own.
        for each in one["env"]:
            if each["name"] == "NODEAGENT_LISTEN":
                each["value"] = "127.0.0.1:0"
        mounts = ("-v", f"{cache}:/var/cache/samepage/courses", "-v", f"{listed}:/etc/samepage:ro")
        name = "samepage-test-courses"
        with running(name, one, "--network=host", *mounts):

            def log() -> str:
                return run(["sh", "-c", f"{PODMAN} logs {name} 2>&1"], check=False)

            mirrors = (cache / "public").glob
            wait_for("the course", lambda: any(mirrors("*/mirror.git/HEAD")), log)
    kept = next((cache / "public").iterdir())
    # What a student's server asks before it believes it.
    assert (kept.stat().st_uid, kept.stat().st_mode & 0o022) == (0, 0)


@pytest.mark.skipif(not ENGINE.exists(), reason="no container engine's default profile here")
def test_donors_are_ready_aligned_and_opted_in(tmp_path: Path) -> None:
    profile = tmp_path / "aligned.json"
    profile.write_text(json.dumps(flattened(json.loads(ENGINE.read_text()), "amd64")))
    one = container("donors/donors.yaml", "donors")
    name = "samepage-test-donors"
    with running(name, one, "--network=none", f"--security-opt=seccomp={profile}"):

        def said() -> str:
            return run(["sh", "-c", f"{PODMAN} logs {name} 2>&1"], check=False)

        def alike() -> int:
            return int(podman("exec", name, "python3", "-c", ALIKE, check=False) or 0)

        wait_for("two donors", lambda: said().count("is ready") == 2, said)
        assert alike() >= 2
