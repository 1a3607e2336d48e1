"""A private folder for the run-time files of one application of one Jupyter server.

Its name is random, so that it can be told before it exists and nobody can make it first in a
shared /tmp. It goes away with the server. Folders of servers that were killed are swept by the
next one: the owner holds a lock in its folder, and the kernel drops the lock with the owner, also
where several containers with process numbers of their own share /tmp.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import secrets
import shutil
import tempfile
from pathlib import Path

from serverproxy.errors import AppError

_LOCK = "owner.lock"


class RuntimeDir:
    """`path` is fixed at construction; `make()` creates it."""

    def __init__(self, app: str, base: Path | None = None) -> None:
        self._base = Path(tempfile.gettempdir()) if base is None else base
        self._prefix = f"samepage-{app}-"
        self.path = self._base / f"{self._prefix}{secrets.token_hex(8)}"
        self._lock: int | None = None

    def make(self) -> Path:
        """Create the folder (mode 0700) unless it is there, sweep left-overs, and return it.

        AppError when it cannot be created or belongs to somebody else.
        """
        self._sweep()
        try:
            self.path.mkdir(mode=0o700, exist_ok=True)
            seen = self.path.lstat()
            if seen.st_uid != os.getuid() or seen.st_mode & 0o077:
                raise PermissionError("the folder is open to others")
            if self._lock is None:
                self._lock = os.open(self.path / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                atexit.register(self.remove, os.getpid())
        except OSError as error:
            raise AppError(
                "runtime_dir",
                f"A private folder {self.path} cannot be made: {error}.",
                f"Make room in {self._base}, or set TMPDIR to a folder that can be written.",
            ) from error
        return self.path

    def remove(self, owner: int | None = None) -> None:
        """Delete the folder; a forked child of `owner` leaves it alone. Safe to call twice."""
        if self._lock is None or (owner is not None and owner != os.getpid()):
            return
        shutil.rmtree(self.path, ignore_errors=True)
        os.close(self._lock)
        self._lock = None

    def _sweep(self) -> None:
        for folder in self._base.glob(f"{self._prefix}*"):
            if folder == self.path:
                continue
            try:
                if folder.lstat().st_uid != os.getuid():
                    continue
                lock = os.open(folder / _LOCK, os.O_RDWR)
            except OSError:
                continue
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError:
                continue  # its owner lives
            else:
                shutil.rmtree(folder, ignore_errors=True)
            finally:
                os.close(lock)
