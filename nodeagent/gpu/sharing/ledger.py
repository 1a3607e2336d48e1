"""Reservations: two spawns in the same second do not get the same gigabytes. Pure."""

from collections.abc import Iterable
from dataclasses import dataclass

from nodeagent.gpu.sharing.request import Mode


@dataclass(frozen=True, kw_only=True, slots=True)
class Reservation:
    """Memory promised to a pod that does not use it yet. `expires`: epoch seconds."""

    pod: str
    user: str | None
    node: str
    uuid: str
    memory_bytes: int
    mode: Mode
    expires: float


@dataclass(frozen=True, kw_only=True)
class Ledger:
    """`version` grows with each change; a decision on an older one may have to be made again."""

    version: int = 0
    entries: tuple[Reservation, ...] = ()

    def __post_init__(self) -> None:
        ordered = sorted(self.entries, key=lambda entry: (entry.pod, entry.node, entry.uuid))
        object.__setattr__(self, "entries", tuple(ordered))

    def live(self, now: float) -> tuple[Reservation, ...]:
        """Those that hold at this moment."""
        return tuple(entry for entry in self.entries if entry.expires > now)

    def of(self, pod: str, now: float) -> tuple[Reservation, ...]:
        """The pod's own."""
        return tuple(entry for entry in self.live(now) if entry.pod == pod)


class LedgerMovedError(Exception):
    """Somebody reserved since the decision was made: decide again on the ledger of now."""


def reserve(
    ledger: Ledger, wanted: Iterable[Reservation], *, seen_version: int, now: float
) -> Ledger:
    """The ledger with these of one pod in place of its former ones; expired entries leave.

    Unchanged when the pod holds the same devices and bytes already (a hook that is run again).
    """
    new = tuple(wanted)
    pods = {entry.pod for entry in new}
    if len(pods) != 1:
        raise ValueError(f"Reservations of {len(pods)} pods at once")
    held = ledger.of(next(iter(pods)), now)

    def claims(entries: tuple[Reservation, ...]) -> set[tuple[str, str, int, str]]:
        return {(each.node, each.uuid, each.memory_bytes, each.mode) for each in entries}

    if claims(held) == claims(new):
        return ledger
    if seen_version != ledger.version:
        raise LedgerMovedError(
            f"The ledger is at version {ledger.version}, the decision saw {seen_version}"
        )
    others = tuple(entry for entry in ledger.live(now) if entry.pod not in pods)
    return Ledger(version=ledger.version + 1, entries=others + new)


def release(ledger: Ledger, pod: str) -> Ledger:
    """The ledger without a pod that runs, failed or was given up."""
    rest = tuple(entry for entry in ledger.entries if entry.pod != pod)
    if len(rest) == len(ledger.entries):
        return ledger
    return Ledger(version=ledger.version + 1, entries=rest)
