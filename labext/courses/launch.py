"""Starts a worker and listens to it; the event loop is never held up."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

from labext.courses.model import Progress
from labext.courses.protocol import Job, Result, parse

_LONGEST_LINE = 4 << 20
_KEPT_LINES = 20
# The worker ends itself at its limit, with a sentence; this is for one that cannot.
_GRACE_SECONDS = 5.0
_STOP_SECONDS = 2.0
_PACKAGES = Path(__file__).resolve().parents[2]


class Launch(Protocol):
    """Does one job; see `run_worker`."""

    async def __call__(self, job: Job, on_progress: Callable[[Progress], None]) -> Result:
        """The result; cancelling it ends the job."""


class WorkerError(Exception):
    """The worker ended without a result; the text is for the log."""


def worker_command() -> tuple[list[str], dict[str, str]]:
    """How a worker is started, and in which environment."""
    path = os.pathsep.join(filter(None, [str(_PACKAGES), os.environ.get("PYTHONPATH")]))
    # -P: or a file json.py in the server's folder would be taken for the library's
    command = [sys.executable, "-P", "-m", "labext.courses.worker"]
    return command, {**os.environ, "PYTHONPATH": path}


async def run_worker(job: Job, on_progress: Callable[[Progress], None]) -> Result:
    """Pull in a child process. Errors: WorkerError, OSError when it cannot be started.

    When this ends, for whatever reason, so has the worker with all its children.
    """
    command, env = worker_command()
    process = await asyncio.create_subprocess_exec(
        *command,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        start_new_session=True,
        limit=_LONGEST_LINE,
    )
    try:
        async with asyncio.timeout(job.timeout_seconds + _GRACE_SECONDS):
            return await _listen(process, job, on_progress)
    except TimeoutError as err:
        raise WorkerError(f"no result after {job.timeout_seconds + _GRACE_SECONDS:g} s") from err
    finally:
        await asyncio.shield(_end(process))


async def _listen(
    process: asyncio.subprocess.Process, job: Job, on_progress: Callable[[Progress], None]
) -> Result:
    assert process.stdin is not None
    assert process.stdout is not None
    with contextlib.suppress(ConnectionError):
        process.stdin.write(job.line().encode())
        await process.stdin.drain()
        process.stdin.close()
    result: Result | None = None
    other: list[str] = []
    async for line in process.stdout:
        said = parse(line)
        if isinstance(said, Progress):
            on_progress(said)
        elif isinstance(said, Result):
            result = said
            break  # a helper of git may keep the pipe open
        else:
            other = [*other[-_KEPT_LINES:], line.decode("utf-8", "replace").rstrip()]
    if result is None:
        code = await process.wait()
        raise WorkerError(f"the worker ended with {code}: {' | '.join(other) or 'no words'}")
    return result


async def _end(process: asyncio.subprocess.Process) -> None:
    """Wait for a worker that is done, end one that is not, and always what it left running."""
    if process.stdin is not None:
        process.stdin.close()
    for number in (None, signal.SIGTERM):
        if number is not None:
            _signal(process.pid, number)
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_STOP_SECONDS if number or process.returncode else 0.5):
                await process.wait()
                break
    _signal(process.pid, signal.SIGKILL)
    await process.wait()


def end_group(leader: int) -> None:
    """End a worker, which leads a group, with everything it started."""
    _signal(leader, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(group, number)
