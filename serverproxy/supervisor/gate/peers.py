"""Whose a connection is. Source: sock_diag(7), linux/inet_diag.h, proc_net(5). No privilege needed.

Only sockets of this network namespace are found: whoever connects from another machine or another
container is nobody's here.
"""

from __future__ import annotations

import errno
import os
import socket
import struct
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_SOCK_DIAG, _BY_FAMILY, _ERROR, _REQUEST = 4, 20, 2, 1
_HEADER = struct.Struct("=IHHII")
_QUESTION = struct.Struct("=BBBBI")
_NO_COOKIE = b"\xff" * 8
_ANSWER_HEAD = struct.Struct("=BBBB")
_SOCKET_ID = struct.Struct("!HH16s16s")
_ID_BYTES = 48
_LISTEN = 10
_MAPPED = b"\0" * 10 + b"\xff\xff"


@dataclass(frozen=True, kw_only=True)
class Ends:
    """Both ends of a connection, addresses as 4 or 16 bytes; IPv4 in IPv6 is IPv4 here."""

    peer: bytes
    peer_port: int
    local: bytes
    local_port: int

    @property
    def family(self) -> int:
        """AF_INET or AF_INET6."""
        return socket.AF_INET if len(self.peer) == 4 else socket.AF_INET6


def ends_of(connection: socket.socket) -> Ends:
    """The ends of an accepted connection. OSError when the peer has reset it."""
    family = connection.family
    peer, local = connection.getpeername(), connection.getsockname()
    return Ends(
        peer=_packed(family, peer[0]),
        peer_port=peer[1],
        local=_packed(family, local[0]),
        local_port=local[1],
    )


def _packed(family: int, host: str) -> bytes:
    packed = socket.inet_pton(family, host.partition("%")[0])
    return packed[12:] if packed.startswith(_MAPPED) else packed


def question(ends: Ends) -> bytes:
    """Asks for the socket at the other end. Pure."""
    body = _QUESTION.pack(ends.family, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
    body += _SOCKET_ID.pack(
        ends.peer_port, ends.local_port, ends.peer.ljust(16, b"\0"), ends.local.ljust(16, b"\0")
    )
    body += struct.pack("=I", 0) + _NO_COOKIE
    return _HEADER.pack(_HEADER.size + len(body), _BY_FAMILY, _REQUEST, 1, 0) + body


def owner_in(answer: bytes, ends: Ends) -> int | None:
    """The owner's uid in an answer; None when there is no such socket or nobody holds it. Pure.

    A socket whose process has closed it is told as uid 0 by older kernels: it has no inode, and
    counts as nobody's. OSError when the kernel refuses the question.
    """
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    body = answer[_HEADER.size :]
    if kind == _ERROR:
        (number,) = struct.unpack_from("=i", body)
        if -number in {0, errno.ENOENT}:
            return None
        raise OSError(-number, f"sock_diag: {os.strerror(-number)}")
    if kind != _BY_FAMILY:
        raise OSError(errno.EPROTO, f"sock_diag: answer of type {kind}")
    _, state, _, _ = _ANSWER_HEAD.unpack_from(body)
    peer_port, local_port, peer, local = _SOCKET_ID.unpack_from(body, _ANSWER_HEAD.size)
    found = Ends(
        peer=_short(peer, ends),
        peer_port=peer_port,
        local=_short(local, ends),
        local_port=local_port,
    )
    uid, inode = struct.unpack_from("=II", body, _ANSWER_HEAD.size + _ID_BYTES + 12)
    # Without a connection the kernel may offer whoever listens on that port.
    if state == _LISTEN or found != ends or inode == 0:
        return None
    return int(uid)


def _short(address: bytes, ends: Ends) -> bytes:
    if address.startswith(_MAPPED):
        return address[12:16]
    return address[: len(ends.peer)]


def owner_in_table(text: str, ends: Ends) -> int | None:
    """The same from /proc/net/tcp or tcp6. Pure."""
    wanted = {
        (_as_printed(peer, ends.peer_port), _as_printed(local, ends.local_port))
        for peer, local in ((ends.peer, ends.local), (_mapped(ends.peer), _mapped(ends.local)))
    }
    for line in text.splitlines()[1:]:
        fields = line.split()
        if len(fields) > 9 and (fields[1], fields[2]) in wanted and fields[9] != "0":
            return int(fields[7])
    return None


def _mapped(address: bytes) -> bytes:
    return address if len(address) == 16 else _MAPPED + address


def _as_printed(address: bytes, port: int) -> str:
    words = struct.unpack(f"={len(address) // 4}I", address)
    return "".join(f"{word:08X}" for word in words) + f":{port:04X}"


class Peers:
    """Tells owners; one question at a time."""

    def __init__(self, proc: Path = PROC) -> None:
        self._proc = proc
        self._link: socket.socket | None = None
        try:
            link = socket.socket(
                socket.AF_NETLINK, socket.SOCK_RAW | socket.SOCK_CLOEXEC, _SOCK_DIAG
            )
            link.settimeout(2.0)
            self._link = link
        except OSError:
            self._link = None  # a sandbox without netlink: the slower table says the same

    def close(self) -> None:
        """Give back the netlink socket; owners are then told from the table."""
        if self._link is not None:
            self._link.close()
            self._link = None

    def owner(self, connection: socket.socket) -> int | None:
        """Uid of the process at the other end of an accepted connection; None: nobody of here."""
        ends = ends_of(connection)
        if self._link is not None:
            try:
                self._link.send(question(ends))
                return owner_in(self._link.recv(8192), ends)
            except (OSError, struct.error):
                # An answer that came late would be taken for that of the next question.
                self.close()
        for name in ("tcp", "tcp6"):
            try:
                text = (self._proc / "net" / name).read_text(encoding="ascii")
            except OSError:
                continue
            found = owner_in_table(text, ends)
            if found is not None:
                return found
        return None
