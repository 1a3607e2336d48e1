"""May this GPU be given out at all: yes, no, or not known. Pure; the first rule that holds decides.

Xid classes: 48, 64, 74, 79, 95, 119, 120 end a GPU's use; 63 and 94 are noted; 13, 31, 43, 45, 68
and 109 are a program's own fault; others lower the confidence. Source: NVIDIA's Xid catalogue, the
class of fatal ones is this project's policy.
"""

from dataclasses import dataclass
from typing import Literal

from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.rejection import Code
from nodeagent.gpu.snapshot import GpuFacts, Snapshot

FATAL_XIDS = frozenset({48, 64, 74, 79, 95, 119, 120})
NOTED_XIDS = frozenset({63, 94})
PROGRAM_XIDS = frozenset({13, 31, 43, 45, 68, 109})

Confidence = Literal["high", "medium", "low"]
LEVELS: tuple[Confidence, ...] = ("low", "medium", "high")


@dataclass(frozen=True, kw_only=True, slots=True)
class Gate:
    """`code` None: usable, with notes that lower the confidence to `confidence`."""

    code: Code | None = None
    detail: str = ""
    notes: tuple[str, ...] = ()
    confidence: Confidence = "high"


def lower(one: Confidence, other: Confidence) -> Confidence:
    """The lower of two."""
    return min(one, other, key=LEVELS.index)


def age_gate(snapshot: Snapshot, now: float, policy: Policy) -> Gate | None:
    """Whether the facts are of now; None: they are."""
    age = now - snapshot.taken
    if age < -policy.clock_skew_seconds:
        return Gate(code="clock", detail=f"read {-age:.0f} s in the future")
    if age > policy.stale_ticks * snapshot.tick_seconds:
        return Gate(code="stale", detail=f"read {age:.0f} s ago")
    return None


def node_gate(snapshot: Snapshot) -> Gate:
    """The whole node: its driver, and GPUs that the agent does not see."""
    if snapshot.driver.known is None:
        return Gate(code="no_driver", detail=snapshot.driver.text())
    seen = sum(gpu.kind == "gpu" for gpu in snapshot.gpus)
    expected = snapshot.expected_gpus.known
    if expected is not None and seen < expected:
        if seen == 0:
            return Gate(code="no_access", detail=f"0 of {expected} GPUs visible")
        note = f"{seen} of the node's {expected} GPUs are visible"
        return Gate(notes=(note,), confidence="medium")
    return Gate()


def gpu_gate(gpu: GpuFacts, policy: Policy) -> Gate:
    """One GPU or instance, apart from its memory."""
    if gpu.cordoned:
        return Gate(code="cordoned")
    state = gpu.health.state
    if state.known in ("lost", "reset_required", "recovering"):
        return Gate(code="unhealthy", detail=str(state.known))
    if gpu.health.remap_failed.known:
        return Gate(code="unhealthy", detail="no spare memory row is left")
    recent = [xid for xid in gpu.health.xids if xid.seconds_ago <= policy.xid_window_seconds]
    fatal = next((xid for xid in recent if xid.code in FATAL_XIDS), None)
    if fatal is not None:
        return Gate(code="xid", detail=f"Xid {fatal.code}, {fatal.seconds_ago:.0f} s ago")
    if gpu.mig_mode.known == "changing":
        return Gate(code="mig_changing")
    if gpu.kind == "gpu" and gpu.mig_mode.known == "on":
        return Gate(code="mig_parent")
    if gpu.compute_mode.known == "prohibited":
        return Gate(code="prohibited")
    if gpu.mps_state.known == "fault":
        return Gate(code="mps_fault")
    return _noted(gpu, [xid.code for xid in recent if xid.code not in PROGRAM_XIDS])


def _noted(gpu: GpuFacts, xids: list[int]) -> Gate:
    notes: list[str] = []
    confidence: Confidence = "high"
    if gpu.health.remap_pending.known:
        notes.append("a bad memory row waits for a reset")
        confidence = "medium"
    for code in sorted(set(xids)):
        notes.append(f"Xid {code} was seen")
        confidence = lower(confidence, "medium" if code in NOTED_XIDS else "low")
    for label, reading, level in (
        ("health", gpu.health.state, "low"),
        ("compute mode", gpu.compute_mode, "medium"),
        ("MIG mode", gpu.mig_mode, "medium"),
        ("MPS", gpu.mps_state, "medium"),
    ):
        # "unsupported" is an answer: such a card has no MIG, such a board no ECC.
        if reading.status in ("unknown", "stale"):
            notes.append(f"{label} is {reading.status}")
            confidence = lower(confidence, "low" if level == "low" else "medium")
    return Gate(notes=tuple(notes), confidence=confidence)
