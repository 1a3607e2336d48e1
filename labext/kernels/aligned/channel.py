"""The kernel's end of the line to the provisioner: words out, one assignment in."""

from __future__ import annotations

import json
import os
import socket
from typing import Any


class Channel:
    """A stream socket on which each side writes lines of text."""

    def __init__(self, descriptor: int) -> None:
        self._socket = socket.socket(fileno=descriptor)
        self._socket.setblocking(True)
        os.set_inheritable(descriptor, False)

    def say(self, word: str, text: str = "") -> None:
        """One line; a provisioner that is gone is noticed by `assignment`."""
        line = f"{word} {text}".strip().replace("\n", " ") + "\n"
        try:
            self._socket.sendall(line.encode(errors="replace"))
        except OSError:
            return

    def fileno(self) -> int:
        """Its descriptor, to wait on."""
        return self._socket.fileno()

    def say_with(self, line: str, descriptor: int) -> None:
        """One line that carries a descriptor."""
        try:
            socket.send_fds(self._socket, [line.encode() + b"\n"], [descriptor])
        except OSError:
            return

    def order(self) -> tuple[bytes | None, list[int]]:
        """The next byte, and the descriptors that came with it; None when the server is gone.

        What begins an assignment is left on the line for `assignment`.
        """
        try:
            first = self._socket.recv(1, socket.MSG_PEEK)
            if first in (b"", b"{"):
                return first or None, []
            first, descriptors, _, _ = socket.recv_fds(self._socket, 1, 1)
        except OSError:
            return None, []
        for descriptor in descriptors:
            os.set_inheritable(descriptor, False)
        return first, descriptors

    def assignment(self) -> dict[str, Any] | None:
        """Wait, as long as it takes, for whom to become; None when the server is gone."""
        received = bytearray()
        while not received.endswith(b"\n"):
            try:
                piece = self._socket.recv(65536)
            except OSError:
                return None
            if not piece:
                return None
            received += piece
        found = json.loads(received)
        return found if isinstance(found, dict) else None

    def keep_over_exec(self) -> int:
        """The descriptor, to be handed to the program that replaces this one."""
        descriptor = self._socket.detach()
        os.set_inheritable(descriptor, True)
        return descriptor

    def close(self) -> None:
        """Nothing more to say."""
        self._socket.close()
