"""Runs git."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

from labext.courses.progress import lines

_KEPT_LINES = 30


class GitError(Exception):
    """git ended with `code`; `text` is the end of what it said, credentials and all."""

    def __init__(self, command: str, code: int, text: str) -> None:
        super().__init__(f"git {command} ended with {code}: {text}")
        self.command = command
        self.code = code
        self.text = text


class GitTimeoutError(Exception):
    """git was ended because it took too long."""


class Git:
    """git in the folder `cwd` with exactly the environment `env`. Every call blocks."""

    def __init__(self, cwd: Path, env: dict[str, str]) -> None:
        self._cwd = cwd
        self._env = env

    def read(self, *arguments: str, timeout: float | None = None) -> str:
        """Standard output as text. Errors: GitError, GitTimeoutError.

        With a `timeout` git has a process group of its own: its helpers would otherwise outlive it,
        waiting for a server.
        """
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            process_group=None if timeout is None else 0,
        )
        try:
            output, problem = process.communicate(timeout=timeout)
        except BaseException as err:
            if timeout is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
            process.kill()
            process.communicate()
            if isinstance(err, subprocess.TimeoutExpired):
                raise GitTimeoutError(arguments[0]) from err
            raise
        if process.returncode != 0:
            text = problem.decode("utf-8", "replace").strip()
            raise GitError(arguments[0], process.returncode, text)
        return output.decode("utf-8", "surrogateescape")

    def succeeds(self, *arguments: str) -> bool:
        """Whether git ends with 0."""
        try:
            self.read(*arguments)
        except GitError:
            return False
        return True

    def one(self, *arguments: str) -> str | None:
        """The single line git prints; None when it fails or prints nothing."""
        try:
            return self.read(*arguments).strip() or None
        except GitError:
            return None

    def names(self, *arguments: str) -> list[str]:
        """What git prints, split at NUL."""
        return [name for name in self.read(*arguments).split("\0") if name]

    def follow(self, *arguments: str, on_line: Callable[[str], None]) -> None:
        """Run to the end, handing on each line of its progress. Errors: GitError."""
        process = subprocess.Popen(
            ["git", *arguments],
            cwd=self._cwd,
            env=self._env,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
        )
        assert process.stdout is not None
        said: list[str] = []
        with process:
            for line in lines(_chunks(process.stdout.fileno())):
                said = [*said[-_KEPT_LINES:], line]
                on_line(line)
        if process.returncode != 0:
            raise GitError(arguments[0], process.returncode, "\n".join(said))


def _chunks(descriptor: int) -> Iterator[bytes]:
    while chunk := os.read(descriptor, 65536):
        yield chunk
