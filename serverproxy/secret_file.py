"""A secret for a program we start, where neither `ps` nor another user can read it."""

from __future__ import annotations

import os
from pathlib import Path

from serverproxy.errors import AppError


def write_secret(file: Path, text: str) -> Path:
    """Write `text` to a new file of mode 0600, in place of an older one; gives the file.

    A command line is open to every user in /proc/PID/cmdline. AppError when it cannot be written.
    """
    try:
        file.unlink(missing_ok=True)
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        with os.fdopen(os.open(file, flags, 0o600), "w", encoding="utf-8") as stream:
            stream.write(text)
    except OSError as error:
        raise AppError(
            "runtime_dir",
            f"The private file {file} cannot be written: {error}.",
            "Make room on that disk, or set TMPDIR to a folder that can be written.",
        ) from error
    return file
