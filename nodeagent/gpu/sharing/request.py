"""What is asked for."""

from dataclasses import dataclass
from typing import Literal

Want = Literal["share", "exclusive", "mig"]
Work = Literal["interactive", "batch", "exam"]
Mode = Literal["exclusive", "time_slicing", "mps", "mig"]


@dataclass(frozen=True, kw_only=True)
class Request:
    """One notebook or job. `pod`: its key, namespace/name; asking again gives the same answer.

    `memory_bytes`: what it needs, without CUDA's context; None: its usual peak, else the policy's.
    `gpus` above 1 are whole ones on one node. ValueError: what cannot be asked.
    """

    pod: str
    user: str | None = None
    work: Work = "interactive"
    want: Want = "share"
    memory_bytes: int | None = None
    usual_peak_bytes: int | None = None
    gpus: int = 1
    mig_profile: str | None = None
    previous: str | None = None
    """UUID it had last time; kept unless another is clearly better."""

    def __post_init__(self) -> None:
        if not self.pod:
            raise ValueError("A request without a pod name")
        if self.gpus < 1 or (self.gpus > 1 and self.want != "exclusive"):
            raise ValueError(f"{self.gpus} GPUs to {self.want}: several GPUs are exclusive ones")
        for size in (self.memory_bytes, self.usual_peak_bytes):
            if size is not None and size < 0:
                raise ValueError(f"A request for {size} bytes")
        if self.mig_profile is not None and self.want != "mig":
            raise ValueError(f"MIG profile {self.mig_profile} with want {self.want}")
