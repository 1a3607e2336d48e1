"""What a consumer needs of a decision, its own or one that an agent made. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from nodeagent.gpu.canonical import build
from nodeagent.gpu.sharing.gate import Confidence
from nodeagent.gpu.sharing.request import Mode
from nodeagent.gpu.sharing.verdict import Decision, Verdict


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Fields as in `Decision`. `confirmed`: the node's own agent keeps the reservation."""

    verdict: Verdict
    reason: str
    need_bytes: int
    confidence: Confidence
    snapshot_id: str
    policy_id: str
    node: str | None = None
    devices: tuple[str, ...] = ()
    mode: Mode | None = None
    fallback: Literal["allocation_only", "deny"] | None = None
    wait_seconds: float | None = None
    confirmed: bool = False

    @property
    def placed(self) -> bool:
        """Whether it names GPUs."""
        return self.verdict in ("share", "exclusive") and self.node is not None


_SHARED = tuple(name for name in Answer.__dataclass_fields__ if name != "confirmed")


def answer_of(decision: Decision) -> Answer:
    """Of a decision made here."""
    return Answer(**{name: getattr(decision, name) for name in _SHARED})


def answer_from(raw: Mapping[str, Any]) -> Answer:
    """Of a decision's JSON, from an agent that keeps it. ShapeError: not one."""
    return build(Answer, {name: raw[name] for name in _SHARED if name in raw} | {"confirmed": True})
