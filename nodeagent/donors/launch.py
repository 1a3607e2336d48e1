"""Starts one donor: opted in to KSM, ended with its keeper, frozen once it is warm."""

import asyncio
import contextlib
import ctypes
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from nodeagent.errors import AgentError
from nodeagent.ksm.processes import parse_ksm_stat

_PR_SET_PDEATHSIG, _PR_SET_MEMORY_MERGE = 1, 67
READY, AWAKE = b"ready", b"ready awake"
_LINE_LIMIT = 65536


class DonorError(AgentError):
    """A donor did not start, or ended while it warmed up."""

    code = "donor"


def _before_exec(keeper: int) -> Callable[[], None]:
    """What the new process does between fork and exec."""
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]

    def prepare() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
        if os.getppid() != keeper:
            os._exit(1)
        # A refusal is seen afterwards, in ksm_stat; the command may opt in by itself.
        prctl(_PR_SET_MEMORY_MERGE, 1, 0, 0, 0)

    return prepare


class Donor:
    """One running donor process."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self.pid = process.pid
        self.awake = False
        """It asked to go on running, such as to see when the process ends that holds the pages."""

    @classmethod
    async def start(cls, command: Sequence[str], env: Mapping[str, str]) -> "Donor":
        """Start it. DonorError: the program is not there or may not run."""
        try:
            process = await asyncio.create_subprocess_exec(
                *command,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.PIPE,
                env=dict(env),
                limit=_LINE_LIMIT,
                preexec_fn=_before_exec(os.getpid()),
                start_new_session=True,
            )
        except OSError as err:
            raise DonorError(
                f"Cannot start the donor {command[0]}: {err.strerror}",
                fix="Give the command that starts a kernel's memory in this image.",
            ) from err
        return cls(process)

    async def warm(self, seconds: float) -> bool:
        """Wait for a line `ready` or `ready awake`; True when it came within `seconds`.

        DonorError: it ended.
        """
        output = self._process.stdout
        assert output is not None
        try:
            async with asyncio.timeout(seconds):
                while line := await output.readline():
                    if line.strip() in (READY, AWAKE):
                        self.awake = line.strip() == AWAKE
                        return True
                status = await self._process.wait()
        except TimeoutError:
            return False
        raise DonorError(
            f"The donor ended with status {status} before it was ready",
            fix="Run its command by hand and see what it says.",
        )

    def freeze(self) -> None:
        """Stop it for good, unless it asked to go on.

        A page that it wrote to would no longer be everybody's.
        """
        if not self.awake:
            self._signal(signal.SIGSTOP)

    def opted_in(self, proc: Path) -> bool | None:
        """Whether the kernel has it down for merging; None: this kernel does not tell."""
        try:
            text = (proc / str(self.pid) / "ksm_stat").read_text(encoding="ascii")
        except OSError:
            return None
        stat = parse_ksm_stat(text)
        return None if stat is None else stat.merge_any

    async def ended(self) -> int:
        """Wait until it has ended; its status."""
        return await self._process.wait()

    async def end(self) -> None:
        """Kill it; safe when it has ended."""
        self._signal(signal.SIGKILL)
        await self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        """To its whole process group: the program may be a wrapper."""
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.pid, number)
