"""How busy MIG instances are: GPM, NVML's counters of Hopper and later. In the child process only.

Two samples make a number, so the first reading of an instance has none. What NVML tells is per GPU
instance: compute instances that share one have the same number.
"""

import contextlib
from typing import Any

import pynvml

_BUSY = pynvml.NVML_GPM_METRIC_GRAPHICS_UTIL
"""Share of the time in which something computed, as the utilisation of a whole card is."""


class Gpm:
    """Samples by instance, between two readings."""

    def __init__(self) -> None:
        self._last: dict[str, tuple[str, Any]] = {}
        self._spare: list[Any] = []
        self._supported: dict[str, bool] = {}

    def busy(self, card: Any, instance: Any, uuid: str, parent: str) -> float | None:
        """Percent since the last reading; None: not told (yet)."""
        try:
            if not self._supports(card, parent):
                return None
            number = pynvml.nvmlDeviceGetGpuInstanceId(instance)
            sample = self._spare.pop() if self._spare else pynvml.nvmlGpmSampleAlloc()
            try:
                pynvml.nvmlGpmMigSampleGet(card, number, sample)
            except pynvml.NVMLError:
                self._spare.append(sample)
                raise
            before = self._last.get(uuid)
            self._last[uuid] = (parent, sample)
            if before is None:
                return None
            self._spare.append(before[1])
            return self._between(before[1], sample)
        except (pynvml.NVMLError, pynvml.NVMLLibraryMismatchError):
            return None

    def keep(self, uuids: set[str], parent: str) -> None:
        """Forget instances of a card that are not there any more."""
        for uuid in [each for each, (of, _) in self._last.items() if of == parent]:
            if uuid not in uuids:
                with contextlib.suppress(pynvml.NVMLError):
                    pynvml.nvmlGpmSampleFree(self._last.pop(uuid)[1])

    def _supports(self, card: Any, parent: str) -> bool:
        if parent not in self._supported:
            try:
                told = pynvml.nvmlGpmQueryDeviceSupport(card)
                self._supported[parent] = bool(told.isSupportedDevice)
            except pynvml.NVMLError:
                self._supported[parent] = False
        return self._supported[parent]

    @staticmethod
    def _between(first: Any, second: Any) -> float | None:
        asked = pynvml.c_nvmlGpmMetricsGet_t()
        asked.version = pynvml.NVML_GPM_METRICS_GET_VERSION
        asked.numMetrics = 1
        asked.sample1, asked.sample2 = first, second
        asked.metrics[0].metricId = _BUSY
        pynvml.nvmlGpmMetricsGet(asked)
        if asked.metrics[0].nvmlReturn != pynvml.NVML_SUCCESS:
            return None
        percent = float(asked.metrics[0].value)
        return percent if 0 <= percent <= 100 else None
