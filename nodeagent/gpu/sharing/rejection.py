"""Why a GPU was not taken: a code for programs, a sentence for people."""

from typing import Literal, NamedTuple

Code = Literal[
    "clock",
    "stale",
    "no_driver",
    "no_access",
    "cordoned",
    "unhealthy",
    "xid",
    "mig_changing",
    "mig_parent",
    "prohibited",
    "mps_fault",
    "memory_unknown",
    "memory_implausible",
    "host_memory",
    "exclusive_process",
    "kind",
    "mig_profile",
    "memory",
    "clients",
    "mps_other_users",
    "in_use",
    "occupants_unknown",
    "taken",
    "user_limit",
    "too_few",
]

UNKNOWN_CODES: frozenset[Code] = frozenset(
    {"clock", "stale", "no_driver", "no_access", "memory_unknown", "occupants_unknown"}
)

_TEXTS: dict[Code, str] = {
    "clock": "the clocks of this node and of the decision differ",
    "stale": "its facts are too old",
    "no_driver": "NVML does not answer",
    "no_access": "the agent sees none of the node's GPUs",
    "cordoned": "an operator took it out of use",
    "unhealthy": "it is lost, needs a reset or has just come back",
    "xid": "the driver reported a fatal fault",
    "mig_changing": "its MIG mode is being changed",
    "mig_parent": "it is cut into MIG instances, which are given out instead",
    "prohibited": "its compute mode is prohibited",
    "mps_fault": "its MPS server is in fault until all old clients have ended",
    "memory_unknown": "its memory is not known",
    "memory_implausible": "its memory numbers contradict each other",
    "host_memory": "it uses the host's memory, which is short",
    "exclusive_process": "it takes one process only (compute mode) and MPS does not run",
    "kind": "it is not of the kind that was asked for",
    "mig_profile": "it is another MIG profile",
    "memory": "too little memory is free",
    "clients": "it has as many clients as it may have",
    "mps_other_users": "its MPS server has clients of other users",
    "in_use": "somebody uses it or was given it",
    "occupants_unknown": "who uses it is not known",
    "taken": "it was given to one user alone",
    "user_limit": "this user has as many shares as one may have",
    "too_few": "too few GPUs of this node are free together",
}


class Rejection(NamedTuple):
    """A tuple, because a fleet has thousands. `uuid` None: all GPUs of the node.

    `have`, `need`: bytes for `memory` and `host_memory`, else counts; None: no number applies.
    """

    node: str
    uuid: str | None
    code: Code
    have: int | None = None
    need: int | None = None
    detail: str = ""

    @property
    def text(self) -> str:
        """One sentence without a full stop."""
        if self.have is None or self.need is None:
            return _TEXTS[self.code] + (f" ({self.detail})" if self.detail else "")
        if self.code in ("memory", "host_memory"):
            return f"{_TEXTS[self.code]} ({gib(self.have)} of {gib(self.need)})"
        return f"{_TEXTS[self.code]} ({self.have} of {self.need})"


def gib(size: int) -> str:
    """`1.5 GiB`."""
    return f"{size / 2**30:.1f} GiB"
