"""One writer of KSM per machine: an advisory lock (flock) on a file."""

import contextlib
import fcntl
import os
from pathlib import Path
from types import TracebackType
from typing import Self

from nodeagent.config import default_state_dir
from nodeagent.errors import LockHeldError, StateError


def default_lock_path() -> Path:
    """/run/samepage/ksm.lock for root; non-root users cannot write KSM and use their own."""
    return default_state_dir(os.environ) / "ksm.lock"


class KsmLock:
    """Take with `acquire()` or `with`; the kernel frees it when the process ends in any way."""

    def __init__(self, path: Path | None = None) -> None:
        self.path = path or default_lock_path()
        self._handle: int | None = None

    def acquire(self) -> None:
        """Take the lock at once. LockHeldError: another process has it; StateError: no file."""
        if self._handle is not None:
            return
        try:
            self.path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
            # 0600: a reader could take the flock too and keep the agent out.
            handle = os.open(
                self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600
            )
        except OSError as err:
            raise StateError(
                f"Cannot open the lock {self.path}: {err.strerror}",
                fix="Give a writable place with --lock-file, or run as root.",
            ) from err
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as err:
            holder = os.pread(handle, 32, 0).decode("ascii", "replace").strip()
            os.close(handle)
            whose = f" (process {holder})" if holder.isdigit() else ""
            raise LockHeldError(
                f"Another program{whose} already steers KSM on this machine: it holds {self.path}",
                fix="Stop that agent first (its clean stop puts KSM back), or only observe.",
            ) from err
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"{os.getpid()}\n".encode(), 0)
        self._handle = handle

    def release(self) -> None:
        """Give the lock back; safe twice. The file stays: deleting it would race with a taker."""
        if self._handle is None:
            return
        handle, self._handle = self._handle, None
        with contextlib.suppress(OSError):
            os.ftruncate(handle, 0)
        os.close(handle)

    def held_elsewhere(self) -> bool:
        """Whether another process holds it now. Takes nothing, creates nothing."""
        try:
            handle = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        except OSError:
            return False
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        finally:
            os.close(handle)
        return False

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
