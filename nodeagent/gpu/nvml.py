"""The NVML edge: runs in the child process only, the one place that imports pynvml.

pynvml's peculiarities, handled here: NVMLError can carry value 0 ("Success" with nothing in it);
NVMLLibraryMismatchError is no NVMLError; NVMLError compares by value and is unhashable; unknown
memory is 2**64-1; a failed init leaves the library callable.

What it answers is plain JSON: per card the calls that succeeded (`calls`) and the NVML code of
each that did not (`errors`). What a code means is judged by the agent (`nodeagent.gpu.facts`).
"""

from collections.abc import Callable, Mapping
from typing import Any

import pynvml

from nodeagent.gpu.gpm import Gpm

SCRAMBLED = -1
"""Code of our own: a process list with impossible pids, as of drivers 535.43 to 535.86."""

_UNKNOWN_BYTES = 2**64 - 1
_BAD_PIDS = frozenset({0, 2**32 - 1})
_MOST_EVENTS = 1000

_FUNCTION_NOT_FOUND = pynvml.NVML_ERROR_FUNCTION_NOT_FOUND
_LOST = pynvml.NVML_ERROR_GPU_IS_LOST
_RESET = getattr(pynvml, "NVML_ERROR_RESET_REQUIRED", 16)
_MISMATCH = getattr(pynvml, "NVML_ERROR_LIB_RM_VERSION_MISMATCH", 18)
# Final for this device or driver: the value is not there, and nothing is broken.
_FINAL = frozenset({pynvml.NVML_ERROR_NOT_SUPPORTED, _FUNCTION_NOT_FOUND, 25})
_NO_DRIVER = frozenset({pynvml.NVML_ERROR_DRIVER_NOT_LOADED, pynvml.NVML_ERROR_LIBRARY_NOT_FOUND})
_FIXES = {
    _LOST: "Look for Xid lines in dmesg and restart the machine.",
    _RESET: "Reset the GPU (nvidia-smi --gpu-reset).",
    pynvml.NVML_ERROR_OPERATING_SYSTEM: "Give the agent's container access to the GPU devices.",
    pynvml.NVML_ERROR_UNKNOWN: (
        "If nvidia-smi works on the host, the agent's container has lost its devices: restart it."
    ),
    _MISMATCH: "The driver was upgraded under a running kernel module: restart the machine.",
}
_LISTS = (
    ("processes", "C", "nvmlDeviceGetComputeRunningProcesses"),
    ("mps_processes", "M", "nvmlDeviceGetMPSComputeRunningProcesses"),
    ("graphics_processes", "G", "nvmlDeviceGetGraphicsRunningProcesses"),
)
# Read at every tick, each as one call with these arguments.
_SIMPLE: tuple[tuple[str, str, tuple[int, ...]], ...] = (
    ("power", "nvmlDeviceGetPowerUsage", ()),
    ("power_limit", "nvmlDeviceGetEnforcedPowerLimit", ()),
    ("temperature", "nvmlDeviceGetTemperature", (0,)),
    ("compute_mode", "nvmlDeviceGetComputeMode", ()),
    ("ecc", "nvmlDeviceGetTotalEccErrors", (1, 0)),
    ("remapped", "nvmlDeviceGetRemappedRows", ()),
    ("retired_pending", "nvmlDeviceGetRetiredPagesPendingStatus", ()),
)
# NVML has these for whole cards only.
_NOT_OF_INSTANCES = ("rates", "samples", *(name for name, _, _ in _SIMPLE))
# Read once per card.
_FIXED: tuple[tuple[str, str], ...] = (
    ("name", "nvmlDeviceGetName"),
    ("virtualization", "nvmlDeviceGetVirtualizationMode"),
    ("addressing", "nvmlDeviceGetAddressingMode"),
    ("pcie_generation", "nvmlDeviceGetMaxPcieLinkGeneration"),
    ("pcie_width", "nvmlDeviceGetMaxPcieLinkWidth"),
)


class NvmlFaultError(Exception):
    """NVML failed. `no_driver`: there is nothing to read, which is a normal state."""

    def __init__(self, message: str, *, no_driver: bool = False) -> None:
        super().__init__(message)
        self.no_driver = no_driver


class _GoneError(Exception):
    """This card does not answer any more; `code`: why."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


def _fault(tried: str, err: pynvml.NVMLError) -> NvmlFaultError:
    fix = _FIXES.get(err.value, "See dmesg and nvidia-smi.")
    return NvmlFaultError(
        f"{tried}: {err} (NVML {err.value}). {fix}", no_driver=err.value in _NO_DRIVER
    )


def _code(err: Exception) -> int:
    return int(err.value) if isinstance(err, pynvml.NVMLError) else _FUNCTION_NOT_FOUND


def _text(value: str | bytes) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else value


class Nvml:
    """An initialised NVML. The constructor and every call may hang with a wedged driver."""

    def __init__(self) -> None:
        try:
            pynvml.nvmlInit()
            self._driver = _text(pynvml.nvmlSystemGetDriverVersion())
        except pynvml.NVMLError as err:
            raise _fault("Starting NVML", err) from err
        self._final: dict[tuple[str, str], int] = {}
        self._fixed: dict[str, dict[str, Any]] = {}
        self._uuids: dict[int, str] = {}
        self._events: Any = None
        self._gpm = Gpm()
        self._watched: set[str] = set()

    def read(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        """Every card. `wanted`: {"since": {uuid: µs of the last sample seen}, "pcie": [uuid]}."""
        try:
            count = int(pynvml.nvmlDeviceGetCount())
        except pynvml.NVMLError as err:
            raise _fault("Counting GPUs", err) from err
        gpus: list[dict[str, Any]] = []
        uuids: dict[int, str] = {}
        for index in range(count):
            gpus += self._card(index, wanted, uuids)
        self._uuids = uuids
        return {"driver": self._driver, "gpus": gpus, "events": self._new_events()}

    def _card(
        self, index: int, wanted: Mapping[str, Any], uuids: dict[int, str]
    ) -> list[dict[str, Any]]:
        uuid = None
        try:
            handle = self._must(pynvml.nvmlDeviceGetHandleByIndex, index)
            uuid = uuids[index] = _text(self._must(pynvml.nvmlDeviceGetUUID, handle))
            card = self._one(handle, uuid, index, wanted)
            return [card, *self._instances(handle, card, index)]
        except _GoneError as err:
            # Its name is known only when it answered before under this index.
            uuid = uuid or self._uuids.get(index)
            if uuid is not None:
                uuids[index] = uuid
                self._watched.discard(uuid)
            fix = _FIXES.get(err.code, "See dmesg and nvidia-smi.")
            text = f"GPU {index}: {pynvml.NVMLError(err.code)} (NVML {err.code}). {fix}"
            return [{"index": index, "uuid": uuid, "gone": err.code, "text": text}]

    def _one(self, handle: Any, uuid: str, index: int, wanted: Mapping[str, Any]) -> dict[str, Any]:
        card: dict[str, Any] = {"index": index, "uuid": uuid, "kind": "gpu"}
        calls: dict[str, Any] = {}
        errors: dict[str, int] = {}
        card |= {"calls": calls, "errors": errors}

        def ask(name: str, call: Callable[..., Any] | None, *arguments: Any) -> Any:
            return self._ask(uuid, calls, errors, name, call, *arguments)

        self._memory(uuid, handle, calls, errors)
        rates = ask("rates", pynvml.nvmlDeviceGetUtilizationRates, handle)
        if rates is not None:
            calls["rates"] = [int(rates.gpu), int(rates.memory)]
        for name, function, extra in _SIMPLE:
            ask(name, getattr(pynvml, function, None), handle, *extra)
        ask("mig_mode", pynvml.nvmlDeviceGetMigMode, handle)
        if uuid not in self._fixed:
            for name, function in _FIXED:
                ask(name, getattr(pynvml, function, None), handle)
            self._fixed[uuid] = {name: calls[name] for name, _ in _FIXED if name in calls}
        calls |= self._fixed[uuid]
        errors |= {name: code for (of, name), code in self._final.items() if of == uuid}
        self._processes(uuid, handle, card)
        self._samples(uuid, handle, calls, errors, int(wanted.get("since", {}).get(uuid, 0)))
        if uuid in wanted.get("pcie", ()):
            # 20 ms per direction, so only for those in question.
            sent = ask("pcie_sent", pynvml.nvmlDeviceGetPcieThroughput, handle, 0)
            got = ask("pcie_received", pynvml.nvmlDeviceGetPcieThroughput, handle, 1)
            if sent is not None and got is not None:
                calls["pcie"] = [int(sent), int(got)]
        self._watch(uuid, handle)
        return card

    def _instances(self, handle: Any, card: dict[str, Any], index: int) -> list[dict[str, Any]]:
        mode = card["calls"].get("mig_mode")
        if not mode or mode[0] != 1:
            return []
        found: list[dict[str, Any]] = []
        most = self._value(pynvml.nvmlDeviceGetMaxMigDeviceCount, handle) or 0
        for number in range(int(most)):
            # Numbers are sparse: a missing one is no end.
            instance = self._value(pynvml.nvmlDeviceGetMigDeviceHandleByIndex, handle, number)
            uuid = None if instance is None else self._value(pynvml.nvmlDeviceGetUUID, instance)
            if uuid is None:
                continue
            calls: dict[str, Any] = {}
            errors = dict.fromkeys(_NOT_OF_INSTANCES, int(pynvml.NVML_ERROR_NOT_SUPPORTED))
            each = {
                "index": index,
                "uuid": _text(uuid),
                "kind": "mig",
                "parent": card["uuid"],
                "calls": calls,
                "errors": errors,
            }
            name = self._value(pynvml.nvmlDeviceGetName, instance)
            if name is not None:
                calls["name"] = _text(name)
            self._memory(each["uuid"], instance, calls, errors)
            self._processes(each["uuid"], instance, each)
            busy = self._gpm.busy(handle, instance, each["uuid"], str(card["uuid"]))
            if busy is not None:
                calls["gpm"] = busy
            found.append(each)
        self._gpm.keep({each["uuid"] for each in found}, str(card["uuid"]))
        return found

    def _memory(
        self, uuid: str, handle: Any, calls: dict[str, Any], errors: dict[str, int]
    ) -> None:
        """[total, reserved, used, free]. Version 2 leaves the driver's reserve out of used."""
        version = getattr(pynvml, "nvmlMemory_v2", None)
        answer, reserve = None, True
        if version is not None:
            call = pynvml.nvmlDeviceGetMemoryInfo
            answer = self._ask(uuid, calls, errors, "memory_v2", call, handle, version)
        if answer is None:
            reserve = False
            answer = self._ask(
                uuid, calls, errors, "memory", pynvml.nvmlDeviceGetMemoryInfo, handle
            )
        calls.pop("memory_v2", None)
        if answer is None:
            calls.pop("memory", None)
            return
        numbers = [answer.total, answer.reserved if reserve else None, answer.used, answer.free]
        calls["memory"] = [
            None if number is None or number == _UNKNOWN_BYTES else int(number)
            for number in numbers
        ]

    def _processes(self, uuid: str, handle: Any, card: dict[str, Any]) -> None:
        """[pid, bytes or None, C | M | G]; an error of the compute list alone leaves none."""
        listed: list[list[Any]] = []
        errors, calls = card["errors"], card["calls"]
        for name, kind, function in _LISTS:
            found = self._list(uuid, errors, name, getattr(pynvml, function, None), handle)
            if found is None:
                continue
            if any(int(each.pid) in _BAD_PIDS for each in found):
                errors[name] = SCRAMBLED
                continue
            calls[name] = len(found)
            for each in found:
                size = each.usedGpuMemory
                known = None if size is None or size == _UNKNOWN_BYTES else int(size)
                listed.append([int(each.pid), known, kind])
        card["processes"] = listed

    def _list(
        self,
        uuid: str,
        errors: dict[str, int],
        name: str,
        call: Callable[..., Any] | None,
        handle: Any,
    ) -> list[Any] | None:
        for _ in range(3):
            kept: dict[str, Any] = {}
            found = self._ask(uuid, kept, errors, name, call, handle)
            if found is not None:
                errors.pop(name, None)
                return list(found)
            code = errors.get(name)
            if code in (pynvml.NVML_SUCCESS, pynvml.NVML_ERROR_NOT_FOUND):
                del errors[name]
                return []
            if code != pynvml.NVML_ERROR_INSUFFICIENT_SIZE:
                return None
            # Processes were born between pynvml's two calls.
        return None

    def _samples(
        self, uuid: str, handle: Any, calls: dict[str, Any], errors: dict[str, int], since: int
    ) -> None:
        """[pid, µs, SM %, memory %] of processes with work; an empty list: none had any."""
        call = pynvml.nvmlDeviceGetProcessUtilization

        def ask(each: Any) -> Any:
            return call(each, since)

        found = self._list(uuid, errors, "samples", ask, handle)
        if found is not None:
            calls["samples"] = [
                [int(each.pid), int(each.timeStamp), int(each.smUtil), int(each.memUtil)]
                for each in found
            ]

    def _watch(self, uuid: str, handle: Any) -> None:
        if uuid in self._watched or (uuid, "events") in self._final:
            return
        kinds = pynvml.nvmlEventTypeXidCriticalError
        try:
            if self._events is None:
                self._events = pynvml.nvmlEventSetCreate()
            pynvml.nvmlDeviceRegisterEvents(handle, kinds, self._events)
            self._watched.add(uuid)
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as err:
            self._final[uuid, "events"] = _code(err)

    def _new_events(self) -> list[list[Any]]:
        """[uuid or None, Xid] since the last reading."""
        found: list[list[Any]] = []
        while self._watched and len(found) < _MOST_EVENTS:
            try:
                event = pynvml.nvmlEventSetWait_v2(self._events, 1)
            except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
                break  # a timeout: nothing more; anything else shows in the other calls
            if event.eventType == pynvml.nvmlEventTypeXidCriticalError:
                try:
                    uuid = self._value(pynvml.nvmlDeviceGetUUID, event.device)
                except _GoneError:
                    uuid = None
                found.append([None if uuid is None else _text(uuid), int(event.eventData)])
        return found

    def _ask(
        self,
        uuid: str,
        calls: dict[str, Any],
        errors: dict[str, int],
        name: str,
        call: Callable[..., Any] | None,
        *arguments: Any,
    ) -> Any:
        """The answer, kept in `calls`; or None and its code in `errors`."""
        if (uuid, name) in self._final:
            errors[name] = self._final[uuid, name]
            return None
        try:
            if call is None:
                raise pynvml.NVMLError(_FUNCTION_NOT_FOUND)
            answer = call(*arguments)
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError) as err:
            code = errors[name] = _code(err)
            if code in _FINAL:
                self._final[uuid, name] = code
            if code in (_LOST, _RESET, _MISMATCH):
                raise _GoneError(code) from err
            return None
        calls[name] = _text(answer) if isinstance(answer, bytes) else answer
        return answer

    def _value(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except pynvml.NVMLError as err:
            if err.value in (_LOST, _RESET):
                raise _GoneError(int(err.value)) from err
            return None
        except pynvml.NVMLLibraryMismatchError:
            return None

    def _must(self, call: Callable[..., Any], *arguments: Any) -> Any:
        try:
            return call(*arguments)
        except pynvml.NVMLError as err:
            raise _GoneError(int(err.value)) from err
