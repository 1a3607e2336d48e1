"""One session with a kernel of the default kernelspec, run as a program; prints JSON.

``python kernels_session.py``: starts it through the samepage provisioner, runs a cell, ends it.
"""

import json
import os
import sys
from pathlib import Path

from jupyter_client.manager import KernelManager

from labext.kernels.ledger import ledger
from labext.kernels.merged import read_ksm_stat
from labext.kernels.status import kernels_status


def marked_bytes(pid: int) -> int:
    """Memory in regions with madvise(MADV_MERGEABLE), as smaps shows them."""
    total = size = 0
    for row in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        name, _, value = row.partition(":")
        if name == "Size":
            size = int(value.split()[0]) << 10
        elif name == "VmFlags" and "mg" in value.split():
            total += size
    return total


def main() -> None:
    manager = KernelManager(kernel_name="python3")
    manager.start_kernel(env=dict(os.environ))
    client = manager.client()
    client.start_channels()
    try:
        client.wait_for_ready(timeout=60)
        printed: list[str] = []

        def keep(message: dict[str, dict[str, str]]) -> None:
            printed.append(message["content"].get("text", ""))

        client.execute_interactive("print(6 * 7, end='')", timeout=60, output_hook=keep)
        (record,) = ledger.records.values()
        stat = read_ksm_stat(record.pid) if record.pid is not None else None
        status = kernels_status()
        answer = {
            "printed": "".join(printed),
            "outcome": record.outcome,
            "reason": record.reason,
            "merge_any": None if stat is None else stat.merge_any,
            "regions_bytes": 0 if record.pid is None else marked_bytes(record.pid),
            "alignment": None if record.alignment is None else record.alignment.state,
            "state": status.state,
            "message": status.message,
        }
    finally:
        client.stop_channels()
        manager.shutdown_kernel(now=True)
    json.dump(answer, sys.stdout)


if __name__ == "__main__":
    main()
