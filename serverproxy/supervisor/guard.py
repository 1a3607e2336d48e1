"""The server's side of the guardian: starts it, starts it again when it is gone, lets it go."""

from __future__ import annotations

import logging
import os
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

from serverproxy.supervisor.runtime import Instance

log = logging.getLogger(__name__)

_ROOT = Path(__file__).resolve().parents[2]
_PASSED = ("PATH", "LD_LIBRARY_PATH")
# Between two tries, should it not stay alive.
_AGAIN_S = 10.0
# Without site-packages and the user's settings: starts in a few ms and stays small.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from serverproxy.supervisor.guardian import main; main(sys.argv[2:])"
)


class Guard:
    """One guardian for one runtime folder. Its calls block for a few ms: use a thread."""

    def __init__(self, instance: Instance) -> None:
        self._instance = instance
        self._process: subprocess.Popen[bytes] | None = None
        self._pipe: int | None = None
        self._lock = threading.Lock()
        self._started = float("-inf")

    @property
    def pid(self) -> int | None:
        """Process number of the guardian that was started last; None before."""
        return None if self._process is None else self._process.pid

    @property
    def alive(self) -> bool:
        """Whether it runs, or was started too recently to be worth another try. Cheap."""
        if self._process is not None and self._process.poll() is None:
            return True
        return time.monotonic() - self._started < _AGAIN_S

    def ensure(self) -> None:
        """Start it unless it runs. A machine that cannot start it is logged, not an error."""
        with self._lock:
            if self._process is not None and self._process.poll() is None:
                return
            if self._process is not None:
                log.warning("The guardian of the applications was gone; starting another.")
            self._forget()
            self._started = time.monotonic()
            self._start()

    def _start(self) -> None:
        reading, writing = os.pipe2(os.O_CLOEXEC)
        command = [sys.executable, "-I", "-S", "-c", _PROGRAM, str(_ROOT)]
        command += [str(self._instance.folder), str(os.getpid())]
        try:
            self._process = subprocess.Popen(
                command,
                stdin=reading,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                cwd="/",
                env={name: os.environ[name] for name in _PASSED if name in os.environ},
                pass_fds=(self._instance.lock,),
                start_new_session=True,
            )
        except OSError as error:
            os.close(writing)
            log.warning(
                "Cannot start the guardian of the applications (%s). If this server is killed, "
                "they run on until the next one starts.",
                error,
            )
        else:
            self._pipe = writing
        finally:
            os.close(reading)

    def close(self, timeout_s: float = 2.0) -> None:
        """Let it go: it ends what is still recorded, and removes the folder. Safe twice."""
        with self._lock:
            self._forget()
            if self._process is not None:
                with suppress(subprocess.TimeoutExpired):
                    self._process.wait(timeout_s)
                if self._process.returncode is None:
                    self._process.returncode = 0  # at work on its own; no warning at exit
                self._process = None

    def _forget(self) -> None:
        if self._pipe is not None:
            os.close(self._pipe)
            self._pipe = None
