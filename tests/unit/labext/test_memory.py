"""Which memory figure is shown."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labext.memory import ProcessSize, choose, family_bytes, hub_limit, read_server_memory, total
from serverproxy.cgroup import CgroupMemory

GIB = 1 << 30


def cgroup(limit: int | None) -> CgroupMemory:
    return CgroupMemory(
        used_bytes=2 * GIB,
        limit_bytes=limit,
        available_bytes=None if limit is None else limit - 2 * GIB,
        version="v2",
    )


def unasked() -> int | None:
    raise AssertionError("processes were walked for nothing")


def test_a_limited_control_group_answers() -> None:
    seen = choose(cgroup(4 * GIB), 8 * GIB, unasked, 64 * GIB)
    assert (seen.source, seen.used_bytes, seen.limit_bytes) == ("cgroup-v2", 2 * GIB, 4 * GIB)
    assert seen.message is None


@pytest.mark.parametrize("group", [None, cgroup(None)], ids=["none", "unlimited"])
def test_else_the_processes_are_compared_with_the_hubs_limit(group: CgroupMemory | None) -> None:
    seen = choose(group, 3 * GIB, lambda: GIB, 64 * GIB)
    assert (seen.source, seen.used_bytes, seen.limit_bytes) == ("processes", GIB, 3 * GIB)
    assert choose(group, None, lambda: GIB, 64 * GIB).limit_bytes is None


def test_unreadable_is_not_zero() -> None:
    seen = choose(None, None, lambda: None, None)
    assert (seen.source, seen.used_bytes, seen.host_total_bytes) == ("unavailable", None, None)
    assert seen.message


@pytest.mark.parametrize(
    ("text", "limit"),
    [
        ("1073741824", GIB),
        ("1073741824.0", GIB),
        ("0", None),
        ("-5", None),
        ("1G", None),
        ("", None),
        ("inf", None),
        ("nan", None),
    ],
)
def test_hub_limit(text: str, limit: int | None) -> None:
    assert hub_limit({"MEM_LIMIT": text}) == limit


def test_no_hub() -> None:
    assert hub_limit({}) is None


def test_shared_pages_count_once() -> None:
    sizes = [
        ProcessSize(rss_bytes=100, shared_bytes=30),
        ProcessSize(rss_bytes=50, shared_bytes=20),
    ]
    assert total(sizes) == 70 + 30 + 30
    assert total([]) is None


def test_children_are_part_of_the_family() -> None:
    alone = family_bytes(os.getpid())
    assert alone is not None
    code = "x = bytearray(60 << 20); print(len(x), flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = family_bytes(os.getpid())
        child.communicate(b"\n")
    assert together is not None
    assert together - alone > 55 << 20


def test_what_a_kernel_was_forked_from_counts_once(tmp_path: Path) -> None:
    alone = family_bytes(os.getpid())
    assert alone is not None
    # As the kernels' template: a child of the server with this script, and a fork of it.
    script = tmp_path / "labext/kernels/aligned/start.py"
    script.parent.mkdir(parents=True)
    script.write_text(
        "import os\nx = bytearray(b'1' * (60 << 20))\n"
        "if os.fork():\n    print(len(x), flush=True)\n    os.wait()\nelse:\n    input()\n"
    )
    with subprocess.Popen(
        [sys.executable, str(script)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        child.stdout.readline()
        together = family_bytes(os.getpid())
        child.communicate(b"\n")
    assert together is not None
    assert 55 << 20 < together - alone < 90 << 20


def test_an_absent_process_has_no_size() -> None:
    assert family_bytes(2**22 + 1) is None


def test_this_machine() -> None:
    seen = read_server_memory()
    assert seen.used_bytes is not None
    assert seen.host_total_bytes is not None
    assert 0 < seen.used_bytes < seen.host_total_bytes
