"""Fills the holes in the heap, so that what a student allocates lies on pages of its own.

The preload leaves free places on nearly every page, and each student's objects would go there,
one here and one there: pages that are equal in all kernels would differ by a few words. So all
free places are taken, in Python's small-object pools and in glibc's heap, and what takes them is
alike in every kernel, so that it is merged away.

Python keeps things of its own that turn into holes later: freed tuples and dicts for the next of
their size, and the names in its cache of type attributes. Both are given up first.

Also takes random bytes out of the heap: glibc marks each freed chunk of its thread cache with a
number that is random per process (`tcache_key`). A chunk that is handed out loses the mark.
"""

from __future__ import annotations

import ctypes
import gc
import os
import sys
from typing import Any

_BYTES_HEADER = sys.getsizeof(b"")
_POOL = (16 if sys.version_info >= (3, 10) else 4) << 10
_POOL_HEADER = 48
_ARENA = (1024 if sys.version_info >= (3, 10) else 256) << 10
_LARGEST_SMALL, _STEP = 512, 16
#: Places of a fresh pool that the filling itself may have in use.
_SPARE_PLACES = 8
_MOST = 1 << 16
_CHUNKS = (131072, 65536, 32768, 16384, 8192, 4096, 2048, 1536, 1040)
_CACHED = tuple(range(1032, 23, -16))
_CACHE_DEPTH = 7


def seal() -> None:
    """Do it. What fills the places is never freed."""
    # The second name is that of Python before 3.13.
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if clear is not None:
        clear()
    gc.collect()
    _fill_heap()
    fill_pools()
    _fill_heap()


def fill_pools() -> int:
    """Small objects, until each size and then the next arena begin afresh; how many.

    Source: CPython, Objects/obmalloc.c. Free places of a size are used up before a pool that was
    free as a whole is begun, so a pool that gave all of its places was the first such pool. Whole
    pools are used up before a new arena is mapped, whose places come in the order of addresses.
    """
    kept: list[Any] = [None] * _MOST
    used = 0
    for size in range(_STEP, _LARGEST_SMALL + 1, _STEP):
        whole, pool, taken = (_POOL - _POOL_HEADER) // size - _SPARE_PLACES, 0, 0
        while used < _MOST and taken < whole:
            held = kept[used] = _of_size(size)
            used += 1
            here = id(held) // _POOL
            taken = taken + 1 if here == pool else 1
            pool = here
    with open("/proc/self/statm", "rb", buffering=0) as file:  # noqa: PTH123 - read many times
        enough = _mapped(file) + _ARENA
        while used < _MOST:
            held = kept[used] = _of_size(_LARGEST_SMALL)
            used += 1
            if id(held) % _POOL == _POOL_HEADER and _mapped(file) >= enough:
                break
    del kept[used:]
    # A list of them would be full of addresses; nobody needs to know where they are.
    keep_for_ever = ctypes.pythonapi.Py_IncRef
    keep_for_ever.argtypes, keep_for_ever.restype = [ctypes.py_object], None
    for held in kept:
        keep_for_ever(held)
    return used


def _of_size(size: int) -> Any:
    """An object of just this size and always this content, of a type without free list."""
    if size == _STEP:
        return object()
    if size <= _BYTES_HEADER:
        return complex(0, size)
    return bytes(size - _BYTES_HEADER)


def _mapped(statm: Any) -> int:
    """Bytes of address space of this process."""
    statm.seek(0)
    return int(statm.read(64).split(b" ", 1)[0]) * os.sysconf("SC_PAGE_SIZE")


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
    """Empty chunks of falling size until they come from the free end of the heap."""
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):  # glibc 2.33
        return
    libc.mallinfo2.restype = _Usage
    libc.sbrk.restype = libc.malloc.restype = ctypes.c_void_p
    libc.malloc.argtypes = [ctypes.c_size_t]
    libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
    libc.free.argtypes = [ctypes.c_void_p]
    libc.sbrk.argtypes = [ctypes.c_long]
    for size in _CHUNKS:
        end = libc.sbrk(0) - libc.mallinfo2().keepcost
        while (place := libc.malloc(size)) is not None and place < end:
            libc.memset(place, 0, size)
        libc.free(place)
    for size in _CACHED:
        end = libc.sbrk(0) - libc.mallinfo2().keepcost
        cached = 0
        while (place := libc.malloc(size)) is not None and (place < end or cached < _CACHE_DEPTH):
            libc.memset(place, 0, size)
            cached += place >= end
