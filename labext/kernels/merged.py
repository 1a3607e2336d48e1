"""What KSM says about one process: a cheap reader of /proc/PID/ksm_stat."""

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True)
class KsmStat:
    """One process's KSM facts; None where this Linux does not say.

    `merge_any` (Linux >= 6.14): the process is opted in. `merging_pages`: its mappings of merged
    pages, the first copy counted too, so the sum over processes exceeds the saving.
    `profit_bytes` may be negative. Source: Linux Documentation/filesystems/proc.rst.
    """

    merge_any: bool | None = None
    merging_pages: int | None = None
    zero_pages: int | None = None
    rmap_items: int | None = None
    profit_bytes: int | None = None


def read_ksm_stat(pid: int, *, proc: Path = Path("/proc")) -> KsmStat | None:
    """Read it; None when the process is gone, not ours to read, or this Linux has no such file."""
    try:
        text = (proc / str(pid) / "ksm_stat").read_text()
    except OSError:
        return None
    fields: dict[str, str] = {}
    for line in text.splitlines():
        name, _, value = line.replace(":", " ").partition(" ")
        fields[name] = value.strip()
    merge_any = fields.get("ksm_merge_any")
    return KsmStat(
        merge_any=None if merge_any is None else merge_any == "yes",
        merging_pages=_number(fields.get("ksm_merging_pages")),
        zero_pages=_number(fields.get("ksm_zero_pages")),
        rmap_items=_number(fields.get("ksm_rmap_items")),
        profit_bytes=_number(fields.get("ksm_process_profit")),
    )


def _number(text: str | None) -> int | None:
    try:
        return None if text is None else int(text)
    except ValueError:
        return None
