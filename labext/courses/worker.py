"""`python -m labext.courses.worker`: one pull in a process of its own.

Reads one Job (a JSON line) from standard input; writes progress and one result as JSON lines. In a
process of its own, as it blocks and may have to be ended with all the gits it started: the
server starts it as leader of a process group and ends the whole group.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
import time
from pathlib import Path
from types import FrameType

from labext.courses import task
from labext.courses.model import Progress
from labext.courses.protocol import Job, Result, progress_line, result_line
from labext.courses.sync.engine import StateEngine

_FASTEST_SECONDS = 0.1


class Voice:
    """Standard output, for several threads. Once the server is gone, nobody listens: no error."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor
        self._lock = threading.Lock()
        self._ended = False
        self._last: tuple[str, float] = ("", 0.0)

    def progress(self, progress: Progress) -> None:
        """Say where we are, ten times a second at most within a phase."""
        phase, then = self._last
        now = time.monotonic()
        if progress.phase == phase and progress.percent != 100 and now - then < _FASTEST_SECONDS:
            return
        self._last = (progress.phase, now)
        with self._lock:
            if not self._ended:
                self._write(progress_line(progress))

    def result(self, result: Result) -> None:
        """Say how it ended. The first result counts."""
        with self._lock:
            if not self._ended:
                self._ended = True
                self._write(result_line(result))

    def _write(self, line: str) -> None:
        rest = line.encode()
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:
            self._ended = True


def main() -> int:
    """Do the job on standard input; 0 when a result was given, 2 when there is no job."""
    try:
        job = Job.from_line(sys.stdin.readline())
    except (ValueError, TypeError, KeyError) as err:
        print(f"no job on standard input: {err}", file=sys.stderr)
        return 2
    signal.signal(signal.SIGTERM, _end)
    os.nice(5)  # kernels and the browser's requests come first
    voice = Voice(sys.stdout.fileno())
    engine = StateEngine(Path(job.state_dir))
    watchdog = threading.Timer(job.timeout_seconds, _expire, args=(job, engine, voice))
    watchdog.daemon = True
    watchdog.start()
    voice.result(task.run(job, engine, voice.progress, dict(os.environ), time.time))
    watchdog.cancel()
    return 0


def _end(number: int, frame: FrameType | None) -> None:
    # As an exception, so that an unfinished clone is removed on the way out.
    raise SystemExit(128 + number)


def _expire(job: Job, engine: StateEngine, voice: Voice) -> None:
    voice.result(task.timed_out(job, engine))
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpgrp(), signal.SIGKILL)
    os._exit(0)


if __name__ == "__main__":
    sys.exit(main())
