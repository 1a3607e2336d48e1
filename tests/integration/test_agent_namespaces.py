"""A reader in namespaces of its own, as in a container, counts limits as one on the host does."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from nodeagent.workloads.memcg import detect
from tests.integration.agentrun import REPO

CGROUPS = Path("/sys/fs/cgroup")
VERSION = detect(CGROUPS)
MEMORY = CGROUPS / "memory" if VERSION == "v1" else CGROUPS
MIB = 2**20

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="needs root to make cgroups and namespaces"),
    pytest.mark.skipif(VERSION is None, reason="no cgroup limits memory here"),
    pytest.mark.skipif(not Path("/proc/self/ksm_stat").exists(), reason="kernel without ksm_stat"),
]

STUDENT = """
import ctypes, os, sys
open(sys.argv[1] + "/cgroup.procs", "w").write(str(os.getpid()))
assert ctypes.CDLL(None).prctl(67, 1, 0, 0, 0) == 0
held = os.urandom(24 << 20)
print("ready", flush=True)
sys.stdin.read()
"""
READ = """
import dataclasses, json, os, sys
from pathlib import Path
from nodeagent.host import read_memory
from nodeagent.ksm.local import LocalProcesses
proc, cgroups = Path("/proc"), Path("/sys/fs/cgroup")
source = LocalProcesses(proc, page_bytes=4096, cgroups=cgroups, own_cgroups=Path(sys.argv[1]))
found = source.read(5.0, read_memory(proc).total_bytes)
print(json.dumps({
    "pid": os.getpid(),
    "raw": Path("/proc/self/cgroup").read_text(),
    "charges": [dataclasses.asdict(one) for one in found.charges],
    "paths": [one.workload.memory_path for one in found.opted_in.members],
}))
"""


@pytest.fixture
def student() -> Iterator[Path]:
    parent = MEMORY / f"samepage-ns-{os.getpid()}"
    folders = [parent, parent / "student", parent / "agent"]
    process: subprocess.Popen[bytes] | None = None
    try:
        try:
            for folder in folders:
                folder.mkdir()
                if VERSION == "v2" and folder == parent:
                    (folder / "cgroup.subtree_control").write_text("+memory")
            limit = "memory.limit_in_bytes" if VERSION == "v1" else "memory.max"
            (folders[1] / limit).write_text(str(512 * MIB))
        except OSError as err:
            pytest.skip(f"cannot make memory cgroups: {err}")
        process = subprocess.Popen(
            [sys.executable, "-c", STUDENT, str(folders[1])],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert process.stdout is not None
        if process.stdout.readline() != b"ready\n":
            pytest.skip("this kernel has no PR_SET_MEMORY_MERGE")
        yield parent
    finally:
        if process is not None:
            process.kill()
            process.communicate()
        for folder in reversed(folders):
            if folder.is_dir():
                folder.rmdir()


def read(prefix: list[str], own: Path) -> Any:
    done = subprocess.run(
        [*prefix, sys.executable, "-c", READ, str(own)],
        cwd=REPO, capture_output=True, text=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_limits_from_within_a_container(student: Path, tmp_path: Path) -> None:
    wanted = f"/{student.name}/student"
    outside = read([], CGROUPS)
    (host,) = [one for one in outside["charges"] if one["path"] == wanted]
    # As a runtime does it: into the container's cgroup, then new namespaces with their own view.
    view = tmp_path / "view"
    own = view / "memory" if VERSION == "v1" else view
    own.mkdir(parents=True)
    kind = "-t cgroup -o memory" if VERSION == "v1" else "-t cgroup2"
    script = (
        f"echo $$ > {student}/agent/cgroup.procs && exec unshare --cgroup --pid --mount --fork "
        f'sh -c \'mount {kind} none {own} && exec "$@"\' sh "$@"'
    )
    inside = read(["sh", "-c", script, "sh"], view)
    assert inside["pid"] != outside["pid"]
    assert inside["pid"] < 100
    assert "/.." not in "".join(inside["paths"])
    assert wanted in inside["paths"]
    (found,) = [one for one in inside["charges"] if one["path"] == wanted]
    assert found["limit_bytes"] == host["limit_bytes"] == 512 * MIB
    assert found["mapped_bytes"] == pytest.approx(host["mapped_bytes"], rel=0.1)
    assert found["mapped_bytes"] > 24 * MIB


def test_where_the_namespace_begins_is_unknown(student: Path, tmp_path: Path) -> None:
    """No limits rather than those of a wrong cgroup."""
    script = f'echo $$ > {student}/agent/cgroup.procs && exec unshare --cgroup --pid --fork "$@"'
    found = read(["sh", "-c", script, "sh"], tmp_path)
    assert found["charges"] == []


def test_a_container_that_sees_whole_paths(student: Path, tmp_path: Path) -> None:
    """The usual with cgroup version 1: its own mount shows its cgroup, procfs the host's paths."""
    (tmp_path / "memory").symlink_to(student / "agent")
    own = tmp_path if VERSION == "v1" else tmp_path / "memory"
    script = f'echo $$ > {student}/agent/cgroup.procs && exec unshare --pid --fork "$@"'
    found = read(["sh", "-c", script, "sh"], own)
    assert f"/{student.name}/student" in [one["path"] for one in found["charges"]]
