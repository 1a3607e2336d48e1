"""When a template, kept ready for the next kernel, is worth its memory. Pure."""

from dataclasses import dataclass

_TINY_LIMIT = 1 << 30
_LONGEST_SECONDS = 4 * 3600.0
#: What one takes before anything of it is merged; measured 166 MB with the default modules.
USUAL_BYTES = 160 << 20
#: What it takes beside a kernel that was forked from it.
BESIDE_KERNEL_BYTES = 32 << 20


@dataclass(frozen=True, kw_only=True)
class Surroundings:
    """What a decision needs: this server's memory (bytes; None: not known) and the machine's.

    `wanted`: nobody switched spares off. `node_merges`: most of a spare will be merged away.
    """

    wanted: bool
    limit_bytes: int | None
    used_bytes: int | None
    available_bytes: int | None
    node_merges: bool


@dataclass(frozen=True, kw_only=True)
class Spare:
    """The spare there is."""

    age_seconds: float
    pid: int


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """`keep` one, and `why`, for people."""

    keep: bool
    why: str


def wanted(seen: Surroundings, spare: Spare | None) -> Verdict:
    """Whether to have a spare: to start one when `spare` is None, else to keep it.

    A spare must never be what brings a student to the limit: its whole unmerged size counts, four
    times over, and there has to be room for the student's work besides.
    """
    if not seen.wanted:
        return Verdict(keep=False, why="spares are switched off")
    if not seen.node_merges:
        return Verdict(keep=False, why="this node does not merge pages")
    if spare is not None and spare.age_seconds > _LONGEST_SECONDS:
        return Verdict(keep=False, why="nobody opened a notebook for hours")
    if seen.limit_bytes is not None and seen.limit_bytes < _TINY_LIMIT:
        return Verdict(keep=False, why="the memory limit is below 1 GiB")
    own = USUAL_BYTES if spare is not None else 0
    if seen.limit_bytes is not None and seen.used_bytes is not None:
        room = seen.limit_bytes - seen.used_bytes + own
        if room < 4 * USUAL_BYTES:
            return Verdict(keep=False, why="there is too little room below the memory limit")
    if seen.available_bytes is not None and seen.available_bytes + own < 8 * USUAL_BYTES:
        return Verdict(keep=False, why="the machine is short of memory")
    return Verdict(keep=True, why="there is room for one")


def wanted_for_kernel(seen: Surroundings, spare: None = None) -> Verdict:
    """Whether a kernel that is wanted now shall be forked from a template made for it.

    The kernel needs the memory in either case; what it writes to exists twice then.
    """
    if not seen.wanted:
        return Verdict(keep=False, why="spares are switched off")
    if not seen.node_merges:
        return Verdict(keep=False, why="this node does not merge pages")
    if seen.limit_bytes is not None and seen.used_bytes is not None:
        room = seen.limit_bytes - seen.used_bytes
        if room < 2 * USUAL_BYTES + BESIDE_KERNEL_BYTES:
            return Verdict(keep=False, why="there is too little room below the memory limit")
    if seen.available_bytes is not None and seen.available_bytes < 4 * USUAL_BYTES:
        return Verdict(keep=False, why="the machine is short of memory")
    return Verdict(keep=True, why="there is room for one")
