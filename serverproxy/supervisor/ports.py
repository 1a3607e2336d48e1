"""Fresh ports."""

from __future__ import annotations

import socket
from collections import deque


class Ports:
    """Free ports of the loopback interface, none of the last few twice."""

    def __init__(self, remembered: int = 64) -> None:
        self._given: deque[int] = deque(maxlen=remembered)

    def fresh(self, host: str = "127.0.0.1") -> int:
        """A port nobody listens on right now. OSError when the system has none left."""
        while True:
            with socket.socket() as probe:
                probe.bind((host, 0))
                port: int = probe.getsockname()[1]
            if port not in self._given:
                self._given.append(port)
                return port
