"""What to do when native code crashes or hangs while modules are imported: go on another way.

Python's own handlers only take note of a signal and act at the next instruction of Python, which
never comes after a crash and may never come in a loop of native code. So the system's handler is a
callback here that acts at once. It can only be something that ends in `exec`, since the state of
the interpreter is not to be trusted any more. Source: sigaction(2), sigaltstack(2).
"""

from __future__ import annotations

import ctypes
import os
import platform
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NoReturn

#: Where struct sigaction has the generic layout, with glibc and with musl.
MACHINES = frozenset({"x86_64", "aarch64", "riscv64", "ppc64le"})
CRASHES = (signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT)
_ONSTACK, _NODEFER, _RESETHAND = 0x08000000, 0x40000000, 0x80000000
_DISABLE = 2
_STACK_BYTES = 1 << 20
#: For the rescue itself; then the default action of SIGALRM ends the process.
_RESCUE_SECONDS = 10
_Handler = ctypes.CFUNCTYPE(None, ctypes.c_int)


class _Action(ctypes.Structure):
    _fields_ = [
        ("handler", ctypes.c_void_p),
        ("mask", ctypes.c_ulong * (1024 // (8 * ctypes.sizeof(ctypes.c_ulong)))),
        ("flags", ctypes.c_int),
        ("restorer", ctypes.c_void_p),
    ]


class _Stack(ctypes.Structure):
    _fields_ = [
        ("start", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    ]


def possible() -> bool:
    """Whether this machine's signals are known here."""
    return platform.machine() in MACHINES


def default_action(*numbers: signal.Signals) -> None:
    """As signal.signal with SIG_DFL, on any thread."""
    set_action = ctypes.CDLL(None).signal
    set_action.argtypes = [ctypes.c_int, ctypes.c_void_p]
    set_action.restype = ctypes.c_void_p
    for number in numbers:
        set_action(int(number), None)


@contextmanager
def rescued(seconds: float, go: Callable[[str], NoReturn]) -> Iterator[None]:
    """In here a crash, or `seconds` gone by, calls `go` with what happened; it has to `exec`.

    What happened reads as `crashed (SIGSEGV)` or `took too long`.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def handle(number: int) -> None:
        # A rescue that crashes or hangs, too, ends the process, as without it.
        default_action(signal.SIGALRM)
        signal.alarm(_RESCUE_SECONDS)
        try:
            over = number == signal.SIGALRM
            go("took too long" if over else f"crashed ({signal.Signals(number).name})")
        finally:
            os._exit(1)

    callback = _Handler(handle)
    stack = ctypes.create_string_buffer(_STACK_BYTES)
    # After an overflow of the stack there is no room for a handler on it. This thread's only: each
    # has to ask for its own, so an overflow in a thread that a library starts ends the process.
    libc.sigaltstack(
        ctypes.byref(_Stack(start=ctypes.addressof(stack), flags=0, size=_STACK_BYTES)), None
    )
    wanted = _Action(handler=ctypes.cast(callback, ctypes.c_void_p).value)
    wanted.flags = ctypes.c_int(_ONSTACK | _NODEFER | _RESETHAND).value
    before = {number: _Action() for number in (*CRASHES, signal.SIGALRM)}
    for number, found in before.items():
        libc.sigaction(int(number), ctypes.byref(wanted), ctypes.byref(found))
    signal.setitimer(signal.ITIMER_REAL, max(seconds, 0.001))
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, found in before.items():
            libc.sigaction(int(number), ctypes.byref(found), None)
        libc.sigaltstack(ctypes.byref(_Stack(start=None, flags=_DISABLE, size=0)), None)
