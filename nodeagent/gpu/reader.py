"""Between agent and child process: asks with a deadline and a back-off, ends one that hangs."""

import asyncio
import contextlib
import ctypes
import json
import logging
import sys
from _ctypes import dlclose
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from nodeagent.gpu.model import GpuState

log = logging.getLogger("nodeagent.gpu")

LIBRARY = "libnvidia-ml.so.1"
_RETRY_FIRST = 5.0
_RETRY_MOST = 300.0
_LINE_BYTES = 16 * 2**20
"""Of an answer: some hundred thousand processes."""


def library_loads(name: str = LIBRARY) -> bool:
    """Whether the driver's library is there for this process. Loads and unloads it."""
    try:
        dlclose(ctypes.CDLL(name)._handle)
    except OSError:
        return False
    return True


class _FaultError(Exception):
    """The child did not give a good answer; `no_driver`: because there is nothing to read."""

    def __init__(self, message: str, *, no_driver: bool = False) -> None:
        super().__init__(message)
        self.no_driver = no_driver


@dataclass(frozen=True, kw_only=True)
class Answer:
    """`raw`: what the child read (see `nodeagent.gpu.nvml`); None: nothing new, `message` says
    why."""

    state: GpuState
    message: str
    raw: Mapping[str, Any] | None = None


class NvmlLink:
    """Starts the child only where the NVIDIA library loads; a new one after each fault."""

    def __init__(
        self,
        *,
        timeout: float,
        clock: Callable[[], float],
        env: Mapping[str, str] | None = None,
        has_library: Callable[[], bool] = library_loads,
        retry_first: float = _RETRY_FIRST,
    ) -> None:
        self._timeout = timeout
        self._clock = clock
        self._env = None if env is None else dict(env)
        self._has_library = has_library
        self._retry_first = retry_first
        self._child: asyncio.subprocess.Process | None = None
        self._good = False
        self._last = Answer(state="starting", message="GPUs have not been read yet.")
        self._retry_at = 0.0
        self._pause = retry_first

    @property
    def child_pid(self) -> int | None:
        """Of the process that reads now; None: there is none."""
        child = self._child
        return None if child is None or child.returncode is not None else child.pid

    async def ask(self, wanted: Mapping[str, Any]) -> Answer:
        """One reading within the timeout. Never raises for what a driver may do."""
        if self._clock() < self._retry_at:
            return self._last
        try:
            raw = await self._ask(wanted)
        except _FaultError as err:
            await self._end_child()
            # Doubled up to five minutes: a driver that is not there costs next to nothing.
            self._retry_at = self._clock() + self._pause
            self._pause = min(self._pause * 2, _RETRY_MOST)
            if err.no_driver:
                self._good = False
                self._set("no_driver", str(err))
            else:
                self._set("stale" if self._good else "error", str(err))
            return self._last
        self._pause = self._retry_first
        self._good = True
        cards = [each for each in raw["gpus"] if each.get("kind") != "mig"]
        gone = [str(each["text"]) for each in cards if "gone" in each]
        several = "" if len(cards) - len(gone) == 1 else "s"
        if gone:
            self._set("error", " ".join(gone))
        else:
            self._set("ok", f"{len(cards)} GPU{several}.")
        return Answer(state=self._last.state, message=self._last.message, raw=raw)

    async def renew(self) -> None:
        """Have the next reading made by a new process: NVML remembers a card that was lost."""
        await self._end_child()

    async def close(self) -> None:
        """End the child."""
        await self._end_child()

    def _set(self, state: GpuState, message: str) -> None:
        if (state, message) != (self._last.state, self._last.message):
            log.log(
                logging.INFO if state in ("ok", "no_driver") else logging.WARNING, "%s", message
            )
        self._last = Answer(state=state, message=message)

    async def _ask(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        child = await self._running_child()
        if child.stdin is None or child.stdout is None:
            raise _FaultError("The GPU process has no pipes.")
        try:
            child.stdin.write(json.dumps(wanted).encode() + b"\n")
            async with asyncio.timeout(self._timeout):
                await child.stdin.drain()
                line = await child.stdout.readline()
        except TimeoutError as err:
            raise _FaultError(
                f"The NVIDIA driver did not answer within {self._timeout:g} s. "
                "See dmesg; if nvidia-smi hangs too, restart the machine."
            ) from err
        except (OSError, ValueError) as err:
            raise _FaultError(f"The GPU process ended: {err}") from err
        if not line:
            raise _FaultError("The GPU process ended without an answer; a new one will be started.")
        try:
            answer = json.loads(line)
            if "error" in answer:
                raise _FaultError(str(answer["error"]), no_driver=bool(answer["no_driver"]))
            if not isinstance(answer["gpus"], list):
                raise ValueError("gpus is no list")
        except (ValueError, TypeError, KeyError) as err:
            raise _FaultError(f"The GPU process answered {line[:80]!r}: {err}") from err
        return dict(answer)

    async def _running_child(self) -> asyncio.subprocess.Process:
        if self._child is not None and self._child.returncode is None:
            return self._child
        if not self._has_library():
            raise _FaultError(
                f"No NVIDIA driver on this node ({LIBRARY} is not there).", no_driver=True
            )
        try:
            self._child = await asyncio.create_subprocess_exec(
                sys.executable,
                "-m",
                "nodeagent.gpu.child",
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                stderr=asyncio.subprocess.DEVNULL,
                env=self._env,
                limit=_LINE_BYTES,
            )
        except OSError as err:
            raise _FaultError(f"Cannot start the GPU process: {err.strerror}.") from err
        return self._child

    async def _end_child(self) -> None:
        child = self._child
        if child is None:
            return
        if child.stdin is not None:
            child.stdin.close()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.2):
                await child.wait()
        if child.returncode is None:
            child.kill()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1):
                    await child.wait()
        if child.returncode is None:
            # Stuck in the driver, and not even SIGKILL ends it. Kept: a second would get stuck too.
            log.error("the GPU process %d cannot be ended; the driver holds it", child.pid)
            return
        self._child = None
