"""The launched process: started off the event loop, its end noticed at once."""

from __future__ import annotations

import asyncio
import errno
import os
import subprocess
from collections.abc import Callable, Mapping

from serverproxy.supervisor.environment import MARK
from serverproxy.supervisor.gate.report import Report
from serverproxy.supervisor.gate.spawn import spawn_guarded
from serverproxy.supervisor.processes import read_row
from serverproxy.supervisor.spec import LaunchSpec
from serverproxy.supervisor.state import Failure


class Child:
    """A process that leads its own session and group."""

    def __init__(self, process: subprocess.Popen[bytes], on_exit: Callable[[], None]) -> None:
        """Of a running event loop."""
        self._process = process
        self._on_exit = on_exit
        self._loop = asyncio.get_running_loop()
        self._descriptor: int | None = None
        row = read_row(process.pid)
        self.pid = process.pid
        self.starttime = None if row is None else row.starttime
        try:
            self._descriptor = os.pidfd_open(process.pid)
        except (OSError, AttributeError):
            return  # an old or sandboxed kernel: whoever asks `returncode` notices
        self._loop.add_reader(self._descriptor, self._ended)

    @property
    def returncode(self) -> int | None:
        """As of subprocess; None while it runs."""
        return self._process.poll()

    @property
    def tells(self) -> bool:
        """Whether the kernel tells of its end; otherwise it has to be asked."""
        return self._descriptor is not None or self._process.returncode is not None

    def _ended(self) -> None:
        if self._process.poll() is not None:
            self.close()
            self._on_exit()

    def close(self) -> None:
        """Stop watching; the process is left alone. Safe twice."""
        if self._descriptor is not None:
            if not self._loop.is_closed():
                self._loop.remove_reader(self._descriptor)
            os.close(self._descriptor)
            self._descriptor = None


def spawn(
    spec: LaunchSpec, mark: str, output: int
) -> tuple[subprocess.Popen[bytes], Report | None]:
    """Start the command; it gets nothing of ours but its output file. Blocks; raises OSError.

    The report tells of the gate; None when none was asked for.
    """
    environment: Mapping[str, str] = {**spec.env, MARK: mark}
    if spec.guarded:
        return spawn_guarded(
            spec.argv, env=environment, cwd=spec.cwd, output=output, mark={MARK: mark}
        )
    process = subprocess.Popen(
        list(spec.argv),
        env=dict(environment),
        cwd=spec.cwd,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=output,
        close_fds=True,
        start_new_session=True,
    )
    return process, None


def explain_spawn(title: str, spec: LaunchSpec, error: OSError | ValueError) -> Failure:
    """Failure for a command the system refused to start. Pure."""
    program = spec.argv[0] if spec.argv else ""
    if isinstance(error, ValueError):
        return Failure(
            code="launch_failed",
            message=f"The command of {title} cannot be passed to the system: {error}.",
            fix="Correct the command or the environment of its entry.",
        )
    if (
        error.errno == errno.ENOENT
        and spec.cwd is not None
        and str(error.filename) == str(spec.cwd)
    ):
        return Failure(
            code="no_folder",
            message=f"The folder {spec.cwd}, in which {title} is started, does not exist.",
            fix="Create it, or open the application from another folder.",
        )
    if error.errno == errno.ENOENT:
        return Failure(
            code="command_not_found",
            message=f"The command {program!r} of {title} is not installed.",
            fix="Install it, or correct PATH or the command of its entry.",
        )
    if error.errno in {errno.EACCES, errno.EPERM}:
        return Failure(
            code="permission_denied",
            message=f"{error.filename or program} may not be used to start {title}.",
            fix="Make the file executable, and check that its file system is not mounted noexec.",
        )
    if error.errno in {errno.EAGAIN, errno.ENOMEM}:
        return Failure(
            code="no_resources",
            message=f"The system has no room for another process: {error.strerror}.",
            fix="Close other kernels or programs, then try again.",
        )
    return Failure(
        code="launch_failed",
        message=f"Starting {program!r} for {title} failed: {error.strerror or error}.",
        fix="Check the command of its entry.",
    )
