"""The cache's folders: ours alone to write, everybody's to read."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from nodeagent.coursecache.source import Source
from nodeagent.errors import AgentError

PUBLIC, PRIVATE = "public", "private"
REPOSITORY = "mirror.git"


class CacheFolderError(AgentError):
    """The cache's folder cannot be used; nothing was fetched into it."""

    code = "course-cache-folder"


class CacheBusyError(Exception):
    """Another process fetches this course now."""


@dataclass(frozen=True, kw_only=True)
class CacheFolder:
    """`path/public/NAME` may be mounted for all; of `path/private`, which only we can enter, each
    `NAME` for those who may see that course.
    """

    path: Path

    def prepare(self) -> None:
        """Make what is missing. Errors: CacheFolderError: somebody else could write here."""
        try:
            self.path.mkdir(parents=True, exist_ok=True, mode=0o755)
            for name, mode in ((PUBLIC, 0o755), (PRIVATE, 0o700)):
                folder = self.path / name
                if not os.path.lexists(folder):
                    folder.mkdir()
                    folder.chmod(mode)
        except OSError as err:
            raise CacheFolderError(
                f"Cannot make the course cache {self.path}: {err.strerror or err}",
                fix="Mount a folder there that the agent may write.",
            ) from err
        for folder in (self.path, self.path / PUBLIC, self.path / PRIVATE):
            self._check(folder)

    def of(self, source: Source) -> Path:
        """The folder of one course; made if missing. Errors: CacheFolderError."""
        folder = self.path / (PRIVATE if source.private else PUBLIC) / source.name
        try:
            if not os.path.lexists(folder):
                folder.mkdir()
                folder.chmod(0o755)
        except OSError as err:
            raise CacheFolderError(
                f"Cannot make {folder}: {err.strerror or err}", fix="Check the disk of the cache."
            ) from err
        self._check(folder)
        return folder

    def existing(self) -> list[Path]:
        """The folders of all courses there are."""
        return sorted(
            folder
            for kind in (PUBLIC, PRIVATE)
            if (self.path / kind).is_dir()
            for folder in (self.path / kind).iterdir()
            if folder.is_dir() and not folder.is_symlink()
        )

    def _check(self, folder: Path) -> None:
        status = folder.lstat()
        if not stat.S_ISDIR(status.st_mode) or status.st_uid != os.geteuid():
            what = "is not a folder of the agent's own"
        elif status.st_mode & 0o022:
            what = "can be written by others"
        else:
            return
        raise CacheFolderError(
            f"The course cache's {folder} {what}",
            fix=f"Give the cache a folder of its own: chown {os.geteuid()} and chmod 755 it.",
        )


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One fetch of a course at a time, over all processes. Errors: CacheBusyError, OSError.

    Only we can open the lock: whoever can open a file can also lock it, and a student must not.
    """
    descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            raise CacheBusyError(folder.name) from err
        yield
    finally:
        os.close(descriptor)
