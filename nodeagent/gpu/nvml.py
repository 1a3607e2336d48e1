"""The NVML edge: runs in the child process only, the one place that imports pynvml.

pynvml's peculiarities, handled here: NVMLError can carry value 0 ("Success" with nothing in it);
NVMLLibraryMismatchError is no NVMLError; NVMLError compares by value and is unhashable; unknown
memory is 2**64-1; a failed init leaves the library callable.
"""

from collections.abc import Callable
from typing import Any

import pynvml

from nodeagent.gpu.model import GpuSample

_UNKNOWN_BYTES = 2**64 - 1
_BAD_PIDS = frozenset({0, 2**32 - 1})

# Final for this device or driver: the value is not there, and nothing is broken.
_NOT_THERE = frozenset(
    {
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_NOT_FOUND,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        getattr(pynvml, "NVML_ERROR_ARGUMENT_VERSION_MISMATCH", 25),
    }
)
_NO_DRIVER = frozenset({pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})
_FIXES = {
    pynvml.NVML_ERROR_GPU_IS_LOST: "Look for Xid lines in dmesg and restart the machine.",
    getattr(pynvml, "NVML_ERROR_RESET_REQUIRED", 16): "Reset the GPU (nvidia-smi --gpu-reset).",
    pynvml.NVML_ERROR_OPERATING_SYSTEM: "Give the agent's container access to the GPU devices.",
    getattr(pynvml, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", 18): (
        "The driver was upgraded under a running kernel module: restart the machine."
    ),
}


class NvmlFaultError(Exception):
    """NVML failed. `no_driver`: there is nothing to read, which is a normal state."""

    def __init__(self, message: str, *, no_driver: bool = False) -> None:
        super().__init__(message)
        self.no_driver = no_driver


def _fault(tried: str, err: pynvml.NVMLError) -> NvmlFaultError:
    fix = _FIXES.get(err.value, "See dmesg and nvidia-smi.")
    return NvmlFaultError(
        f"{tried}: {err} (NVML {err.value}). {fix}", no_driver=err.value in _NO_DRIVER
    )


def _ask(call: Callable[..., Any], *arguments: Any) -> Any:
    """The call's answer, or None when this card or driver does not have it. NvmlFaultError else."""
    try:
        return call(*arguments)
    except pynvml.NVMLError as err:
        if err.value in _NOT_THERE or err.value == pynvml.NVML_SUCCESS:
            return None
        raise _fault(call.__name__, err) from err
    except pynvml.NVMLLibraryMismatchError:
        return None


def _text(value: str | bytes | None) -> str | None:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


def _bytes(value: int | None) -> int | None:
    return None if value is None or value == _UNKNOWN_BYTES else int(value)


def _memory(handle: Any) -> tuple[int | None, int | None, int | None]:
    """(used, total, free). Version 2 leaves the driver's reserve out of used; else version 1."""
    answer = None
    version = getattr(pynvml, "nvmlMemory_v2", None)
    if version is not None:
        answer = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle, version)
    if answer is None:
        answer = _ask(pynvml.nvmlDeviceGetMemoryInfo, handle)
    if answer is None:
        return None, None, None
    return _bytes(answer.used), _bytes(answer.total), _bytes(answer.free)


def _process_list(call: Callable[..., Any], handle: Any) -> set[int] | None:
    """PIDs; None: not reported, or the scrambled list of drivers 535.43-535.86."""
    try:
        listed = call(handle)
    except pynvml.NVMLError as err:
        if err.value in (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND):
            return set()
        if err.value == pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
            # Processes were born between pynvml's two calls.
            listed = _ask(call, handle)
            if listed is None:
                return None
        elif err.value in _NOT_THERE:
            return None
        else:
            raise _fault(call.__name__, err) from err
    except pynvml.NVMLLibraryMismatchError:
        return None
    pids = {int(process.pid) for process in listed}
    return None if pids & _BAD_PIDS else pids


def _processes(handle: Any) -> int | None:
    """Distinct processes over compute, MPS and graphics; None unless compute is reported."""
    found = _process_list(pynvml.nvmlDeviceGetComputeRunningProcesses, handle)
    if found is None:
        return None
    for name in (
        "nvmlDeviceGetMPSComputeRunningProcesses",
        "nvmlDeviceGetGraphicsRunningProcesses",
    ):
        call = getattr(pynvml, name, None)
        if call is not None:
            found |= _process_list(call, handle) or set()
    return len(found)


class Nvml:
    """An initialised NVML. The constructor and every call may hang with a wedged driver."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as err:
            raise _fault("Starting NVML", err) from err

    def read(self) -> tuple[list[GpuSample], list[str]]:
        """Every GPU that answers, and a sentence for each that does not."""
        try:
            count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as err:
            raise _fault("Counting GPUs", err) from err
        samples: list[GpuSample] = []
        faults: list[str] = []
        for index in range(count):
            try:
                samples.append(self._device(index))
            except NvmlFaultError as err:
                faults.append(f"GPU {index}: {err}")
        return samples, faults

    def _device(self, index: int) -> GpuSample:
        handle = _ask(pynvml.nvmlDeviceGetHandleByIndex, index)
        uuid = None if handle is None else _text(_ask(pynvml.nvmlDeviceGetUUID, handle))
        if uuid is None:
            raise NvmlFaultError("this agent has no permission to look at it")
        used, total, free = _memory(handle)
        rates = _ask(pynvml.nvmlDeviceGetUtilizationRates, handle)
        busy = None if rates is None else int(rates.gpu)
        return GpuSample(
            uuid=uuid,
            index=index,
            name=_text(_ask(pynvml.nvmlDeviceGetName, handle)),
            memory_used_bytes=used,
            memory_total_bytes=total,
            memory_free_bytes=free,
            busy_percent=busy if busy is None or 0 <= busy <= 100 else None,
            processes=_processes(handle),
        )
