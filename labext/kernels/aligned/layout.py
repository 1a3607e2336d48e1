"""The fixed layout, from inside: what was fixed for the preload is put back for the student.

The launcher switched address randomisation off and may have moved the mappings by a stack limit;
both act at exec only. Everything the kernel starts gets the ordinary randomisation and limit.
"""

from __future__ import annotations

import ctypes
import resource
from collections.abc import Iterable

ADDR_NO_RANDOMIZE = 0x0040000
_QUERY = 0xFFFFFFFF
_PR_SET_MEMORY_MERGE, _PR_GET_MEMORY_MERGE = 67, 68
_MADV_MERGEABLE = 12
_USUAL_THREAD_STACK = 8 << 20


def restore_randomisation() -> str | None:
    """Programs started from here on are randomised; None, or why that failed."""
    personality = ctypes.CDLL(None, use_errno=True).personality
    personality.argtypes = [ctypes.c_ulong]
    current = personality(_QUERY)
    if current == -1 or personality(current & ~ADDR_NO_RANDOMIZE) == -1:
        return f"personality answered {ctypes.get_errno()}"
    return None


def restore_stack_limit(soft: int) -> str | None:
    """The limit as it was, and threads with stacks of that size; None, or why that failed.

    libc takes the size of thread stacks from the limit at program start. Call before any thread.
    """
    try:
        set_stack_limit(soft)
    except (OSError, ValueError) as err:
        return f"the stack limit stays changed ({err})"
    size = _USUAL_THREAD_STACK if soft == resource.RLIM_INFINITY else soft
    attributes = ctypes.create_string_buffer(256)  # pthread_attr_t has 56 bytes, 64 on ARM
    libc = ctypes.CDLL(None)
    try:
        failed = (
            libc.pthread_attr_init(attributes)
            or libc.pthread_attr_setstacksize(attributes, ctypes.c_size_t(size))
            or libc.pthread_setattr_default_np(attributes)
        )
    except AttributeError as err:
        return f"this libc cannot set the default thread stack ({err})"
    return f"pthread_setattr_default_np answered {failed}" if failed else None


def set_stack_limit(soft: int) -> None:
    """Errors: OSError, ValueError from setrlimit."""
    hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
    resource.setrlimit(resource.RLIMIT_STACK, (soft, hard))


def opt_in_again() -> str | None:
    """Mark this process mergeable after exec, where Linux forgets a mark made before."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    # Setting a mark that is set already does nothing: clear it first.
    for value in (0, 1):
        if prctl(_PR_SET_MEMORY_MERGE, value, 0, 0, 0) != 0:
            return f"prctl(PR_SET_MEMORY_MERGE) answered {ctypes.get_errno()}"
    return None


def merges() -> bool:
    """Whether this process is opted in as a whole. False where Linux does not know that."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
    return bool(prctl(_PR_GET_MEMORY_MERGE, 0, 0, 0, 0) == 1)


def merge_regions(ranges: Iterable[tuple[int, int]]) -> str | None:
    """Opt in the memory that is there now, for Linux before 6.4; None, or why none of it could be.

    `ranges`: addresses of mappings. Source: madvise(2), MADV_MERGEABLE.
    """
    madvise = ctypes.CDLL(None, use_errno=True).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    done, code = 0, 0
    for start, end in ranges:
        if madvise(start, end - start, _MADV_MERGEABLE) == 0:
            done += 1
        else:
            code = ctypes.get_errno()
    return None if done else f"madvise answered {code}"


def trim_heap() -> bool:
    """Give freed memory back to the system; whether any was. False without glibc."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    return bool(trim(ctypes.c_size_t(0))) if trim is not None else False
