"""Which devices a server is given, in the words of the container toolkit and of CUDA. Pure."""

from dataclasses import dataclass

from hubext.settings import Gpus
from nodeagent.gpu.fleet.answer import Answer


@dataclass(frozen=True, kw_only=True)
class Devices:
    """`uuids` empty: none at all. `node`: where they are."""

    uuids: tuple[str, ...]
    node: str | None

    @property
    def container_environment(self) -> dict[str, str]:
        """For the NVIDIA container toolkit; `void`: no GPU and no driver libraries."""
        return {"NVIDIA_VISIBLE_DEVICES": ",".join(self.uuids) or "void"}

    @property
    def process_environment(self) -> dict[str, str]:
        """For a plain process: what the toolkit would read, and what CUDA itself reads."""
        return self.container_environment | {"CUDA_VISIBLE_DEVICES": ",".join(self.uuids) or "-1"}


def devices(answer: Answer, gpus: Gpus) -> Devices | None:
    """What to give; None: the hub's own default stands."""
    if answer.placed:
        return Devices(uuids=answer.devices, node=answer.node)
    denied = answer.verdict == "unknown" and answer.fallback == "deny"
    if denied or (answer.verdict == "wait" and gpus.when_full == "without"):
        return Devices(uuids=(), node=None)
    return None
