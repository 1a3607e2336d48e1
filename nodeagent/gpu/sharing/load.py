"""How busy a GPU is over minutes. Pure. An unknown load stays unknown; it is never idle."""

from dataclasses import dataclass

from nodeagent.gpu.sharing.memory import holds_memory
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.snapshot import GpuFacts


@dataclass(frozen=True, kw_only=True, slots=True)
class Load:
    """`busy`: share of the last 15 minutes, its 90th percentile where that is measured; None:
    unknown. `active`: tenants with work; None where one of them cannot be told."""

    busy: float | None
    active: int | None


def load(gpu: GpuFacts, policy: Policy) -> Load:
    """From the GPU's busy share and its processes' duty."""
    busy = gpu.busy_p90_15m.known
    if busy is None:
        busy = gpu.busy_15m.known
    processes = gpu.processes.known
    if busy is not None and not 0 <= busy <= 1:
        busy = None
    if processes is None:
        return Load(busy=busy, active=None)
    active: set[str] = set()
    told = True
    for process in processes:
        duty = process.duty_15m.known
        if not holds_memory(process):
            continue
        if duty is None:
            told = False
        elif duty > policy.active_duty:
            active.add(process.owner.known or f"pid {process.pid}")
    return Load(busy=busy, active=len(active) if told else None)
