"""The kernel's interfaces that Python has no function for. Source: seccomp_unotify(2),
pidfd_getfd(2), process_vm_readv(2), linux/seccomp.h.
"""

from __future__ import annotations

import ctypes
import errno
import fcntl
import os
import struct
from collections.abc import Callable
from dataclasses import dataclass

from serverproxy.supervisor.gate.program import (
    MACHINES,
    PIDFD_GETFD,
    Numbers,
    filter_program,
)

_libc = ctypes.CDLL(None, use_errno=True)
_libc.process_vm_readv.restype = ctypes.c_ssize_t
_libc.process_vm_writev.restype = ctypes.c_ssize_t
_libc.syscall.restype = ctypes.c_long

_PR_SET_NO_NEW_PRIVS = 38
_PR_SET_CHILD_SUBREAPER = 36
_SET_MODE_FILTER = 1
# Without SPEC_ALLOW, kernels before 5.16 slow every filtered program down.
_SPEC_ALLOW, _NEW_LISTENER = 1 << 2, 1 << 3

_NOTIFICATION = struct.Struct("=QIIiIQ6Q")
_RESPONSE = struct.Struct("=QqiI")
_ADD_DESCRIPTOR = struct.Struct("=QIIII")
_RECEIVE, _SEND, _VALID, _ADD = 0xC0502100, 0xC0182101, 0x40082102, 0x40182103
_CONTINUE = 1
_ADD_AND_SEND = 2


@dataclass(frozen=True, kw_only=True)
class Notification:
    """A system call that waits for us. pid: of the thread. arguments: as registers hold them."""

    id: int
    pid: int
    number: int
    arguments: tuple[int, ...]


def numbers() -> Numbers:
    """System call numbers of this machine. OSError on one we do not know."""
    machine = os.uname().machine
    if machine not in MACHINES or ctypes.sizeof(ctypes.c_void_p) != 8:
        raise OSError(errno.ENOSYS, f"no system call numbers for {machine}")
    return MACHINES[machine]


def install_filter() -> int:
    """Filter this process and its future children; the descriptor that notifications come from.

    Gives up the right to gain privileges (no_new_privs) unless this process is privileged. OSError
    when the kernel or a sandbox around us refuses.
    """
    known = numbers()
    code = filter_program(known)
    program = ctypes.create_string_buffer(code, len(code))
    # struct sock_fprog: length, padding, address.
    header = struct.pack("=HxxxxxxQ", len(code) // 8, ctypes.addressof(program))
    for privileged in (True, False):
        if not privileged:
            _check(_libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs")
        made = _call(known.seccomp, _SET_MODE_FILTER, _NEW_LISTENER | _SPEC_ALLOW, header)
        if made >= 0:
            return made
        if not privileged or ctypes.get_errno() != errno.EACCES:
            break
    number = ctypes.get_errno()
    raise OSError(number, f"seccomp: {os.strerror(number)}")


def adopt_orphans() -> None:
    """Be the parent of descendants that lose theirs, so that they stay descendants."""
    _check(_libc.prctl(_PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0), "subreaper")


def receive(listener: int) -> Notification | None:
    """The next notification; None when its thread was interrupted meanwhile. Blocks for one."""
    buffer = bytearray(_NOTIFICATION.size)
    try:
        fcntl.ioctl(listener, _RECEIVE, buffer, True)
    except OSError as error:
        if error.errno in {errno.ENOENT, errno.EINTR}:
            return None
        raise
    ident, pid, _, number, _, _, *arguments = _NOTIFICATION.unpack(buffer)
    return Notification(id=ident, pid=pid, number=number, arguments=tuple(arguments))


def valid(listener: int, ident: int) -> bool:
    """Whether that system call still waits, and its thread number is still its own."""
    try:
        fcntl.ioctl(listener, _VALID, struct.pack("=Q", ident))
    except OSError:
        return False
    return True


def let_through(listener: int, ident: int) -> None:
    """The kernel does the system call as if we were not there."""
    _respond(listener, ident, 0, 0, _CONTINUE)


def fail(listener: int, ident: int, number: int) -> None:
    """The system call ends with this errno."""
    _respond(listener, ident, 0, -number, 0)


def _respond(listener: int, ident: int, value: int, error: int, flags: int) -> None:
    try:
        fcntl.ioctl(listener, _SEND, _RESPONSE.pack(ident, value, error, flags))
    except OSError as refused:
        if refused.errno != errno.ENOENT:  # interrupted: nobody waits for the answer any more
            raise


def hand_over(listener: int, ident: int, descriptor: int, *, close_on_exec: bool) -> None:
    """The system call ends with a new descriptor of the thread's process.

    OSError ENOENT: it no longer waits. EMFILE: it has too many.
    """
    flags = os.O_CLOEXEC if close_on_exec else 0
    request = bytearray(_ADD_DESCRIPTOR.pack(ident, _ADD_AND_SEND, descriptor, 0, flags))
    fcntl.ioctl(listener, _ADD, request, True)


def copy_descriptor(pid: int, number: int) -> int:
    """Our own descriptor for what `number` is in a process. OSError as of pidfd_getfd(2)."""
    process = os.pidfd_open(pid)
    try:
        copy = _call(PIDFD_GETFD, process, number, 0)
        return _check(copy, "pidfd_getfd")
    finally:
        os.close(process)


def process_of(thread: int) -> int:
    """The process a thread belongs to. OSError when it is gone."""
    with open(f"/proc/{thread}/status", "rb") as file:  # noqa: PTH123 - once for each connection
        for line in file:
            if line.startswith(b"Tgid:"):
                return int(line[5:])
    raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))


class _Vector(ctypes.Structure):
    _fields_ = (("base", ctypes.c_void_p), ("length", ctypes.c_size_t))


def read_memory(pid: int, address: int, size: int) -> bytes:
    """Bytes of a process. OSError EFAULT when there are none."""
    buffer = ctypes.create_string_buffer(size)
    _transfer(_libc.process_vm_readv, pid, buffer, address, size)
    return buffer.raw


def write_memory(pid: int, address: int, content: bytes) -> None:
    """Put bytes into a process. OSError EFAULT when they cannot be there."""
    if content:
        buffer = ctypes.create_string_buffer(content, len(content))
        _transfer(_libc.process_vm_writev, pid, buffer, address, len(content))


def _transfer(
    function: Callable[..., int],
    pid: int,
    buffer: ctypes.Array[ctypes.c_char],
    address: int,
    size: int,
) -> None:
    ours = _Vector(ctypes.addressof(buffer), size)
    theirs = _Vector(address, size)
    done = function(
        ctypes.c_int(pid),
        ctypes.byref(ours),
        ctypes.c_ulong(1),
        ctypes.byref(theirs),
        ctypes.c_ulong(1),
        ctypes.c_ulong(0),
    )
    if done != size:
        raise OSError(errno.EFAULT, os.strerror(errno.EFAULT))


def _call(number: int, *arguments: int | bytes) -> int:
    passed = (ctypes.c_long(each) if isinstance(each, int) else each for each in arguments)
    result: int = _libc.syscall(ctypes.c_long(number), *passed)
    return result


def _check(result: int, what: str) -> int:
    if result < 0:
        number = ctypes.get_errno()
        raise OSError(number, f"{what}: {os.strerror(number)}")
    return result
