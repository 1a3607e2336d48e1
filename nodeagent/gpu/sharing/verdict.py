"""The answer, with everything it was made of."""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.sharing.gate import Confidence
from nodeagent.gpu.sharing.ledger import Reservation
from nodeagent.gpu.sharing.rejection import Rejection
from nodeagent.gpu.sharing.request import Mode

Verdict = Literal["share", "exclusive", "wait", "unknown"]

LIMITS: dict[Mode, tuple[str, ...]] = {
    "exclusive": (),
    "time_slicing": (
        "nothing stops a neighbour from taking more memory than expected",
        "latency grows with the number of clients that work at the same time",
    ),
    "mps": (
        "a memory limit holds per process: three kernels of one notebook have it three times",
        "one client's fatal fault ends all clients, and the server takes no new ones until then",
    ),
    "mig": ("the instance's size is fixed",),
}


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """A fact that the answer rests on, as it was read."""

    name: str
    reading: str


@dataclass(frozen=True, kw_only=True)
class Points:
    """A part of the score."""

    name: str
    points: float


@dataclass(frozen=True, kw_only=True)
class Candidate:
    """A GPU that fits, and its score."""

    node: str
    uuid: str
    points: float


@dataclass(frozen=True, kw_only=True)
class WouldFit:
    """What would change a no. `missing_bytes` 0: it is not about memory. `seconds` None: no telling
    when."""

    node: str
    uuid: str
    text: str
    missing_bytes: int
    seconds: float | None


@dataclass(frozen=True, kw_only=True)
class Decision:
    """`reason`: one line for the person who asked. `devices`: UUIDs, for share and exclusive."""

    verdict: Verdict
    pod: str
    reason: str
    need_bytes: int
    node: str | None = None
    devices: tuple[str, ...] = ()
    mode: Mode | None = None
    limits: tuple[str, ...] = ()
    fallback: Literal["allocation_only", "deny"] | None = None
    """For unknown: what the consumer does."""
    wait_seconds: float | None = None
    would_fit: tuple[WouldFit, ...] = ()
    score: tuple[Points, ...] = ()
    others: tuple[Candidate, ...] = ()
    """The next best, at most three."""
    rejected: tuple[Rejection, ...] = ()
    evidence: tuple[Evidence, ...] = ()
    notes: tuple[str, ...] = ()
    promised_share: float | None = None
    """With this newcomer, of the GPU's memory; above 1 it is promised twice."""
    confidence: Confidence
    reservations: tuple[Reservation, ...] = ()
    """To be put into the ledger."""
    snapshot_id: str
    """Of all snapshots together."""
    policy_id: str
    ledger_version: int
