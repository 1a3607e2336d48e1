"""Who listens on a port of this machine. Source: proc_net(5), the kernel's networking/proc_net_tcp.

Any local user can listen on a port that an application was going to use. A request that went there
would give that user what the student types, so the owner is checked before the first byte.
"""

# ruff: noqa: PTH115, PTH208 - pathlib makes a walk of /proc three times as slow
from __future__ import annotations

import os
import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from serverproxy.supervisor.processes import PROC

_LISTEN = "0A"
_SOCKET = re.compile(r"socket:\[(\d+)\]")
# As the kernel prints them: 32-bit words of the address in host order.
_ANY4, _ANY6 = "00000000", "0" * 32
_LITTLE4, _BIG4 = "0100007F", "7F000001"
_MAPPED = re.compile(r"0{16}(FFFF0000|0000FFFF)([0-9A-F]{8})")
_LOOP6 = {"0" * 24 + "01000000", "0" * 31 + "1"}


@dataclass(frozen=True, kw_only=True)
class Listener:
    """A listening TCP socket. loopback: it takes no connections from other machines."""

    uid: int
    inode: int
    loopback: bool


class Owner(StrEnum):
    """Whose listener a port has. ANOTHER_USER and STRANGER: not to be talked to.

    STRANGER: our user's, but not of this application. UNKNOWN: this system does not tell.
    """

    NOBODY = "nobody"
    OURS = "ours"
    STRANGER = "stranger"
    ANOTHER_USER = "another user"
    UNKNOWN = "unknown"


def parse_listeners(text: str, port: int) -> list[Listener]:
    """Listeners of /proc/net/tcp or tcp6 that a connection to a loopback `port` may reach. Pure."""
    wanted = f":{port:04X}"
    found = []
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) < 10 or fields[3] != _LISTEN or not fields[1].endswith(wanted):
            continue
        address = fields[1][: -len(wanted)]
        mapped = _MAPPED.fullmatch(address)
        if mapped:
            address = mapped[2]
        loopback = address in {_LITTLE4, _BIG4} or address in _LOOP6
        if loopback or address in {_ANY4, _ANY6}:
            found.append(Listener(uid=int(fields[7]), inode=int(fields[9]), loopback=loopback))
    return found


def judge(listeners: Sequence[Listener] | None, *, uid: int, held_inodes: Collection[int]) -> Owner:
    """Whose the listeners are; with several, all of them have to be ours. Pure.

    held_inodes: sockets that the application's processes hold.
    """
    if listeners is None:
        return Owner.UNKNOWN
    if not listeners:
        return Owner.NOBODY
    if any(one.uid != uid for one in listeners):
        return Owner.ANOTHER_USER
    if all(one.inode in held_inodes for one in listeners):
        return Owner.OURS
    return Owner.STRANGER


def read_listeners(port: int, proc: Path = PROC) -> list[Listener] | None:
    """Listeners on a loopback port; None when this system does not tell. Blocks for some ms."""
    found = []
    told = False
    for name in ("tcp", "tcp6"):
        try:
            text = (proc / "net" / name).read_text(encoding="ascii", errors="replace")
        except OSError:
            continue
        told = True
        found += parse_listeners(text, port)
    return found if told else None


def socket_inodes(pid: int, proc: Path = PROC) -> set[int]:
    """Sockets a process holds; empty when it is gone or does not let us look."""
    folder = f"{proc}/{pid}/fd"
    try:
        names = os.listdir(folder)
    except OSError:
        return set()
    inodes = set()
    for name in names:
        try:
            match = _SOCKET.fullmatch(os.readlink(f"{folder}/{name}"))
        except OSError:
            continue
        if match:
            inodes.add(int(match[1]))
    return inodes
