"""Fills the holes in the heap, so that what a student allocates lies on pages of its own.

The preload leaves free places on nearly every page, and each student's objects would go there,
one here and one there: pages that are equal in all kernels would differ by a few words. So all
free places are taken, in Python's small-object pools and in glibc's heap. They were lost anyway;
filled alike in every kernel, they are merged away.

Also takes random bytes out of the heap: glibc marks each freed chunk of its thread cache with a
number that is random per process (`tcache_key`). A chunk that is handed out loses the mark.
"""

from __future__ import annotations

import ctypes
import sys
from typing import Any

_BYTES_HEADER = sys.getsizeof(b"")
_POOL_HEADER = 48
_LARGEST_SMALL, _STEP = 512, 16
_MOST = 1 << 18
_CHUNKS = (131072, 65536, 32768, 16384, 8192, 4096, 2048, 1536, 1040)
_CACHED = tuple(range(1032, 23, -16))
_CACHE_DEPTH = 7


def seal() -> list[Any]:
    """Do it. The list must be kept: it holds the small places."""
    _fill_heap()
    kept = _fill_pools()
    _fill_heap()
    return kept


def _fill_pools() -> list[Any]:
    """Small objects until each size begins a fresh pool. Source: CPython, Objects/obmalloc.c."""
    kept: list[Any] = [None] * _MOST
    used = 0
    pool = (16 if sys.version_info >= (3, 10) else 4) << 10
    for size in range(_STEP, _LARGEST_SMALL + 1, _STEP):
        number = 0
        while used < _MOST:
            # Objects of just this size, none of which Python keeps a free list for.
            if size == _STEP:
                held: Any = object()
            elif size < _BYTES_HEADER + 1:
                held = 1_000_000 + number
            else:
                held = bytes(size - _BYTES_HEADER)
            number += 1
            if id(held) % pool == _POOL_HEADER:
                break
            kept[used] = held
            used += 1
    del kept[used:]
    return kept


class _Usage(ctypes.Structure):
    """glibc's struct mallinfo2."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            "arena",
            "ordblks",
            "smblks",
            "hblks",
            "hblkhd",
            "usmblks",
            "fsmblks",
            "uordblks",
            "fordblks",
            "keepcost",
        )
    ]


def _fill_heap() -> None:
    """Chunks of falling size until they come from the free end of the heap."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):  # glibc 2.33
        return
    libc.mallinfo2.restype = _Usage
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.sbrk.argtypes = [ctypes.c_long]
    for size in _CHUNKS:
        end = libc.sbrk(0) - libc.mallinfo2().keepcost
        while (place := libc.malloc(size)) is not None and place < end:
            pass
        libc.free(place)
    for size in _CACHED:
        end = libc.sbrk(0) - libc.mallinfo2().keepcost
        cached = 0
        while (place := libc.malloc(size)) is not None and (place < end or cached < _CACHE_DEPTH):
            cached += place >= end
