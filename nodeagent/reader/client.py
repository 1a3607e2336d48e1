"""The tuner's side: what the reader says, and what to do while it is away."""

import logging
import socket
from pathlib import Path

from nodeagent.errors import Problem
from nodeagent.ksm.local import ProcessReading
from nodeagent.ksm.processes import UNKNOWN
from nodeagent.reader.peer import is_trusted, peer_uid
from nodeagent.reader.wire import MOST_BYTES, decode, decode_arrivals

log = logging.getLogger("nodeagent.reader")

_TIMEOUT = 5.0
_KEEP_SECONDS = 10.0
"""A reader that is started anew answers within this time; so long its last word counts."""


def ask(path: Path, question: bytes, allowed: tuple[tuple[int, int], ...]) -> bytes:
    """The answer's line. OSError: nobody answers, or a stranger listens; ValueError: too much."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as connection:
        connection.settimeout(_TIMEOUT)
        connection.connect(str(path))
        uid = peer_uid(connection)
        if not is_trusted(uid, allowed):
            raise PermissionError(f"user {uid} listens there, who is not in --facts-uids")
        connection.sendall(question)
        parts: list[bytes] = []
        size = 0
        while part := connection.recv(1 << 16):
            parts.append(part)
            size += len(part)
            if size > MOST_BYTES:
                raise ValueError("the answer does not end")
    answer = b"".join(parts)
    if not answer.endswith(b"\n"):
        raise ConnectionError("the reader closed without a whole answer; its log says why")
    return answer


class RemoteProcesses:
    """ProcessFacts from the reader at `path`. Not safe for two threads."""

    def __init__(self, path: Path, *, allowed: tuple[tuple[int, int], ...] = ()) -> None:
        self._path = path
        self._allowed = allowed
        self._last: ProcessReading | None = None
        self._last_time = 0.0

    def arrivals(self, now: float) -> bool:
        """False while the reader is away."""
        try:
            return decode_arrivals(ask(self._path, b"arrivals\n", self._allowed))
        except (OSError, ValueError):
            return False

    def read(self, now: float, total_bytes: int) -> ProcessReading:
        """Never raises: while the reader is away everything is unknown and `blind` says why."""
        try:
            self._last = decode(ask(self._path, b"facts\n", self._allowed))
        except (OSError, ValueError) as err:
            if self._last is not None and now - self._last_time <= _KEEP_SECONDS:
                return self._last
            self._last = None
            return ProcessReading(
                opted_in=UNKNOWN,
                charges=(),
                ksmd_cpu_seconds=None,
                blind=Problem(
                    code="reader-away",
                    message=f"The reader of processes does not answer on {self._path}: {err}.",
                    fix="Start it (samepage-agent reader) and look at its log; ksmd stands until "
                    "then, and what is merged stays merged.",
                ),
            )
        self._last_time = now
        return self._last
