"""Control group memory, on folders laid out as the kernel lays them out."""

from __future__ import annotations

from pathlib import Path

import pytest

from serverproxy.cgroup import CgroupMemory, read_memory

GIB = 1 << 30
MIB = 1 << 20
V1_NO_LIMIT = 0x7FFFFFFFFFFFF000
V1_NO_LIMIT_64K_PAGES = 0x7FFFFFFFFFFF0000


class Tree:
    """A fake /sys/fs/cgroup and /proc."""

    def __init__(self, base: Path) -> None:
        self.root = base / "cgroup"
        self.proc = base / "proc"
        self.root.mkdir()
        (self.proc / "self").mkdir(parents=True)

    def membership(self, *lines: str) -> None:
        (self.proc / "self/cgroup").write_text("".join(f"{line}\n" for line in lines))

    def unified(self, mount: str = "") -> None:
        folder = self.root / mount
        folder.mkdir(exist_ok=True)
        (folder / "cgroup.controllers").write_text("cpu io memory pids\n")

    def v2(self, path: str, *, usage: int, limit: int | str = "max", inactive: int = 0) -> None:
        folder = self.root / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.current").write_text(f"{usage}\n")
        (folder / "memory.max").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(f"anon 1\nfile 2\ninactive_file {inactive}\n")

    def v1(
        self,
        path: str,
        *,
        usage: int,
        limit: int = V1_NO_LIMIT,
        inactive: int = 0,
        inherited: int = V1_NO_LIMIT,
    ) -> None:
        folder = self.root / "memory" / path
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "memory.usage_in_bytes").write_text(f"{usage}\n")
        (folder / "memory.limit_in_bytes").write_text(f"{limit}\n")
        (folder / "memory.stat").write_text(
            # inactive_file is the group's own share; only the total_ line covers its children
            f"inactive_file 7\ntotal_inactive_file {inactive}\n"
            f"hierarchical_memory_limit {inherited}\n"
        )

    def read(self) -> CgroupMemory | None:
        return read_memory(self.root, self.proc)


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


def test_v2_private_namespace(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    tree.v2("", usage=3 * GIB, limit=4 * GIB, inactive=GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=2 * GIB, limit_bytes=4 * GIB, available_bytes=2 * GIB, version="v2"
    )


def test_v2_max_means_no_limit(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    tree.v2("", usage=GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=GIB, limit_bytes=None, available_bytes=None, version="v2"
    )


def test_v2_takes_the_smallest_limit_on_the_way_up_with_that_groups_use(tree: Tree) -> None:
    tree.membership("0::/user.slice/user-1000.slice/jupyter.scope")
    tree.unified()
    tree.v2("user.slice", usage=9 * GIB, limit=32 * GIB)
    tree.v2("user.slice/user-1000.slice", usage=7 * GIB, limit=8 * GIB, inactive=GIB)
    tree.v2("user.slice/user-1000.slice/jupyter.scope", usage=GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=6 * GIB, limit_bytes=8 * GIB, available_bytes=2 * GIB, version="v2"
    )


def test_a_larger_limit_that_is_nearly_full_decides_what_is_available(tree: Tree) -> None:
    tree.membership("0::/pod/box")
    tree.unified()
    tree.v2("pod", usage=10 * GIB - MIB, limit=10 * GIB)
    tree.v2("pod/box", usage=GIB, limit=4 * GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=GIB, limit_bytes=4 * GIB, available_bytes=MIB, version="v2"
    )


def test_over_the_limit_is_nothing_available_not_less(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    tree.v2("", usage=GIB + MIB, limit=GIB)
    seen = tree.read()
    assert seen is not None
    assert seen.available_bytes == 0


def test_v2_root_group_of_a_host_has_no_counters(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    (tree.root / "memory.stat").write_text("anon 1\n")
    assert tree.read() is None


def test_v2_without_memory_stat_counts_everything_as_used(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    (tree.root / "memory.current").write_text("4096\n")
    assert tree.read() == CgroupMemory(
        used_bytes=4096, limit_bytes=None, available_bytes=None, version="v2"
    )


def test_v2_more_inactive_cache_than_use_is_zero_used(tree: Tree) -> None:
    tree.membership("0::/")
    tree.unified()
    tree.v2("", usage=MIB, inactive=GIB)
    seen = tree.read()
    assert seen is not None
    assert seen.used_bytes == 0


def test_v1_counts_the_children_too(tree: Tree) -> None:
    tree.membership("9:name=systemd:/", "4:memory:/jupyter/alice")
    tree.v1("", usage=20 * GIB)
    tree.v1("jupyter", usage=10 * GIB)
    tree.v1("jupyter/alice", usage=2 * GIB, limit=3 * GIB, inactive=512 * MIB, inherited=3 * GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=1536 * MIB, limit_bytes=3 * GIB, available_bytes=1536 * MIB, version="v1"
    )


@pytest.mark.parametrize("huge", [V1_NO_LIMIT, V1_NO_LIMIT_64K_PAGES, 9223372036854771712])
def test_v1_huge_number_means_no_limit(tree: Tree, huge: int) -> None:
    tree.membership("4:memory:/")
    tree.v1("", usage=GIB, limit=huge, inherited=huge)
    assert tree.read() == CgroupMemory(
        used_bytes=GIB, limit_bytes=None, available_bytes=None, version="v1"
    )


def test_v1_limit_above_what_the_container_sees(tree: Tree) -> None:
    tree.membership("4:memory:/")
    tree.v1("", usage=GIB, inherited=2 * GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=GIB, limit_bytes=2 * GIB, available_bytes=GIB, version="v1"
    )


def test_v1_host_path_in_a_container_that_sees_its_own_part_only(tree: Tree) -> None:
    tree.membership("4:memory:/docker/0123abcd/kernels")
    tree.v1("", usage=2 * GIB, limit=4 * GIB)
    tree.v1("kernels", usage=GIB)
    assert tree.read() == CgroupMemory(
        used_bytes=2 * GIB, limit_bytes=4 * GIB, available_bytes=2 * GIB, version="v1"
    )


def test_v1_controllers_mounted_together(tree: Tree) -> None:
    tree.membership("4:cpu,memory:/")
    folder = tree.root / "cpu,memory"
    folder.mkdir()
    (folder / "memory.usage_in_bytes").write_text("8192\n")
    seen = tree.read()
    assert seen is not None
    assert (seen.used_bytes, seen.version) == (8192, "v1")


def test_hybrid_keeps_memory_in_v1(tree: Tree) -> None:
    tree.membership("4:memory:/box", "1:cpu:/", "0::/elsewhere")
    tree.unified("unified")
    tree.v1("box", usage=GIB, limit=2 * GIB)
    seen = tree.read()
    assert seen is not None
    assert (seen.version, seen.limit_bytes) == ("v1", 2 * GIB)


def test_hybrid_with_memory_in_v2(tree: Tree) -> None:
    tree.membership("1:cpu:/", "0::/box")
    tree.unified("unified")
    tree.v2("unified/box", usage=GIB, limit=2 * GIB)
    seen = tree.read()
    assert seen is not None
    assert (seen.version, seen.limit_bytes) == ("v2", 2 * GIB)


def test_moved_out_of_the_namespace(tree: Tree) -> None:
    tree.membership("0::/../../neighbour")
    tree.unified()
    tree.v2("", usage=GIB, limit=2 * GIB)
    (tree.root.parent.parent / "neighbour").mkdir(exist_ok=True)
    seen = tree.read()
    assert seen is not None
    assert seen.limit_bytes == 2 * GIB


def test_no_proc_cgroup(tree: Tree) -> None:
    assert tree.read() is None


def test_no_cgroup_mounted(tree: Tree) -> None:
    tree.membership("4:memory:/", "0::/")
    assert tree.read() is None


@pytest.mark.parametrize("text", ["", "garbage", "::::", "4:memory", "\n\n"])
def test_odd_membership_lines(tree: Tree, text: str) -> None:
    tree.membership(text)
    assert tree.read() is None


def test_this_machine_is_read_without_error() -> None:
    seen = read_memory()
    assert seen is None or seen.used_bytes > 0
