"""Whether this Linux lets an ordinary process opt in to KSM."""

import ctypes
import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

PR_GET_MEMORY_MERGE = 68


@dataclass(frozen=True, kw_only=True)
class Support:
    """`available`, or a sentence that says why not and one that says what to do."""

    available: bool
    message: str | None = None
    fix: str | None = None


def ask_kernel() -> int:
    """0 when PR_GET_MEMORY_MERGE is answered, else the errno. Asks only, changes nothing."""
    try:
        prctl = ctypes.CDLL(None, use_errno=True).prctl
    except (OSError, AttributeError):  # not Linux
        return errno.ENOSYS
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
    prctl.restype = ctypes.c_int
    return 0 if prctl(PR_GET_MEMORY_MERGE, 0, 0, 0, 0) >= 0 else ctypes.get_errno()


def probe(ask: Callable[[], int] = ask_kernel) -> Support:
    """Ask the kernel in this very process: the same filters apply to the kernels it starts."""
    code = ask()
    if code == 0:
        return Support(available=True)
    answer = os.strerror(code)
    if code == errno.EINVAL:
        return Support(
            available=False,
            message=f"This Linux cannot merge a whole process's memory (prctl: {answer})",
            fix="Use Linux 6.4 or later, built with CONFIG_KSM",
        )
    return Support(
        available=False,
        message=f"This machine refuses prctl(PR_GET_MEMORY_MERGE): {answer}",
        fix="Allow prctl 67 and 68 in the container's seccomp profile",
    )


def node_merges(sys: Path = Path("/sys")) -> bool:
    """Whether KSM runs on this node, or ever ran since it started; readable in a container.

    An agent lets KSM rest when there is nothing left to merge, so `run` alone does not tell.
    """
    for name in ("run", "full_scans"):
        try:
            if int((sys / "kernel" / "mm" / "ksm" / name).read_text()) > 0:
                return True
        except (OSError, ValueError):
            continue
    return False
