"""The GpuReader of a real node: asks the child process, with a deadline and a back-off."""

import asyncio
import contextlib
import ctypes
import json
import logging
import sys
from _ctypes import dlclose
from collections.abc import Callable, Mapping

from nodeagent.gpu.model import GpuReport, GpuSample, GpuState

log = logging.getLogger("nodeagent.gpu")

LIBRARY = "libnvidia-ml.so.1"
_RETRY_FIRST = 5.0
_RETRY_MOST = 300.0


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


class NvmlReader:
    """Starts the child only where the NVIDIA library loads; keeps the last good reading."""

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
        self._devices: tuple[GpuSample, ...] = ()
        self._good_at: float | None = None
        self._state: GpuState = "starting"
        self._message = "GPUs have not been read yet."
        self._retry_at = 0.0
        self._pause = retry_first

    async def read(self) -> GpuReport:
        """A reading within the timeout, or the last one with its age and what is wrong."""
        now = self._clock()
        if now >= self._retry_at:
            try:
                faults = await self._ask()
                self._good_at = self._clock()
                self._pause = self._retry_first
                several = "" if len(self._devices) == 1 else "s"
                self._set("ok", f"{len(self._devices)} GPU{several}.")
                if faults:
                    self._set("error", " ".join(faults))
            except _FaultError as err:
                await self._end_child()
                # Doubled up to five minutes: a driver that is not there costs next to nothing.
                self._retry_at = self._clock() + self._pause
                self._pause = min(self._pause * 2, _RETRY_MOST)
                if err.no_driver:
                    self._devices, self._good_at = (), None
                    self._set("no_driver", str(err))
                else:
                    self._set("error" if self._good_at is None else "stale", str(err))
        age = None if self._good_at is None else self._clock() - self._good_at
        return GpuReport(
            state=self._state, message=self._message, age_seconds=age, devices=self._devices
        )

    async def close(self) -> None:
        """End the child."""
        await self._end_child()

    def _set(self, state: GpuState, message: str) -> None:
        if (state, message) != (self._state, self._message):
            log.log(
                logging.INFO if state in ("ok", "no_driver") else logging.WARNING, "%s", message
            )
        self._state, self._message = state, message

    async def _ask(self) -> list[str]:
        child = await self._running_child()
        if child.stdin is None or child.stdout is None:
            raise _FaultError("The GPU process has no pipes.")
        try:
            child.stdin.write(b"read\n")
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
            self._devices = tuple(GpuSample(**device) for device in answer["devices"])
            return [str(fault) for fault in answer["faults"]]
        except (ValueError, TypeError, KeyError) as err:
            raise _FaultError(f"The GPU process answered {line[:80]!r}: {err}") from err

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
