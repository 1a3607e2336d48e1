"""Takes all merging back, when the operator says so and memory suffices."""

from dataclasses import dataclass

from nodeagent.errors import AgentError
from nodeagent.ksm.facts import KsmSample
from nodeagent.ksm.sysfs import KsmDir

MARGIN = 1.25
"""Available memory must be so many times what merging saves."""
LIMIT_MARGIN = 0.95


class UnmergeRefusedError(AgentError):
    """Unmerging now would take more memory than there is."""

    code = "unmerge-refused"
    exit_code = 10


@dataclass(frozen=True, kw_only=True)
class Unmerged:
    """What came back to be memory of its own."""

    saved_bytes: int


def objection(sample: KsmSample) -> str | None:
    """Why unmerging would be dangerous now; None: memory suffices. Pure."""
    needed = int(sample.saved_bytes * MARGIN)
    if needed > sample.available_bytes:
        return (
            f"Unmerging needs {needed / 2**20:,.0f} MiB with a margin, and "
            f"{sample.available_bytes / 2**20:,.0f} MiB are available"
        )
    if sample.blind is not None:
        return f"The containers' memory limits cannot be seen. {sample.blind.message}"
    for charge in sample.charges:
        if charge.alone_bytes > LIMIT_MARGIN * charge.limit_bytes:
            return (
                f"{charge.path} would be charged {charge.alone_bytes / 2**20:,.0f} of its "
                f"{charge.limit_bytes / 2**20:,.0f} MiB"
            )
    return None


def unmerge(ksm: KsmDir, sample: KsmSample) -> Unmerged:
    """Write run=2, then 0 again; blocks for some 2 us per merged page.

    UnmergeRefusedError when memory does not suffice; KsmError when the kernel refuses.
    """
    reason = objection(sample)
    if reason is not None:
        raise UnmergeRefusedError(
            reason, fix="End kernels or raise the limit first. Merged memory is safe as it is."
        )
    ksm.unmerge()
    return Unmerged(saved_bytes=sample.saved_bytes)
