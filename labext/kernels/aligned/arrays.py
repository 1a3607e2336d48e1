"""Gives NumPy's big arrays pages of their own, from memory that is used again.

Equal arrays of two students merge only if both begin at the same place of a page. See
`labext/kernels/native/arrays.c`, which does the work; the library is made with the wheel, for the
machine it is made on. Without it malloc maps each big array, which is as good for merging and
slower, and smaller arrays lie where they come to lie.

NumPy keeps who gives memory in a context variable (NEP 49): set here, in the context of the main
thread, it holds for cells. A thread that a student starts has NumPy's own.
"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

_CORES = ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath")
#: Places in NumPy's table of C functions, since 1.22. Source: numpy/_core/code_generators.
_SET_HANDLER, _GET_HANDLER = 304, 305
_CAPSULE = b"mem_handler"
_MOST_AT_FIRST = 16 << 20
_FIGURES = ("live", "bytes", "kept", "mapped", "reused")


class Arrays:
    """The library, once NumPy takes memory from it."""

    def __init__(self, library: ctypes.CDLL, *, huge: bool) -> None:
        self._library = library
        self._huge = huge
        library.samepage_arrays_release.restype = ctypes.c_size_t
        library.samepage_arrays_set.argtypes = [ctypes.c_size_t, ctypes.c_int]
        library.samepage_arrays_set.restype = None
        self.keep(_MOST_AT_FIRST)

    def keep(self, most: int) -> None:
        """Have at most so many bytes of freed arrays ready for the next ones."""
        self._library.samepage_arrays_set(most, int(self._huge))

    def release(self) -> int:
        """Give them back to the system; bytes."""
        return int(self._library.samepage_arrays_release())

    def figures(self) -> dict[str, int]:
        """`live` arrays and their `bytes`, bytes `kept`, times memory was `mapped` and `reused`."""
        found = (ctypes.c_uint64 * 5)()
        self._library.samepage_arrays_figures(found)
        return {name: found[place] for place, name in enumerate(_FIGURES)}


class NoArraysError(Exception):
    """Why NumPy allocates as ever, in words."""


_current: Arrays | None = None


def current() -> Arrays | None:
    """What `install` has made in this process."""
    return _current


def library_file() -> Path:
    """Where the library for this machine lies."""
    return Path(__file__).with_name(f"arrays-{os.uname().machine}.so")


def install(modules: Mapping[str, ModuleType], file: Path | None = None) -> Arrays | None:
    """From here on NumPy's arrays come from the library. None: no NumPy among `modules`.

    Errors: NoArraysError.
    """
    global _current  # one per process, as in NumPy
    core: Any = next((modules[name] for name in _CORES if name in modules), None)
    if core is None or "numpy" not in modules:
        return None
    version = str(getattr(modules["numpy"], "__version__", ""))
    if not _has_handlers(version):
        raise NoArraysError(f"NumPy {version or 'of unknown version'} asks nobody for memory")
    file = file or library_file()
    try:
        library = ctypes.CDLL(str(file))
        handler = ctypes.addressof(ctypes.c_char.in_dll(library, "samepage_arrays_handler"))
        table = _table(core)
        arrays = Arrays(library, huge=bool(getattr(core, "_get_madvise_hugepage", bool)()))
    except (OSError, ValueError, AttributeError) as err:
        raise NoArraysError(f"{file.name} cannot be used ({err})") from err
    _function(table, _SET_HANDLER, ctypes.py_object)(_capsule(handler))
    _current = arrays
    return arrays


def _has_handlers(version: str) -> bool:
    """Whether this NumPy has NEP 49. Pure."""
    parts = version.split(".")
    try:
        return (int(parts[0]), int(parts[1])) >= (1, 22)
    except (ValueError, IndexError):
        return False


def _capsule(address: int) -> Any:
    # Arrays ask for the name even after this module is gone, and the capsule has only its address.
    ctypes.pythonapi["Py_IncRef"](ctypes.py_object(_CAPSULE))
    # By item: what is got as an attribute is everybody's, with the types of its arguments.
    new = ctypes.pythonapi["PyCapsule_New"]
    new.argtypes, new.restype = (
        [ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p],
        ctypes.py_object,
    )
    return new(address, _CAPSULE, None)


def _table(core: Any) -> Any:
    """NumPy's C functions. Errors: ValueError, AttributeError: it is another table."""
    pointer = ctypes.pythonapi["PyCapsule_GetPointer"]
    pointer.argtypes, pointer.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_void_p
    table = ctypes.cast(pointer(core._ARRAY_API, None), ctypes.POINTER(ctypes.c_void_p))
    valid = ctypes.pythonapi["PyCapsule_IsValid"]
    valid.argtypes, valid.restype = [ctypes.py_object, ctypes.c_char_p], ctypes.c_int
    if not valid(_function(table, _GET_HANDLER)(), _CAPSULE):
        raise ValueError("NumPy's table of functions is another one")
    return table


def _function(table: Any, place: int, *arguments: Any) -> Any:
    return ctypes.PYFUNCTYPE(ctypes.py_object, *arguments)(table[place])
