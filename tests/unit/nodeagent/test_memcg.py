"""Charge against limit, on trees of files as both cgroup versions have them."""

from pathlib import Path

import pytest

from nodeagent.workloads.memcg import Charge, Memcgs, Merged, detect
from tests.unit.nodeagent.support import MIB

NO_LIMIT_V1 = 0x7FFFFFFFFFFFF000


def v2(root: Path, path: str, *, limit: str, current: int, anon: int, file: int, pids: str) -> None:
    (root / "cgroup.controllers").write_text("cpu memory\n")
    folder = root / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.max").write_text(f"{limit}\n")
    (folder / "memory.current").write_text(f"{current * MIB}\n")
    (folder / "memory.stat").write_text(
        f"anon {anon * MIB}\nfile {file * MIB}\ninactive_file {file * MIB}\n"
    )
    (folder / "cgroup.procs").write_text(pids)


def v1(root: Path, path: str, *, limit: int, current: int, anon: int, file: int, pids: str) -> None:
    (root / "memory").mkdir(parents=True, exist_ok=True)
    (root / "memory/memory.limit_in_bytes").write_text(f"{NO_LIMIT_V1}\n")
    folder = root / "memory" / path
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
    (folder / "memory.usage_in_bytes").write_text(f"{current * MIB}\n")
    (folder / "memory.stat").write_text(
        f"cache 1\nrss 1\ntotal_rss {anon * MIB}\ntotal_inactive_file {file * MIB}\n"
    )
    (folder / "cgroup.procs").write_text(pids)


def memcgs(root: Path, private: dict[int, int], now: dict[int, int] | None = None) -> Memcgs:
    return Memcgs(
        root,
        total_bytes=16 * 1024 * MIB,
        private=lambda pid: private.get(pid, 0) * MIB,
        merged_now=lambda pid: None if now is None else now[pid] * MIB,
    )


def merged(path: str, pid: int, mib: int) -> Merged:
    return Merged(path=path, pid=pid, merged_bytes=mib * MIB)


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_container_that_keeps_pages_for_others(tmp_path: Path, version: str) -> None:
    """The measured case: 103 MiB mapped and merged, 103 charged; after writing, 203."""
    numbers = {"current": 110, "anon": 103, "file": 7, "pids": "7\n"}
    if version == "v1":
        v1(tmp_path, "docker/a", limit=150 * MIB, **numbers)  # type: ignore[arg-type]
    else:
        v2(tmp_path, "docker/a", limit=str(150 * MIB), **numbers)  # type: ignore[arg-type]
    reader = memcgs(tmp_path, {7: 103}, {7: 100})
    (charge,) = reader.charges([merged("/docker/a", 7, 100)], 0.0)
    assert (reader.version, charge.path) == (version, "/docker/a")
    assert charge.working_bytes == 103 * MIB
    assert charge.kept_bytes == 100 * MIB
    assert charge.worst_bytes == 203 * MIB
    assert charge.worst_ratio > 1
    assert charge.alone_bytes == 103 * MIB
    assert charge.safe_limit_bytes > 203 * MIB


def test_with_donors_nothing_is_kept_and_the_limit_holds(tmp_path: Path) -> None:
    v2(tmp_path, "a", limit=str(150 * MIB), current=3, anon=3, file=0, pids="7\n")
    (charge,) = memcgs(tmp_path, {7: 103}).charges([merged("/a", 7, 100)], 0.0)
    assert charge.kept_bytes == 0
    assert charge.worst_bytes == 103 * MIB
    assert charge.worst_ratio < 0.9


def test_numbers_frozen_by_a_stopped_ksmd_are_confirmed_in_the_page_tables(tmp_path: Path) -> None:
    v2(tmp_path, "a", limit=str(150 * MIB), current=103, anon=103, file=0, pids="7\n")
    (old,) = memcgs(tmp_path, {7: 103}).charges([merged("/a", 7, 100)], 0.0)
    (now,) = memcgs(tmp_path, {7: 103}, {7: 0}).charges([merged("/a", 7, 100)], 0.0)
    assert (old.worst_bytes, now.worst_bytes) == (203 * MIB, 103 * MIB)


def test_limits_of_a_pod_hold_all_its_containers(tmp_path: Path) -> None:
    v2(tmp_path, "pod", limit=str(300 * MIB), current=280, anon=200, file=10, pids="")
    v2(tmp_path, "pod/x", limit="max", current=100, anon=100, file=0, pids="7\n")
    v2(tmp_path, "pod/y", limit=str(NO_LIMIT_V1), current=100, anon=100, file=0, pids="8\n9\n")
    reader = memcgs(tmp_path, {7: 90, 8: 60, 9: 30}, {7: 50, 8: 20})
    (charge,) = reader.charges([merged("/pod/x", 7, 50), merged("/pod/y", 8, 20)], 0.0)
    assert charge.path == "/pod"
    assert charge.mapped_bytes == 180 * MIB
    assert charge.merged_bytes == 70 * MIB


def test_a_new_limit_is_seen_after_a_while(tmp_path: Path) -> None:
    v2(tmp_path, "a", limit="max", current=1, anon=1, file=0, pids="7\n")
    reader = memcgs(tmp_path, {7: 1})
    assert reader.charges([merged("/a", 7, 0)], 0.0) == ()
    (tmp_path / "a/memory.max").write_text(f"{50 * MIB}\n")
    assert reader.charges([merged("/a", 7, 0)], 29.0) == ()
    assert len(reader.charges([merged("/a", 7, 0)], 31.0)) == 1


@pytest.mark.parametrize("path", ["/../../kubepods/pod1", "relative", "/gone"])
def test_what_cannot_be_seen_is_left_out(tmp_path: Path, path: str) -> None:
    v2(tmp_path, "a", limit=str(50 * MIB), current=1, anon=1, file=0, pids="7\n")
    assert memcgs(tmp_path, {7: 1}).charges([merged(path, 7, 0)], 0.0) == ()


def test_no_memory_controller(tmp_path: Path) -> None:
    assert detect(tmp_path) is None
    assert memcgs(tmp_path, {}).charges([merged("/a", 7, 0)], 0.0) == ()


def test_kept_is_never_negative() -> None:
    charge = Charge(
        path="/a", limit_bytes=0, working_bytes=5, anon_bytes=1, mapped_bytes=9, merged_bytes=0
    )
    assert charge.kept_bytes == 0
    assert charge.worst_ratio == 5
