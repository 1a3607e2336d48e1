"""A prepared process from which kernels are forked, as long as the server wants some.

Forking shares every page that was prepared, at once and without any merging: a second kernel of a
student costs what it writes to. The template itself never becomes anybody's, so it stays as it was
sealed, and what it does between two forks is little and always the same.

On the line from the server: ``F`` with the kernel's own socket asks for a kernel; an assignment
(a JSON object) makes this process itself a kernel, for callers who want one only. On the line to
it: ``forked PID`` with a descriptor of the process, ``unforked REASON``, ``exit PID CODE``.
"""

from __future__ import annotations

import os
import select
import socket

from .channel import Channel

FORK = b"F"


def can_fork() -> str | None:
    """Why kernels cannot be forked from this process; None when they can.

    A fork takes one thread with it and leaves the others' work undone. A process must be told of
    by descriptor: its number may be somebody else's by the time it is used.
    """
    threads = len(os.listdir("/proc/self/task"))  # noqa: PTH208 - names are all that is wanted
    if threads > 1:
        return f"{threads} threads run in it"
    if not (hasattr(os, "pidfd_open") and hasattr(socket, "send_fds")):
        return "this Python is older than 3.9"
    try:
        os.close(os.pidfd_open(os.getpid()))
    except OSError as err:
        return f"pidfd_open answered {err.strerror}"
    return None


def serve(channel: Channel) -> Channel | None:
    """Fork kernels until the server is gone; returns in each of them, with its own channel.

    Returns `channel` itself when this process is to become a kernel, and None when the server is
    gone: then the kernels here end by themselves, as those of a server that was killed do.
    """
    ready = select.poll()
    ready.register(channel.fileno(), select.POLLIN)
    children: dict[int, int] = {}
    while True:
        for descriptor, _ in ready.poll():
            if descriptor in children:
                ready.unregister(descriptor)
                _bury(children.pop(descriptor), descriptor, channel)
                continue
            order, sockets = channel.order()
            if order is None:
                return None
            if order != FORK:
                return channel
            if not sockets:
                channel.say("unforked", "no socket came with the order")
                continue
            mine = _fork(sockets[0], channel, children, ready)
            if mine is not None:
                return mine


def _fork(
    descriptor: int, channel: Channel, children: dict[int, int], ready: select.poll
) -> Channel | None:
    """One kernel; its channel in the kernel, None in the template."""
    problem = can_fork()
    if problem is not None:
        os.close(descriptor)
        channel.say("unforked", problem)
        return None
    try:
        pid = os.fork()
    except OSError as err:
        os.close(descriptor)
        channel.say("unforked", f"fork answered {err.strerror}")
        return None
    if pid == 0:
        # The server must see the template's end, whatever its kernels do.
        channel.close()
        for other in children:
            os.close(other)
        # As jupyter_client starts a kernel: signals to its group reach it and its children.
        os.setsid()
        return Channel(descriptor)
    os.close(descriptor)
    handle = os.pidfd_open(pid)
    children[handle] = pid
    ready.register(handle, select.POLLIN)
    channel.say_with(f"forked {pid}", handle)
    return None


def _bury(pid: int, handle: int, channel: Channel) -> None:
    _, status = os.waitpid(pid, 0)
    os.close(handle)
    channel.say("exit", f"{pid} {os.waitstatus_to_exitcode(status)}")
