"""One sentence on the kernels of this server, for the status page."""

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from .ledger import KernelLedger, KernelRecord
from .ledger import ledger as this_servers
from .merged import KsmStat, read_ksm_stat
from .support import Support, probe
from .switch import SWITCH_VARIABLE, is_off

LAYOUT_FIX = "allow personality 0x0040000 in the container's seccomp profile, see docs/kernels.md"


@dataclass(frozen=True, kw_only=True)
class KernelsStatus:
    """`state`: "ok" kernels opt in; "off" somebody's setting; "failed" something refuses."""

    state: Literal["ok", "off", "failed"]
    message: str


def kernels_status(
    *,
    ledger: KernelLedger = this_servers,
    environment: Mapping[str, str] = os.environ,
    ask: Callable[[], Support] = probe,
    read: Callable[[int], KsmStat | None] = read_ksm_stat,
) -> KernelsStatus:
    """Whether this server's kernels opt in to page merging. Reads one small file per kernel."""
    records = [_checked(record, read) for record in ledger.records.values()]
    support = ask()
    if is_off(environment.get(SWITCH_VARIABLE)):
        value = environment[SWITCH_VARIABLE]
        return _off(f"Kernels start without page merging: {SWITCH_VARIABLE}={value}.")
    if not support.available and not any(record.outcome == "part" for record in records):
        return KernelsStatus(
            state="failed",
            message=f"{support.message}. Kernels start as usual. {support.fix}.",
        )
    if ledger.is_default is False and not records:
        return _off(f"Kernels start without page merging: {ledger.not_default_because}.")
    return summarize(records)


def summarize(records: Iterable[KernelRecord]) -> KernelsStatus:
    """Sum up running kernels on a machine that can merge. Pure."""
    kernels = list(records)
    if not kernels:
        return KernelsStatus(state="ok", message="Kernels that you start opt in to page merging.")
    merged = sum(kernel.outcome in {"on", "part"} for kernel in kernels)
    in_part = next((kernel.reason for kernel in kernels if kernel.outcome == "part"), None)
    switched_off = [kernel for kernel in kernels if kernel.outcome == "off"]
    troubled = [kernel for kernel in kernels if kernel.outcome in {"refused", "uncertain"}]
    count = f"{merged} of {len(kernels)} kernels opted in to page merging"
    if troubled:
        others = f" (and {len(troubled) - 1} more)" if len(troubled) > 1 else ""
        return KernelsStatus(
            state="failed", message=f"{count}; one started as usual{others}: {troubled[0].reason}."
        )
    if switched_off and not merged:
        return _off(f"{count}: {switched_off[0].reason}.")
    rest = f"; {len(switched_off)} switched off" if switched_off else ""
    if in_part is not None:
        rest += f" ({in_part})"
    return KernelsStatus(state="ok", message=f"{count}{rest}{alignment_words(kernels)}.")


def alignment_words(kernels: Sequence[KernelRecord]) -> str:
    """How many of these started aligned, and why one did not; "" when nobody asked for it. Pure."""
    known = [kernel.alignment for kernel in kernels if kernel.alignment is not None]
    aligned = sum(one.state == "aligned" for one in known)
    others = [one for one in known if one.state in {"refused", "unsuited"}]
    if not aligned and not others:
        return ""
    words = f"; {aligned} started aligned"
    if others:
        words += f", one did not: {others[0].reason}"
        if "fixed layout" in (others[0].reason or ""):
            words += f" ({LAYOUT_FIX})"
    dropped = [name for one in known for name, _ in one.dropped]
    if dropped:
        words += f"; not preloaded: {', '.join(dict.fromkeys(dropped))}"
    notes = dict.fromkeys(note for one in known for note in one.notes)
    if notes:
        words += f"; {'; '.join(notes)}"
    return words


def with_node(message: str, node: Mapping[str, Any] | None) -> str:
    """The sentence, followed by what the node's agent counted over all students. Pure."""
    kernels = node.get("kernels") if node is not None else None
    counts = kernels if isinstance(kernels, Mapping) else {}
    alike, drifted = counts.get("alike"), counts.get("drifted")
    if not isinstance(alike, int) or not isinstance(drifted, int) or not alike + drifted:
        return message
    words = f"{alike} kernels of this node are aligned alike"
    if drifted:
        words += f", {drifted} drifted apart and share little; the operator sees why"
    return f"{message} {words}."


def _off(message: str) -> KernelsStatus:
    return KernelsStatus(state="off", message=message)


def _checked(record: KernelRecord, read: Callable[[int], KsmStat | None]) -> KernelRecord:
    """Trust the process over our notes: Linux before 6.19 can lose an opt-in to a fast scan."""
    if record.pid is None or record.outcome not in {"on", "uncertain"}:
        return record
    stat = read(record.pid)
    if stat is None or stat.merge_any is None:
        return record
    if stat.merge_any:
        # The mark is there; whether the memory is scanned is what "uncertain" is about.
        return record
    return KernelRecord(
        kernel_id=record.kernel_id,
        pid=record.pid,
        outcome="refused",
        reason="Linux dropped the opt-in after the start; start the server anew to try again",
    )
