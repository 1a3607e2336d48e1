"""The seccomp filter, as a classic BPF program. Pure. Source: seccomp(2), linux/filter.h."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, kw_only=True)
class Numbers:
    """System call numbers of one architecture. audit: its name in seccomp_data."""

    audit: int
    seccomp: int
    accept: int
    accept4: int


# From asm/unistd_64.h, asm-generic/unistd.h and linux/audit.h.
MACHINES: Mapping[str, Numbers] = MappingProxyType(
    {
        "x86_64": Numbers(audit=0xC000003E, seccomp=317, accept=43, accept4=288),
        "aarch64": Numbers(audit=0xC00000B7, seccomp=277, accept=202, accept4=242),
    }
)

# The same on every architecture.
PIDFD_GETFD = 438
IO_URING_SETUP = 425
_ENOSYS = 38

_LOAD, _EQUAL, _AT_LEAST, _RETURN = 0x20, 0x15, 0x35, 0x06
_NUMBER_AT, _ARCHITECTURE_AT = 0, 4
_X32 = 0x40000000
ALLOW, NOTIFY, ERRNO = 0x7FFF0000, 0x7FC00000, 0x00050000


def filter_program(numbers: Numbers) -> bytes:
    """Asks about accept and accept4, refuses io_uring (which accepts without either), allows all
    else. Programs of another architecture are left alone: the filter guards them, it does not cage
    them.
    """
    # (code, jump if true, jump if false, value); jumps count the instructions they leave out.
    lines = (
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 0, 5, numbers.audit),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_AT_LEAST, 3, 0, _X32),
        (_EQUAL, 3, 0, numbers.accept4),
        (_EQUAL, 2, 0, numbers.accept),
        (_EQUAL, 2, 0, IO_URING_SETUP),
        (_RETURN, 0, 0, ALLOW),
        (_RETURN, 0, 0, NOTIFY),
        (_RETURN, 0, 0, ERRNO | _ENOSYS),
    )
    return b"".join(struct.pack("=HBBI", *line) for line in lines)
