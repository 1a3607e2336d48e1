"""GPU values and the seam between those who show them and those who read them."""

from dataclasses import dataclass
from typing import Literal, Protocol

GpuState = Literal["ok", "no_driver", "error", "stale", "starting"]


@dataclass(frozen=True, kw_only=True)
class GpuSample:
    """One GPU. None: the card or driver does not report it; never 0 instead."""

    uuid: str
    index: int
    """Position now; changes when a card is lost, so never a key."""
    name: str | None
    memory_used_bytes: int | None
    memory_total_bytes: int | None
    memory_free_bytes: int | None
    busy_percent: int | None
    """Share of the last second or less with a kernel running: busy, not full."""
    processes: int | None


@dataclass(frozen=True, kw_only=True)
class GpuReport:
    """All GPUs. `age_seconds`: since the last good reading; None: there was none."""

    state: GpuState
    message: str
    age_seconds: float | None
    devices: tuple[GpuSample, ...]


class GpuReader(Protocol):
    """Reads GPUs without blocking the event loop; never raises for what a driver may do."""

    async def read(self) -> GpuReport:
        """A reading in bounded time, or the last one with its age and what is wrong."""
        ...

    async def close(self) -> None:
        """End what the reader started."""
        ...


class NoGpus:
    """The reader of a node where GPUs are not wanted (`--no-gpu`)."""

    async def read(self) -> GpuReport:
        """Always: none."""
        return GpuReport(
            state="no_driver", message="Reading GPUs is switched off.", age_seconds=None, devices=()
        )

    async def close(self) -> None:
        """Nothing to end."""


class FakeGpus:
    """For tests of what shows GPUs: answers what it was given."""

    def __init__(self, report: GpuReport) -> None:
        self.report = report
        self.closed = False

    async def read(self) -> GpuReport:
        """The given report."""
        return self.report

    async def close(self) -> None:
        """Remembers that it was closed."""
        self.closed = True
