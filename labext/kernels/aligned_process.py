"""One aligned process from the server's side: started, awaited, assigned, or ended."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, Self

from .command import through_launcher
from .recipe import Recipe

Popen = subprocess.Popen[bytes]


class Process(Protocol):
    """What is used of a Popen, here and by jupyter_client."""

    pid: int
    returncode: int | None
    stdin: Any
    stdout: Any
    stderr: Any

    def poll(self) -> int | None:
        """The exit code; None while it runs."""

    def wait(self, timeout: float | None = None) -> int:
        """The exit code, once it has ended. Errors: subprocess.TimeoutExpired."""

    def send_signal(self, sig: int) -> None:
        """Nothing when it has ended."""

    def terminate(self) -> None:
        """SIGTERM."""

    def kill(self) -> None:
        """SIGKILL."""


#: jupyter_client's launch_kernel, or something that takes the same.
Launch = Callable[..., Popen]


@dataclass(frozen=True, kw_only=True)
class Ready:
    """What an aligned process says when it is ready.

    `fingerprint`: see `aligned.fingerprint`. `dropped`: (module, why) pairs. `notes`: problems
    that do not matter to the student. `seconds`: of its last preload. `whole`: all memory is opted
    in, not only what was there when it became ready. `unforkable`: why no kernel can be forked
    from it; None when it can.
    """

    fingerprint: dict[str, Any]
    dropped: tuple[tuple[str, str], ...] = ()
    notes: tuple[str, ...] = ()
    seconds: float = 0.0
    whole: bool = True
    unforkable: str | None = None


class NotAlignedError(Exception):
    """An aligned start that did not come about. `lasting`: the next would fail the same way.

    `module`: the import that was going on. `merge_refused`: not even the opt-in was possible.
    `state`: whether something failed, or this student's own surroundings need a stock kernel.
    """

    def __init__(
        self,
        reason: str,
        *,
        lasting: bool = False,
        module: str | None = None,
        merge_refused: bool = False,
        state: Literal["refused", "unsuited"] = "refused",
    ) -> None:
        super().__init__(reason)
        self.reason = reason
        self.lasting = lasting
        self.module = module
        self.merge_refused = merge_refused
        self.state = state


@dataclass(kw_only=True)
class Progress:
    """What the lines so far add up to."""

    merged: bool = False
    whole: bool = False
    module: str | None = None
    dropped: list[tuple[str, str]] = field(default_factory=list)

    def take(self, line: str) -> Ready | None:
        """Understand one line; Ready when it is. Errors: NotAlignedError ends the start."""
        word, _, rest = line.partition(" ")
        if word == "merge" and rest == "later":
            return None
        if word in {"merge", "regions"}:
            if rest != "yes":
                answer = rest.removeprefix("no ")
                raise NotAlignedError(
                    f"Linux refused the opt-in ({answer})", lasting=True, merge_refused=True
                )
            self.merged = True
            self.whole = word == "merge" or self.whole
        elif word == "layout" and rest != "yes":
            answer = rest.removeprefix("no ")
            raise NotAlignedError(f"Linux refused a fixed layout ({answer})", lasting=True)
        elif word == "streams":
            raise NotAlignedError(f"its standard streams could not be set aside ({rest})")
        elif word == "exec":
            raise NotAlignedError(f"its program cannot run ({rest})", lasting=True)
        elif word == "import":
            self.module = rest
        elif word == "dropped":
            name, reason = json.loads(rest)
            self.dropped.append((name, reason))
        elif word == "ready":
            fields = json.loads(rest)
            return Ready(
                fingerprint=fields["fingerprint"],
                dropped=tuple(self.dropped),
                notes=tuple(fields["notes"]),
                seconds=fields["seconds"],
                whole=self.whole,
                unforkable=fields.get("unforkable"),
            )
        return None


class AlignedProcess:
    """A process of one recipe. Its methods block; they are for threads."""

    def __init__(self, recipe: Recipe, process: Process, line: socket.socket) -> None:
        self.recipe = recipe
        self.process = process
        self.ready: Ready | None = None
        self._line = line
        self._buffer = b""

    @classmethod
    def start(cls, recipe: Recipe, launch: Launch, options: dict[str, Any]) -> Self:
        """Start one; `options` go to `launch`. Errors: OSError."""
        if not sys.executable:
            raise FileNotFoundError("this Python does not know its own program (sys.executable)")
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                command = through_launcher(
                    recipe.command(),
                    python=sys.executable,
                    report_fd=theirs.fileno(),
                    layout=recipe.layout,
                )
                passed = (*options.get("pass_fds", ()), theirs.fileno())
                settled = {"cwd": "/", "env": dict(recipe.environment), "pass_fds": passed}
                process = launch(command, **{**options, **settled})
        except BaseException:
            ours.close()
            raise
        return cls(recipe, process, ours)

    def wait_ready(self, deadline: float) -> Ready:
        """Until its preload is over. Errors: NotAlignedError. `deadline` of time.monotonic."""
        progress = Progress()
        while True:
            try:
                line = self._read_line(deadline)
            except TimeoutError:
                at = f" while importing {progress.module}" if progress.module else ""
                raise NotAlignedError(f"no answer in time{at}", module=progress.module) from None
            if line is None:
                at = f" while importing {progress.module}" if progress.module else ""
                refused = not progress.merged
                raise NotAlignedError(
                    f"the process ended{at or ' before it could opt in'}",
                    module=progress.module,
                    merge_refused=refused,
                )
            try:
                ready = progress.take(line)
            except (ValueError, KeyError, TypeError) as err:
                raise NotAlignedError(f"it answered {line[:80]!r} ({err})") from err
            if ready is not None:
                self.ready = ready
                return ready

    def assign(self, fields: bytes, deadline: float) -> None:
        """Make it a student's kernel. Errors: NotAlignedError."""
        try:
            self._line.settimeout(max(deadline - time.monotonic(), 0.01))
            self._line.sendall(fields)
            line = self._read_line(deadline)
        except OSError as err:
            raise NotAlignedError(f"it did not take its assignment ({err})") from err
        if line is None:
            raise NotAlignedError("it ended when it got its assignment")
        word, _, rest = line.partition(" ")
        if word == "cannot":
            raise NotAlignedError(rest, state="unsuited")
        if word == "refused":
            raise NotAlignedError(rest)
        if word != "took":
            raise NotAlignedError(f"it answered {line[:80]!r}")
        self._line.close()

    def alive(self) -> bool:
        """Whether the process still runs."""
        return self.process.poll() is None

    def discard(self) -> None:
        """End it and what it started, and reap it."""
        self._line.close()
        if self.alive():
            with contextlib.suppress(OSError):
                os.killpg(self.process.pid, signal.SIGKILL)
            with contextlib.suppress(OSError):
                self.process.kill()
        self.process.wait()
        for stream in (self.process.stdout, self.process.stderr, self.process.stdin):
            if stream is not None:
                stream.close()

    def _read_line(self, deadline: float) -> str | None:
        while b"\n" not in self._buffer:
            left = deadline - time.monotonic()
            if left <= 0:
                raise TimeoutError
            self._line.settimeout(left)
            try:
                piece = self._receive()
            except ConnectionError:
                return None
            if not piece:
                return None
            self._buffer += piece
        line, _, self._buffer = self._buffer.partition(b"\n")
        return line.decode(errors="replace")

    def _receive(self) -> bytes:
        return self._line.recv(65536)
