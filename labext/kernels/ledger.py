"""What became of each kernel this server started: the provisioner writes, the status reads."""

from dataclasses import dataclass, field
from typing import Literal

Outcome = Literal["on", "off", "refused", "uncertain"]


@dataclass(frozen=True, kw_only=True)
class KernelRecord:
    """One running kernel.

    `outcome`: "on" opted in; "off" switched off by a setting; "refused" started as stock because
    opting in failed; "uncertain" opted in before exec on a Linux that may forget it. `reason`
    explains all but "on". `pid` is None when the process could not be told.
    """

    kernel_id: str
    pid: int | None
    outcome: Outcome
    reason: str | None = None


@dataclass(kw_only=True)
class KernelLedger:
    """The running kernels by id, and why ours is not the default provisioner (None: it is).

    `default` is None until somebody tried to make it the default.
    """

    records: dict[str, KernelRecord] = field(default_factory=dict)
    is_default: bool | None = None
    not_default_because: str | None = None

    def note(self, record: KernelRecord) -> None:
        """Remember a start; a restart replaces what was known."""
        self.records[record.kernel_id] = record

    def forget(self, kernel_id: str) -> None:
        """Drop a kernel that ended; unknown ids are fine."""
        self.records.pop(kernel_id, None)


#: One per process: jupyter_client constructs provisioners itself, so there is nobody to pass it in.
ledger = KernelLedger()
