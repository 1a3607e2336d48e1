"""Merged memory by container and by user, beside the shares of whole students. Pure.

A pod's containers have accounts of their own, and one user may have several pods. Sums of the same
processes from two sides: the totals of both are equal.
"""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import TypeVar

from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.processes import Member

Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Account:
    """Bytes. None: this kernel does not tell."""

    processes: int
    private_bytes: int
    merged_bytes: int | None
    zero_bytes: int | None
    saved_bytes: int | None
    """Its part of the node's saving; all parts sum up to it."""
    table_bytes: int

    @property
    def profit_bytes(self) -> int | None:
        """Saving less KSM's tables; may be negative."""
        return None if self.saved_bytes is None else self.saved_bytes - self.table_bytes


def saved_ratio(sample: KsmSample) -> float:
    """Of a merged page, what counts as saved: ksm_merging_pages counts the kept copy, too."""
    mapped = sum(member.merged_bytes or 0 for member in sample.opted_in.members)
    kept = sample.pages_sharing * sample.page_bytes
    return min(kept / mapped, 1.0) if mapped else 0.0


def account(members: list[Member], ratio: float) -> Account:
    """Of these processes together. `ratio`: see `saved_ratio`."""
    told = [member.merged_bytes for member in members if member.merged_bytes is not None]
    zero = [member.zero_bytes for member in members if member.zero_bytes is not None]
    return Account(
        processes=len(members),
        private_bytes=sum(member.private_bytes for member in members),
        merged_bytes=sum(told) if told else None,
        zero_bytes=sum(zero) if zero else None,
        saved_bytes=int(sum(told) * ratio) + sum(zero) if told else None,
        table_bytes=sum(member.table_bytes for member in members),
    )


def accounts(sample: KsmSample, key: Callable[[Member], Key | None]) -> dict[Key, Account]:
    """One per value of `key`, the most private memory first; None belongs to nobody."""
    groups: dict[Key, list[Member]] = {}
    for member in sample.opted_in.members:
        value = key(member)
        if value is not None:
            groups.setdefault(value, []).append(member)
    ratio = saved_ratio(sample)
    found = {value: account(members, ratio) for value, members in groups.items()}
    return dict(sorted(found.items(), key=lambda pair: (-pair[1].private_bytes, str(pair[0]))))


def by_container(sample: KsmSample) -> dict[tuple[str | None, str], Account]:
    """By (pod, container)."""
    return accounts(
        sample,
        lambda member: (
            None
            if member.workload.container_id is None
            else (member.workload.pod_uid, member.workload.container_id)
        ),
    )


def by_user(sample: KsmSample) -> dict[int, Account]:
    """By the user id that the host sees."""
    return accounts(sample, lambda member: member.uid)
