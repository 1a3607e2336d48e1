"""A kernel that a template forked: what `subprocess.Popen` is for a child of our own.

Its parent is the template, so the exit code comes from there; that it has ended is seen at the
descriptor of the process itself, which also makes sure that no signal reaches another process
that got its number later.
"""

import contextlib
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Callable

#: What the shell reports of a program that was killed: said when nobody is left to tell.
UNKNOWN_EXIT = -signal.SIGKILL
_TELL_SECONDS = 1.0


class ForkedProcess:
    """`exit_code` asks the template for the code of an ended process; None when it cannot tell.

    `descriptor` is a pidfd, and this object's own. For several threads: a server's event loop and
    the keeper of templates both look.
    """

    stdin = stdout = stderr = None

    def __init__(
        self, pid: int, descriptor: int, exit_code: Callable[[int, float], int | None]
    ) -> None:
        self.pid = pid
        self.returncode: int | None = None
        self._descriptor = descriptor
        self._exit_code = exit_code
        self._noting = threading.Lock()

    def poll(self) -> int | None:
        """The exit code; None while it runs."""
        if self.returncode is None and self._ended(0):
            self._note_end()
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Errors: subprocess.TimeoutExpired."""
        if self.returncode is None:
            if not self._ended(timeout):
                raise subprocess.TimeoutExpired(f"forked kernel {self.pid}", timeout or 0.0)
            self._note_end()
        assert self.returncode is not None
        return self.returncode

    def send_signal(self, sig: int) -> None:
        """Nothing when it has ended, as for Popen."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._descriptor, sig)

    def terminate(self) -> None:
        """SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _ended(self, timeout: float | None) -> bool:
        ready = select.poll()
        ready.register(self._descriptor, select.POLLIN)
        return bool(ready.poll(None if timeout is None else max(timeout, 0.0) * 1000))

    def _note_end(self) -> None:
        with self._noting:
            if self.returncode is None:
                code = self._exit_code(self.pid, time.monotonic() + _TELL_SECONDS)
                self.returncode = UNKNOWN_EXIT if code is None else code

    def __del__(self) -> None:
        # Not earlier: another thread may be waiting on it, and its number become another file's.
        with contextlib.suppress(OSError):
            os.close(self._descriptor)
