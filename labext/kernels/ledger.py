"""What became of each kernel this server started: the provisioner writes, the status reads."""

import os
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .notice import Notice, image_of

Outcome = Literal["on", "part", "off", "refused", "uncertain"]
AlignmentState = Literal["aligned", "off", "refused", "unsuited"]


@dataclass(frozen=True, kw_only=True)
class Alignment:
    """How one kernel's start came out.

    "aligned"; "off" by a setting, or no IPython kernel; "refused": something failed, and a stock
    kernel was started in its place; "unsuited": this student's own folders or variables need a
    stock kernel. `reason` explains all but "aligned". `spare`: it had been ready before it was
    wanted. `dropped`: modules that could not be preloaded, with the reason. `fingerprint`: see
    `aligned.fingerprint`. `whole`: all its memory is opted in, also what comes later. `notes`: what
    of the aligned start did not work, while the rest did.
    """

    state: AlignmentState
    reason: str | None = None
    spare: bool = False
    dropped: tuple[tuple[str, str], ...] = ()
    fingerprint: Mapping[str, Any] | None = None
    report_file: str | None = None
    whole: bool = True
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class KernelRecord:
    """One running kernel.

    `outcome`: "on" opted in; "part": only what was loaded at its start; "off" switched off by a
    setting; "refused" started as stock because opting in failed; "uncertain" opted in before exec
    on a Linux that may forget it. `reason` explains all but "on". `pid` is None when the process
    could not be told.
    """

    kernel_id: str
    pid: int | None
    outcome: Outcome
    reason: str | None = None
    alignment: Alignment | None = None


@dataclass(kw_only=True)
class KernelLedger:
    """The running kernels by id, and why ours is not the default provisioner (None: it is).

    `is_default` is None until somebody tried to make it the default. `never_aligned_because`: a
    refusal that will not change while this server runs. `dropped_modules`: those that failed or
    were too slow to be preloaded, with the reason; they are not tried again. `changed` is called
    with all records when one comes or goes.
    """

    records: dict[str, KernelRecord] = field(default_factory=dict)
    is_default: bool | None = None
    not_default_because: str | None = None
    never_aligned_because: str | None = None
    dropped_modules: dict[str, str] = field(default_factory=dict)
    changed: Callable[[Iterable[KernelRecord]], None] | None = None

    def note(self, record: KernelRecord) -> None:
        """Remember a start; a restart replaces what was known."""
        self.records[record.kernel_id] = record
        self._tell()

    def forget(self, kernel_id: str) -> None:
        """Drop a kernel that ended; unknown ids are fine."""
        self.records.pop(kernel_id, None)
        self._tell()

    def _tell(self) -> None:
        if self.changed is not None:
            self.changed(list(self.records.values()))


#: One per process: jupyter_client constructs provisioners itself, so there is nobody to pass it in.
notice = Notice(image_of(os.environ))
ledger = KernelLedger(changed=notice.show)
