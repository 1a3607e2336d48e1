"""Cgroup paths from within a namespace."""

from __future__ import annotations

from pathlib import Path

import pytest

from nodeagent.workloads.namespace import Lodgers, from_root, namespace_root

QOS = "/kubepods.slice/kubepods-burstable.slice"
POD = f"{QOS}/kubepods-burstable-podA.slice"


@pytest.mark.parametrize(
    ("path", "absolute"),
    [
        ("/", f"{POD}/agent.scope"),
        ("/../reader.scope", f"{POD}/reader.scope"),
        ("/../../kubepods-burstable-podB.slice/x", f"{QOS}/kubepods-burstable-podB.slice/x"),
        ("/../../../../init.scope", "/init.scope"),
        ("/../../../../../../above", "/above"),
    ],
)  # fmt: skip
def test_from_root(path: str, absolute: str) -> None:
    assert from_root(path, f"{POD}/agent.scope") == absolute


def test_outside_a_namespace_nothing_changes() -> None:
    assert from_root("/user.slice/a", "/") == "/user.slice/a"


def test_the_beginning_is_told_by_the_inode(tmp_path: Path) -> None:
    (tmp_path / "a/b").mkdir(parents=True)
    (tmp_path / "c").mkdir()
    assert namespace_root(tmp_path, tmp_path) == "/"
    assert namespace_root(tmp_path, tmp_path / "a/b") == "/a/b"
    assert namespace_root(tmp_path / "c", tmp_path / "a") is None
    assert namespace_root(tmp_path, tmp_path / "gone") is None


def test_lodgers_of_a_cgroup_and_below(tmp_path: Path) -> None:
    for pid, path in ((1, "/../../../.."), (7, "/"), (8, "/below"), (9, "/../other")):
        (tmp_path / str(pid)).mkdir()
        (tmp_path / str(pid) / "cgroup").write_text(f"0::{path}\n")
    (tmp_path / "10").mkdir()
    lodgers = Lodgers(tmp_path, f"{POD}/agent.scope")
    lodgers.renew()
    assert sorted(lodgers.within(f"{POD}/agent.scope")) == [7, 8]
    assert sorted(lodgers.within(POD)) == [7, 8, 9]
    assert sorted(lodgers.within("/")) == [1, 7, 8, 9]
    assert lodgers.within(f"{POD}/agent") == []
