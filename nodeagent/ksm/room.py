"""How many students the node carries, and how many more would fit. Pure.

The model, to be read with the numbers: the next student is like the mean of those here. Its private
memory arrives whole and is merged within a minute, so one whole student must fit at any time; what
stays is its part that nobody shares, and KSM's tables. A tenth of the node is kept free.

Kernels of one server are forked from one process: what they have in common with it is there once,
merged or not, though every process maps it.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from nodeagent.ksm.accounts import account, saved_ratio
from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.processes import Member
from nodeagent.workloads.owner import Owner

RESERVE = 0.10
WRITTEN = 0.2
"""Of what it was forked from, a kernel writes to 22 of 157 MB at its start, to 31 after imports."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """One owner's part. None: this kernel does not tell."""

    owner: Owner
    processes: int
    private_bytes: int
    merged_bytes: int | None
    zero_bytes: int | None
    saved_bytes: int | None
    """Its part of the node's saving; the parts sum up to the whole."""
    table_bytes: int
    donor: bool
    """The node's own."""
    invited: bool

    @property
    def profit_bytes(self) -> int | None:
        """Saving less KSM's tables; may be negative."""
        return None if self.saved_bytes is None else self.saved_bytes - self.table_bytes


@dataclass(frozen=True, kw_only=True)
class Room:
    """None: not known, and `why` says what is missing."""

    students: int | None
    """Owners of opted-in processes, the node's own donors not counted."""
    bytes_each: int | None
    """Mean private memory of a student, processes that did not opt in included."""
    unmerged_bytes_each: int | None
    """The part of it that nobody shares, with KSM's tables."""
    room_for: int | None
    """Further students that fit, merged."""
    room_unmerged: int | None
    """The same had nothing been merged; negative: some of those here would not fit."""
    why: str


def shares(sample: KsmSample) -> tuple[Share, ...]:
    """One per owner, the most private memory first. Donors and uninvited processes are in it."""
    groups: dict[Owner, list[int]] = {}
    members = sample.opted_in.members
    for number, member in enumerate(members):
        groups.setdefault(member.owner, []).append(number)
    ratio = saved_ratio(sample)
    found = []
    for owner, numbers in groups.items():
        mine = [members[number] for number in numbers]
        sums = account(mine, ratio)
        found.append(
            Share(
                owner=owner,
                processes=sums.processes,
                private_bytes=sums.private_bytes,
                merged_bytes=sums.merged_bytes,
                zero_bytes=sums.zero_bytes,
                saved_bytes=sums.saved_bytes,
                table_bytes=sums.table_bytes,
                donor=all(member.donor for member in mine),
                invited=all(member.invited for member in mine),
            )
        )
    return tuple(sorted(found, key=lambda share: (-share.private_bytes, share.owner)))


def room(sample: KsmSample, *, settled: bool) -> Room:
    """What fits. `settled`: ksmd has merged what there is; else the answer waits."""
    unknown = {
        "bytes_each": None,
        "unmerged_bytes_each": None,
        "room_for": None,
        "room_unmerged": None,
    }
    if sample.opted_in.processes is None:
        why = "the agent may not see which processes opted in (it needs root and the host's /proc)"
        return Room(students=None, why=why, **unknown)
    students = [member for member in sample.opted_in.members if member.invited and not member.donor]
    count = len({member.owner for member in students})
    if count == 0:
        return Room(students=0, why="no student's kernel runs yet", **unknown)
    twice, twice_merged = in_common(students)
    private = sum(member.private_bytes for member in students) - twice
    private += sample.opted_in.beside_bytes
    merged = [member.merged_bytes for member in students]
    each = private // count
    if None in merged:
        return Room(
            students=count,
            why="this kernel does not tell what a process has merged",
            **(unknown | {"bytes_each": each}),
        )
    shared = sum(amount for amount in merged if amount is not None) - twice_merged
    # Copies kept for all are charged to nobody here: one more student adds none.
    tables = sum(member.table_bytes for member in students)
    stays = max(private - shared + tables, 0) // count
    if not settled:
        return Room(
            students=count,
            why="merging is under way; known when it has come to rest",
            **(unknown | {"bytes_each": each}),
        )
    free = sample.available_bytes - int(sample.total_bytes * RESERVE)
    return Room(
        students=count,
        bytes_each=each,
        unmerged_bytes_each=stays,
        room_for=_fit(free - each, stays),
        # Without merging, what a fork shares would be shared all the same.
        room_unmerged=(free - max(sample.saved_bytes - twice_merged, 0)) // each if each else None,
        why="the next students are taken to be like the mean of those here",
    )


def in_common(members: Sequence[Member]) -> tuple[int, int]:
    """Bytes that forked kernels map a second time, and how many of these are merged. Estimates."""
    by_pid = {member.pid: member for member in members}
    twice = twice_merged = 0
    for member in members:
        template = by_pid.get(member.forked_from or -1)
        if template is None or not template.private_bytes:
            continue
        both = int(min(member.private_bytes, template.private_bytes) * (1 - WRITTEN))
        share = min((template.merged_bytes or 0) / template.private_bytes, 1.0)
        twice += both
        twice_merged += min(int(both * share), member.merged_bytes or 0)
    return twice, twice_merged


def _fit(free: int, stays: int) -> int | None:
    if stays <= 0:
        return None
    return max(0, free // stays + 1) if free >= 0 else 0
