"""The server's side of a template: an aligned process that kernels are forked from.

See `aligned.template` for the other side and for what is said on the line.
"""

import contextlib
import os
import socket
import threading
import time
from dataclasses import replace

from .aligned.template import FORK
from .aligned_process import AlignedProcess, NotAlignedError, Ready
from .forked_process import ForkedProcess


class Template(AlignedProcess):
    """Its methods block for milliseconds, `wait_ready` apart, and may be called by any thread."""

    def __init__(self, *arguments: object, **more: object) -> None:
        super().__init__(*arguments, **more)  # type: ignore[arg-type]  # as AlignedProcess
        #: Those it serves: its own, and the same without what had to be dropped.
        self.recipes = {self.recipe}
        #: No kernel is forked from it any more.
        self.spent = False
        self._talk = threading.RLock()
        self._descriptors: list[int] = []
        self._exits: dict[int, int] = {}
        self._children: list[ForkedProcess] = []

    def wait_ready(self, deadline: float) -> Ready:
        """As AlignedProcess."""
        ready = super().wait_ready(deadline)
        dropped = {name for name, _ in ready.dropped}
        kept = tuple(name for name in self.recipe.modules if name not in dropped)
        self.recipes.add(replace(self.recipe, modules=kept))
        return ready

    @property
    def busy(self) -> bool:
        """Whether a kernel forked from it still runs: it must not be ended then."""
        with self._talk:
            self._children = [child for child in self._children if child.poll() is None]
            return bool(self._children)

    def fork(self, deadline: float) -> AlignedProcess:
        """A kernel to be assigned. Errors: NotAlignedError; it is `spent` unless it said no."""
        ours, theirs = socket.socketpair()
        try:
            with theirs, self._talk:
                kernel = self._forked(theirs, deadline)
                self._children.append(kernel)
        except BaseException:
            ours.close()
            raise
        process = AlignedProcess(self.recipe, kernel, ours)
        process.ready = self.ready
        return process

    def let_go(self) -> bool:
        """Fork no more from it, if no kernel runs from it; whether it may be discarded."""
        with self._talk:
            if self.busy:
                return False
            self.spent = True
            return True

    def retire(self) -> None:
        """End it once no kernel runs from it, and fork no more. Blocks until then."""
        with self._talk:
            self.spent = True
            children = list(self._children)
        for child in children:
            child.wait()
        self.discard()

    def discard(self) -> None:
        """End it and reap it. The kernels forked from it would end as well."""
        super().discard()
        self._drop_descriptors()

    def exit_code(self, pid: int, deadline: float) -> int | None:
        """How a kernel forked from it ended; None when it does not tell in time."""
        if not self._talk.acquire(timeout=max(deadline - time.monotonic(), 0)):
            return None
        try:
            with contextlib.suppress(OSError, NotAlignedError):
                while pid not in self._exits:
                    self._next(deadline)
            return self._exits.pop(pid, None)
        finally:
            self._talk.release()

    def _forked(self, theirs: socket.socket, deadline: float) -> ForkedProcess:
        if self.spent:
            raise NotAlignedError("the prepared process is being ended")
        # Until it has answered: a later answer would be taken for that to the next question.
        self.spent = True
        try:
            self._line.settimeout(max(deadline - time.monotonic(), 0.01))
            socket.send_fds(self._line, [FORK], [theirs.fileno()])
            word = ""
            while word not in {"forked", "unforked"}:
                word, rest = self._next(deadline)
        except OSError as err:
            raise NotAlignedError(f"the prepared process did not answer ({err})") from err
        if word == "forked" and not self._descriptors:
            raise NotAlignedError("the prepared process sent no descriptor of its kernel")
        self.spent = False
        if word == "unforked":
            raise NotAlignedError(rest)
        return ForkedProcess(int(rest), self._descriptors.pop(0), self.exit_code)

    def _next(self, deadline: float) -> tuple[str, str]:
        """The next line; what it says of ended kernels is noted. Errors: NotAlignedError."""
        line = self._read_line(deadline)
        if line is None:
            raise NotAlignedError("the prepared process has ended")
        word, _, rest = line.partition(" ")
        if word == "exit":
            pid, _, code = rest.partition(" ")
            self._exits[int(pid)] = int(code)
        return word, rest

    def _receive(self) -> bytes:
        piece, descriptors, _, _ = socket.recv_fds(self._line, 65536, 8)
        self._descriptors += descriptors
        return piece

    def _drop_descriptors(self) -> None:
        while self._descriptors:
            with contextlib.suppress(OSError):
                os.close(self._descriptors.pop())
