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
