"""What others see of this process: its command line and environment in /proc.

`ps`, `/proc/PID/cmdline` and psutil read them from where the program started, which in an aligned
kernel is the constant surroundings of the preload. prctl(PR_SET_MM, PR_SET_MM_MAP) points the
kernel to the real ones; it needs no privilege, but CONFIG_CHECKPOINT_RESTORE.
Source: prctl(2); struct prctl_mm_map in linux/prctl.h.
"""

from __future__ import annotations

import ctypes
import os
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path

_PR_SET_MM, _PR_SET_MM_MAP = 35, 14
# Must stay where it is for as long as the process lives.
_kept: list[object] = []


def show(command: Sequence[str], environment: Mapping[str, str]) -> str | None:
    """Show these in /proc; None, or why that failed (then /proc shows the preload's)."""
    arguments = b"".join(os.fsencode(word) + b"\0" for word in command)
    variables = b"".join(os.fsencode(f"{k}={v}") + b"\0" for k, v in environment.items())
    try:
        row = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
        libc = ctypes.CDLL(None, use_errno=True)
        libc.sbrk.restype = ctypes.c_void_p
        libc.sbrk.argtypes = [ctypes.c_long]
        here = ctypes.create_string_buffer(arguments + variables)
        start = ctypes.addressof(here)
        middle = start + len(arguments)
        end = middle + len(variables)
        # proc_pid_stat(5) counts fields from 1, and the row begins with the third.
        code, end_code, stack, data, end_data, heap = (
            int(row[number - 3]) for number in (26, 27, 28, 45, 46, 47)
        )
        places = (code, end_code, data, end_data, heap, libc.sbrk(0), stack)
        packed = struct.pack("=12QIi", *places, start, middle, middle, end, 0, 0, -1)
        wanted = ctypes.create_string_buffer(packed, len(packed))
        libc.prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        if libc.prctl(_PR_SET_MM, _PR_SET_MM_MAP, ctypes.addressof(wanted), len(packed), 0) != 0:
            return os.strerror(ctypes.get_errno())
    except (OSError, ValueError, IndexError, AttributeError, struct.error) as err:
        return f"{type(err).__name__}: {err}"
    _kept.append(here)
    return None
