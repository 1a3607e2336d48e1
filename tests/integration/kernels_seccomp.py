"""Runs a command behind a real seccomp filter that treats prctl(PR_SET_MEMORY_MERGE) badly.

``python kernels_seccomp.py errno|kill|old|layout COMMAND ...``: the opt-in is answered with EPERM,
as a container's profile does, or kills the process, as strict profiles do; ``old``: with EINVAL, as
Linux before 6.4 does; ``layout`` answers personality(ADDR_NO_RANDOMIZE) with EPERM, as the default
profiles of Docker and containerd do.
"""

import ctypes
import os
import platform
import struct
import sys

_PRCTL = {"x86_64": 157, "aarch64": 167}
_PERSONALITY = {"x86_64": 135, "aarch64": 92}
_LOAD, _EQUAL, _RETURN = 0x20, 0x15, 0x06
_ALLOW, _EPERM, _KILL_PROCESS = 0x7FFF0000, 0x00050001, 0x80000000
_EINVAL = 0x00050016
_SET_NO_NEW_PRIVS, _SET_SECCOMP, _FILTER, _MEMORY_MERGE = 38, 22, 2, 67
_NO_RANDOMIZE = 0x0040000


def supported() -> bool:
    """Whether we know the number of prctl here."""
    return platform.machine() in _PRCTL


class _Program(ctypes.Structure):
    _fields_ = [("length", ctypes.c_ushort), ("filter", ctypes.c_char_p)]


def install(action: int, *, call: int, argument: int) -> None:
    """Filter this process and all that it becomes or starts: `call` with that first argument."""
    rows = [
        (_LOAD, 0, 0, 0),  # the number of the call
        (_EQUAL, 0, 3, call),
        (_LOAD, 0, 0, 16),  # low half of its first argument
        (_EQUAL, 0, 1, argument),
        (_RETURN, 0, 0, action),
        (_RETURN, 0, 0, _ALLOW),
    ]
    code = b"".join(struct.pack("HBBI", *row) for row in rows)
    program = _Program(len(rows), code)
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, ctypes.c_ulong, ctypes.c_void_p, ctypes.c_ulong, ctypes.c_ulong]
    if prctl(_SET_NO_NEW_PRIVS, 1, None, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_NO_NEW_PRIVS")
    if prctl(_SET_SECCOMP, _FILTER, ctypes.addressof(program), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "PR_SET_SECCOMP")


if __name__ == "__main__":
    machine = platform.machine()
    if sys.argv[1] == "layout":
        install(_EPERM, call=_PERSONALITY[machine], argument=_NO_RANDOMIZE)
    else:
        answer = {"errno": _EPERM, "kill": _KILL_PROCESS, "old": _EINVAL}[sys.argv[1]]
        install(answer, call=_PRCTL[machine], argument=_MEMORY_MERGE)
    os.execv(sys.argv[2], sys.argv[2:])
