"""Whose processes they are, each owner's part, and how many more students fit."""

import re
from dataclasses import replace

import pytest

from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.processes import Member
from nodeagent.ksm.room import room, shares
from nodeagent.workloads.cgroup import parse_cgroup
from nodeagent.workloads.invite import Invitation, parse_uids
from nodeagent.workloads.owner import owner_of
from tests.unit.nodeagent.support import MIB, opted, sample

A = "a1" * 32
UID = "0f9c7ab1-2d3e-4f56-8a9b-0c1d2e3f4a5b"


@pytest.mark.parametrize(
    ("text", "uid", "owner"),
    [
        (f"0::/kubepods/burstable/pod{UID}/{A}", 1000, f"pod {UID}"),
        (f"0::/system.slice/docker-{A}.scope", 1000, f"container {A}"),
        ("0::/lxc.payload.ada/system.slice/x.service", 1000, "container ada"),
        ("0::/system.slice/jupyter-ada.service", 1000, "unit jupyter-ada.service"),
        ("0::/system.slice/jupyterhub.service", 1003, "user 1003"),
        ("0::/user.slice/user-1003.slice/session-2.scope", 1003, "user 1003"),
        (
            "0::/user.slice/user-1003.slice/user@1003.service/app.slice/x.service",
            1003,
            "user 1003",
        ),
        # systemd-run --user --unit jupyter-ada makes nobody Ada.
        (
            "0::/user.slice/user-1003.slice/user@1003.service/app.slice/jupyter-ada.service",
            1003,
            "user 1003",
        ),
        ("4:memory:/plain\n0::/", 7, "user 7"),
    ],
)
def test_owner(text: str, uid: int, owner: str) -> None:
    assert str(owner_of(parse_cgroup(text), uid)) == owner


def test_memory_path_is_where_the_limits_are() -> None:
    assert parse_cgroup("4:memory:/docker/x\n0::/other").memory_path == "/docker/x"
    assert parse_cgroup("3:cpu,cpuacct:/y\n0::/other").memory_path == "/other"
    assert parse_cgroup("").memory_path is None


def member(pid: int, uid: int, private: int, merged: int | None, **more: object) -> Member:
    base = Member(
        pid=pid,
        uid=uid,
        workload=parse_cgroup("0::/"),
        private_bytes=private * MIB,
        unseen_bytes=0,
        merged_bytes=None if merged is None else merged * MIB,
        zero_bytes=0,
        table_bytes=MIB,
        donor=False,
    )
    return replace(base, **more)  # type: ignore[arg-type]  # the tests name real fields


def taken(*members: Member, sharing_mib: int = 0, **more: object) -> KsmSample:
    seen = replace(opted(len(members), 0, 0), members=members)
    return sample(opted_in=seen, pages_sharing=sharing_mib * 256, **more)


def test_parts_sum_up_to_the_saving() -> None:
    found = shares(
        taken(member(1, 1, 100, 80), member(2, 2, 50, 40), member(3, 2, 10, 0), sharing_mib=60)
    )
    assert [str(share.owner) for share in found] == ["user 1", "user 2"]
    assert [share.processes for share in found] == [1, 2]
    assert sum(share.saved_bytes or 0 for share in found) == 60 * MIB
    assert found[0].profit_bytes == 40 * MIB - MIB


def test_room_counts_what_the_next_student_leaves_unshared() -> None:
    """16 GiB, 12 available, 1.6 kept free; each brings 300 MiB, 50 of it and 1 of tables stay."""
    found = room(
        taken(
            *(member(n, n, 300, 250) for n in range(1, 5)),
            member(9, 0, 300, 300, donor=True),
            sharing_mib=1000,
        ),
        settled=True,
    )
    free = 12 * 1024 - int(16 * 1024 * 0.1) - 1
    assert (found.students, found.bytes_each) == (4, 300 * MIB)
    assert found.unmerged_bytes_each == 51 * MIB
    assert found.room_for == pytest.approx((free - 300) // 51 + 1, abs=1)
    assert found.room_unmerged == pytest.approx((free - 1000) // 300, abs=1)


def test_what_a_fork_shares_is_counted_once() -> None:
    """A template of 200 MiB and a kernel forked from it, which has written to a fifth of that."""
    template, kernel = member(1, 1, 200, 0), member(2, 1, 260, 0, forked_from=1)
    found = room(taken(template, kernel), settled=True)
    assert found.bytes_each == (200 + 260 - 160) * MIB
    assert found.unmerged_bytes_each == (300 + 2) * MIB
    # Merged with other students, 180 of the first and 240 of the second.
    merged = (
        replace(template, merged_bytes=180 * MIB),
        replace(kernel, merged_bytes=240 * MIB),
    )
    found = room(taken(*merged, sharing_mib=420), settled=True)
    assert found.bytes_each == 300 * MIB
    # 144 of the 160 that both map are merged: 300 less 180 and 96, and two of tables.
    assert found.unmerged_bytes_each == (300 - 276 + 2) * MIB
    free = 12 * 1024 - int(16 * 1024 * 0.1) - 1
    assert found.room_unmerged == pytest.approx((free - (420 - 144)) // 300, abs=1)


def test_no_room_when_not_even_one_fits_whole() -> None:
    found = room(taken(member(1, 1, 300, 290), available_bytes=1700 * MIB), settled=True)
    assert found.room_for == 0


@pytest.mark.parametrize(
    ("given", "settled", "word"),
    [
        (sample(opted_in=replace(opted(0, 0), processes=None)), True, "may not see"),
        (sample(), True, "no student"),
        (taken(member(1, 1, 300, None)), True, "does not tell"),
        (taken(member(1, 1, 300, 10)), False, "under way"),
    ],
)
def test_unknown_is_said_not_guessed(given: KsmSample, settled: bool, word: str) -> None:
    found = room(given, settled=settled)
    assert found.room_for is None
    assert word in found.why


def test_invitations() -> None:
    pod, host = parse_cgroup(f"0::/kubepods/pod{UID}/{A}"), parse_cgroup("0::/")
    assert Invitation().allows(host, 0)
    only = Invitation(cgroup=re.compile("kubepods"), uids=parse_uids("1000-1999,3000"))
    assert only.allows(pod, 1000)
    assert only.allows(pod, 3000)
    assert not only.allows(pod, 2000)
    assert not only.allows(host, 1000)


@pytest.mark.parametrize("text", ["", "a", "5-1", "-1"])
def test_bad_users(text: str) -> None:
    with pytest.raises(ValueError, match=r".*"):
        parse_uids(text)
