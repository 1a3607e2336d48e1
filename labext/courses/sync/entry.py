"""What git knows of a file: mode and hash."""

from __future__ import annotations

import hashlib
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

FILE, EXECUTABLE, LINK = "100644", "100755", "120000"
_CHUNK = 1 << 20


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A file (mode FILE, EXECUTABLE) or symbolic link as in a git tree; blob: its SHA-1."""

    mode: str
    blob: str


Tree = dict[str, Entry]


def blob_name(content: bytes) -> str:
    """The name git gives to a file of this content. Pure."""
    return hashlib.sha1(b"blob %d\0%b" % (len(content), content), usedforsecurity=False).hexdigest()


def entry_of(path: Path) -> Entry | None:
    """The file or link at `path` itself; None when there is neither. Errors: OSError."""
    try:
        status = path.lstat()
    except (FileNotFoundError, NotADirectoryError):
        return None
    if stat.S_ISLNK(status.st_mode):
        return Entry(mode=LINK, blob=blob_name(os.fsencode(path.readlink())))
    if not stat.S_ISREG(status.st_mode):
        return None
    return Entry(mode=mode_of(status), blob=_blob_of(path))


def mode_of(status: os.stat_result) -> str:
    """Git's mode of a regular file."""
    return EXECUTABLE if status.st_mode & stat.S_IXUSR else FILE


def _blob_of(path: Path) -> str:
    with _open(path) as file:
        size = os.fstat(file.fileno()).st_size
        digest = hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def _open(path: Path) -> BinaryIO:
    return os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK), "rb")


def read_file(path: Path) -> bytes:
    """The content of a regular file, or where a link points. Errors: OSError."""
    if path.is_symlink():
        return os.fsencode(path.readlink())
    with _open(path) as file:
        return file.read()
