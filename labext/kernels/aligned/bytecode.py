"""Whether this start compiled modules: then it begins again, now that they lie there compiled.

Compiling leaves a heap unlike that of a start that read the `.pyc` files, so the first kernel after
an installation or an update would share little with all others. Where the files cannot be written
every start compiles, and all are alike.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from pathlib import Path

_START_FIELD = 22  # of proc_pid_stat(5), counted from 1; the row below begins with the third


def process_start() -> float:
    """When this process started, in seconds as of time.time(). Errors: OSError, ValueError."""
    row = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    since_boot = int(row[_START_FIELD - 3]) / os.sysconf("SC_CLK_TCK")
    return time.time() - time.clock_gettime(time.CLOCK_BOOTTIME) + since_boot


def written_between(files: Iterable[str], start: float, end: float) -> bool:
    """Whether one of these files was written in this time. Missing files were not."""
    for file in files:
        try:
            written = os.stat(file).st_mtime  # noqa: PTH116 - a thousand files
        except OSError:
            continue
        # A clock of a file server that goes ahead must not make every start begin again.
        if start <= written <= end:
            return True
    return False


def compiled_here(modules: Iterable[object]) -> bool:
    """Whether compiled files of these modules were written since this process started."""
    # By the dictionary: asked for an attribute it lacks, a lazy module imports others.
    cached = (getattr(module, "__dict__", {}).get("__cached__") for module in modules)
    files = [file for file in cached if isinstance(file, str)]
    try:
        return written_between(files, process_start(), time.time())
    except (OSError, ValueError, IndexError):
        return False
