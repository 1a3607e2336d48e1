from __future__ import annotations

from pathlib import Path

import pytest

from serverproxy.free_memory import available_bytes
from serverproxy.heap import MIB, heap_mib, needed_bytes


@pytest.mark.parametrize(
    ("free_mib", "heap"),
    [
        (0, None),
        (455, None),
        (456, 256),
        (712, 256),
        (1224, 512),
        (4296, 2048),
        (64 * 1024, 2048),
    ],
)
def test_heap_from_free_memory(free_mib: int, heap: int | None) -> None:
    assert heap_mib(free_mib * MIB) == heap


def test_unknown_memory_gives_the_smallest_heap() -> None:
    assert heap_mib(None) == 256


def test_needed_is_the_border() -> None:
    assert heap_mib(needed_bytes()) is not None
    assert heap_mib(needed_bytes() - 1) is None


def fake(base: Path, *, limit: int | None, used: int, machine_kib: int | None) -> tuple[Path, Path]:
    root, proc = base / "cgroup", base / "proc"
    (proc / "self").mkdir(parents=True)
    root.mkdir()
    (proc / "self/cgroup").write_text("0::/\n")
    (root / "cgroup.controllers").write_text("memory\n")
    (root / "memory.current").write_text(f"{used}\n")
    (root / "memory.max").write_text("max\n" if limit is None else f"{limit}\n")
    if machine_kib is not None:
        (proc / "meminfo").write_text(f"MemTotal: 99 kB\nMemAvailable:   {machine_kib} kB\n")
    return root, proc


def test_the_limit_counts_when_it_is_nearer(tmp_path: Path) -> None:
    root, proc = fake(tmp_path, limit=1000 * MIB, used=400 * MIB, machine_kib=8 << 20)
    assert available_bytes(root, proc) == 600 * MIB


def test_the_machine_counts_when_it_is_fuller(tmp_path: Path) -> None:
    root, proc = fake(tmp_path, limit=1000 * MIB, used=400 * MIB, machine_kib=100 * 1024)
    assert available_bytes(root, proc) == 100 * MIB


def test_without_a_limit_the_machine_counts(tmp_path: Path) -> None:
    root, proc = fake(tmp_path, limit=None, used=1, machine_kib=2048)
    assert available_bytes(root, proc) == 2 * MIB


def test_nobody_tells(tmp_path: Path) -> None:
    root, proc = fake(tmp_path, limit=None, used=1, machine_kib=None)
    assert available_bytes(root, proc) is None
    (proc / "meminfo").write_text("MemAvailable: lots\n")
    assert available_bytes(root, proc) is None
