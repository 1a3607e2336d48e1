"""What an application wrote: a file of bounded size that it appends to by itself.

A file and not a pipe: nobody has to read it for the application to go on, not even while the server
is busy or gone. When it has grown past its limit the newest part moves to a second file.
"""

from __future__ import annotations

import os
import re
from pathlib import Path

_READ_BYTES = 1 << 16
_LINE_CHARACTERS = 2000
_ESCAPES = re.compile(
    r"\x1b\[[0-?]*[ -/]*[@-~]|\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)|\x1b[@-_]|[\x00-\x08\x0e-\x1f\x7f]"
)


class OutputLog:
    """The log of one application. `folder` is private; the files are 0600."""

    def __init__(self, folder: Path, limit_bytes: int) -> None:
        self._file = folder / "output.log"
        self._older = folder / "output.log.1"
        self._limit = limit_bytes

    def open_new(self) -> int:
        """Begin a new log; a descriptor for the application, which the caller closes."""
        self._older.unlink(missing_ok=True)
        self._file.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_CLOEXEC
        return os.open(self._file, flags, 0o600)

    def needs_trim(self) -> bool:
        """Whether it is over its limit. One stat."""
        try:
            return self._file.stat().st_size > self._limit
        except OSError:
            return False

    def trim(self) -> None:
        """Keep the newest `limit_bytes` in the second file and empty the first.

        The application appends, so it goes on at the start of the emptied file. What it writes
        between the last read and the emptying is lost: microseconds, once in `limit_bytes`.
        """
        try:
            with self._file.open("r+b", buffering=0) as stream:
                size = stream.seek(0, os.SEEK_END)
                stream.seek(max(0, size - self._limit))
                kept = bytearray()
                while part := stream.read(_READ_BYTES):
                    kept += part
                    if len(kept) > 2 * self._limit:  # it writes faster than we read
                        break
                stream.truncate(0)
            fresh = self._older.with_suffix(".new")
            descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
            with os.fdopen(descriptor, "wb") as target:
                target.write(kept[-self._limit :])
            fresh.replace(self._older)
        except FileNotFoundError:
            return

    def tail(self, lines: int) -> tuple[str, ...]:
        """The last lines, at most 64 KiB of them, without control sequences. Blocks briefly."""
        text = _last_bytes(self._file, _READ_BYTES)
        if len(text) < _READ_BYTES:
            text = _last_bytes(self._older, _READ_BYTES - len(text)) + text
        return clean_lines(text.decode("utf-8", "replace"), lines)


def clean_lines(text: str, lines: int) -> tuple[str, ...]:
    """The last lines of output as plain text; of a line redrawn with \\r its last form. Pure."""
    if lines <= 0:
        return ()
    plain = []
    for line in text.split("\n"):
        shown = _ESCAPES.sub("", line.rstrip("\r").rpartition("\r")[2]).rstrip()
        plain.append(shown[:_LINE_CHARACTERS])
    while plain and not plain[-1]:
        plain.pop()
    return tuple(plain[-lines:])


def _last_bytes(file: Path, count: int) -> bytes:
    try:
        with file.open("rb") as stream:
            size = stream.seek(0, os.SEEK_END)
            stream.seek(max(0, size - count))
            return stream.read(count)
    except OSError:
        return b""
