"""The student's own standard streams, after a preload with the null device in their place.

The launcher kept descriptors 0 to 2 as 4 to 6. Python's `sys.stdin`, `sys.stdout` and `sys.stderr`
are made again, because they remember what they were opened on (a terminal, a position).
Source: create_stdio() in CPython, Python/pylifecycle.c.
"""

from __future__ import annotations

import contextlib
import io
import os
import sys
from typing import Any

KEPT = (4, 5, 6)
_NAMES = ("stdin", "stdout", "stderr")


def restore_descriptors() -> None:
    """Descriptors 0 to 2 are the student's; those that were closed are closed again."""
    for number, kept in enumerate(KEPT):
        try:
            os.dup2(kept, number)
        except OSError:
            with contextlib.suppress(OSError):
                os.close(number)
        else:
            os.close(kept)


def give_back() -> None:
    """The descriptors and Python's own objects are the student's."""
    restore_descriptors()
    for number, name in enumerate(_NAMES):
        before: Any = getattr(sys, f"__{name}__")
        stream = _opened(number, before)
        setattr(sys, f"__{name}__", stream)
        if getattr(sys, name) is before:
            setattr(sys, name, stream)


def keep_over_exec() -> None:
    """The next program of this process will give them back."""
    for kept in KEPT:
        with contextlib.suppress(OSError):
            os.set_inheritable(kept, True)


def _opened(number: int, before: Any) -> Any:
    """As Python opens it at its start; None when the descriptor is closed."""
    try:
        os.fstat(number)
    except OSError:
        return None
    writes = number > 0
    unbuffered = bool(before.write_through)  # option -u
    # Closing the object must not close the descriptor: the system's stream is no object's own.
    raw: Any = io.FileIO(number, "w" if writes else "r", closefd=False)
    raw.name = f"<{_NAMES[number]}>"
    inner: Any = raw
    if not (unbuffered and writes):
        inner = io.BufferedWriter(raw) if writes else io.BufferedReader(raw)
    stream: Any = io.TextIOWrapper(
        inner,
        encoding=before.encoding,
        errors=before.errors,
        newline="\n",
        line_buffering=not unbuffered and (number == 2 or raw.isatty()),
        write_through=unbuffered,
    )
    stream.mode = "w" if writes else "r"
    return stream
