"""Accounts of containers and users: the same processes from two sides."""

from __future__ import annotations

from dataclasses import replace

from nodeagent.ksm.accounts import by_container, by_user
from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.processes import Member
from nodeagent.ksm.room import shares
from nodeagent.view import workloads_json
from nodeagent.workloads.cgroup import parse_cgroup
from tests.unit.nodeagent.support import MIB, opted, sample, status

POD, LAB, SIDE = "1" * 32, "a" * 64, "b" * 64


def member(pid: int, uid: int, cgroup: str, merged: int | None) -> Member:
    return Member(
        pid=pid,
        uid=uid,
        workload=parse_cgroup(cgroup),
        private_bytes=100 * MIB,
        unseen_bytes=0,
        merged_bytes=None if merged is None else merged * MIB,
        zero_bytes=2 * MIB,
        table_bytes=MIB,
        donor=False,
    )


def taken(*members: Member, sharing_mib: int) -> KsmSample:
    seen = replace(opted(len(members), 100 * len(members)), members=members)
    return sample(opted_in=seen, pages_sharing=sharing_mib * 256)


SEEN = taken(
    member(1, 1000, f"0::/kubepods/pod{POD}/{LAB}", 60),
    member(2, 1000, f"0::/kubepods/pod{POD}/{LAB}", 40),
    member(3, 1001, f"0::/kubepods/pod{POD}/{SIDE}", 20),
    member(4, 1001, "0::/user.slice", 0),
    sharing_mib=90,
)


def test_containers_of_a_pod_are_told_apart() -> None:
    found = by_container(SEEN)
    assert list(found) == [(POD, LAB), (POD, SIDE)]
    assert found[(POD, LAB)].processes == 2
    assert found[(POD, LAB)].merged_bytes == 100 * MIB
    assert found[(POD, LAB)].saved_bytes == 75 * MIB + 4 * MIB
    assert found[(POD, LAB)].profit_bytes == 77 * MIB


def test_users_sum_up_to_the_nodes_saving() -> None:
    found = by_user(SEEN)
    assert list(found) == [1000, 1001]
    assert sum(each.saved_bytes or 0 for each in found.values()) == (90 + 4 * 2) * MIB
    assert sum(each.saved_bytes or 0 for each in shares(SEEN)) == (90 + 4 * 2) * MIB


def test_a_kernel_that_does_not_tell_gives_no_zero() -> None:
    found = by_user(taken(member(1, 5, "0::/", None), sharing_mib=10))
    assert found[5].merged_bytes is None
    assert found[5].profit_bytes is None


def test_the_operator_gets_all_four_sides() -> None:
    told = workloads_json(status(taken=SEEN))
    assert [each["uid"] for each in told["users"]] == [1000, 1001]
    assert told["containers"][0]["container"] == LAB
    (first, *_) = told["processes"]
    assert (first["pid"], first["container"]) == (1, LAB)
    assert first["profit_bytes"] == 45 * MIB + 2 * MIB - MIB
    assert first["zero_bytes"] == 2 * MIB
