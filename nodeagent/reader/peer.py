"""Who is at the other end of a Unix socket (SO_PEERCRED)."""

import os
import socket
import struct

_CREDENTIALS = struct.Struct("3i")


def peer_uid(connection: socket.socket) -> int:
    """The user whose process connected, or (asked by the client) listens. As the kernel says."""
    told = connection.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    _, uid, _ = _CREDENTIALS.unpack(told)
    return int(uid)


def is_trusted(uid: int, allowed: tuple[tuple[int, int], ...]) -> bool:
    """Root, this process's own user, and who was named."""
    return uid in (0, os.geteuid()) or any(low <= uid <= high for low, high in allowed)
