"""Ways to place notebooks on GPUs, for the simulation; the last one is the product's `decide`."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from benchmarks.gpu_crowd import CONTEXT, Notebook
from benchmarks.spread import percentile
from nodeagent.gpu.reading import ok
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import GpuFacts, Health, ProcessFacts, Snapshot, Tenant

WINDOW = 900.0


@dataclass(kw_only=True)
class Seat:
    """A notebook on a GPU. `held`: bytes now; `busy`: spans of work, seconds."""

    notebook: Notebook
    since: float
    usual: int
    held: int = 0
    peak: int = 0
    peak_at: float = 0.0
    busy: list[tuple[float, float]] = field(default_factory=list)

    def duty(self, now: float) -> float:
        """Share of the last 15 minutes with work."""
        spans = [min(end, now) - max(start, now - WINDOW) for start, end in self.busy[-60:]]
        return min(1.0, sum(span for span in spans if span > 0) / WINDOW)


@dataclass(kw_only=True)
class Gpu:
    """One GPU of `total` bytes."""

    uuid: str
    total: int
    seats: dict[str, Seat] = field(default_factory=dict)

    @property
    def held(self) -> int:
        """Bytes now."""
        return sum(seat.held for seat in self.seats.values())


class Way(Protocol):
    """How a notebook gets a GPU."""

    name: str

    def choose(self, notebook: Notebook, gpus: Sequence[Gpu], now: float) -> Gpu | None:
        """A GPU now, or None: wait."""
        ...

    def usual(self, notebook: Notebook) -> int:
        """What its like peaked at so far, bytes."""
        ...

    def learn(self, seat: Seat) -> None:
        """A notebook left."""
        ...


@dataclass(kw_only=True)
class Replicas:
    """So many tickets per GPU, whatever is used; 1: exclusive. The fewest users first."""

    name: str
    replicas: int

    def choose(self, notebook: Notebook, gpus: Sequence[Gpu], now: float) -> Gpu | None:
        """The GPU with the most tickets left."""
        open_ = [gpu for gpu in gpus if len(gpu.seats) < self.replicas]
        return min(open_, key=lambda gpu: (len(gpu.seats), gpu.uuid), default=None)

    def usual(self, notebook: Notebook) -> int:
        """Not used."""
        return 0

    def learn(self, seat: Seat) -> None:
        """Nothing."""


@dataclass(kw_only=True)
class Requests:
    """Bin-packing by what was requested, the tightest fit first."""

    name: str = "packing by requests"

    def choose(self, notebook: Notebook, gpus: Sequence[Gpu], now: float) -> Gpu | None:
        """The fullest GPU whose requests leave room."""

        def left(gpu: Gpu) -> int:
            return gpu.total - sum(seat.notebook.requested for seat in gpu.seats.values())

        fits = [gpu for gpu in gpus if left(gpu) >= notebook.requested]
        return min(fits, key=lambda gpu: (left(gpu), gpu.uuid), default=None)

    def usual(self, notebook: Notebook) -> int:
        """Not used."""
        return 0

    def learn(self, seat: Seat) -> None:
        """Nothing."""


@dataclass(kw_only=True)
class Measured:
    """`decide` on snapshots of what is used now and what sessions of the size peaked at before."""

    name: str
    policy: Policy
    peaks: dict[int, list[int]] = field(default_factory=dict)

    def choose(self, notebook: Notebook, gpus: Sequence[Gpu], now: float) -> Gpu | None:
        """The product's answer."""
        snapshot = Snapshot(
            node="n",
            taken=now,
            tick_seconds=5,
            driver=ok("sim", source="sim"),
            gpus=tuple(self._facts(gpu, at, now) for at, gpu in enumerate(gpus)),
        )
        request = Request(
            pod=notebook.name, user=notebook.name, usual_peak_bytes=self.usual(notebook)
        )
        decision = decide(request, [snapshot], self.policy, now)
        return next((gpu for gpu in gpus if gpu.uuid in decision.devices), None)

    def usual(self, notebook: Notebook) -> int:
        """95th percentile of those that used the GPU; before there are 20: what was requested."""
        known = self.peaks.get(notebook.requested, [])
        return int(percentile(known, 0.95)) if len(known) >= 20 else notebook.requested

    def learn(self, seat: Seat) -> None:
        """Remember its peak."""
        if seat.peak:
            self.peaks.setdefault(seat.notebook.requested, []).append(seat.peak)

    def _facts(self, gpu: Gpu, index: int, now: float) -> GpuFacts:
        seats = gpu.seats.values()
        held = gpu.held
        return GpuFacts(
            uuid=gpu.uuid,
            index=index,
            memory_total_bytes=ok(gpu.total, source="sim"),
            memory_reserved_bytes=ok(0, source="sim"),
            memory_used_bytes=ok(held, source="sim"),
            memory_free_bytes=ok(gpu.total - held, source="sim"),
            busy_p90_15m=ok(min(1.0, sum(seat.duty(now) for seat in seats)), source="sim"),
            compute_mode=ok("default", source="sim"),
            mig_mode=ok("off", source="sim"),
            mps_state=ok("absent", source="sim"),
            health=Health(state=ok("ok", source="sim")),
            processes=ok(
                tuple(
                    ProcessFacts(
                        pid=at + 1,
                        started=at,
                        kinds=("compute",),
                        alive=ok(value=True, source="sim"),
                        memory_bytes=ok(seat.held, source="sim"),
                        duty_15m=ok(seat.duty(now), source="sim"),
                        owner=ok(seat.notebook.name, source="sim"),
                    )
                    for at, seat in enumerate(seats)
                    if seat.held
                ),
                source="sim",
            ),
            tenants=tuple(
                Tenant(
                    owner=seat.notebook.name,
                    user=seat.notebook.name,
                    allocated=True,
                    usual_peak_bytes=max(seat.usual, CONTEXT),
                    session_peak_bytes=ok(seat.peak, source="sim"),
                    session_peak_age_seconds=now - seat.peak_at,
                    age_seconds=now - seat.since,
                )
                for seat in seats
            ),
        )
