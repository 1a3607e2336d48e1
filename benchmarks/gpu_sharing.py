"""What sharing by measured use brings: a discrete-event simulation of notebooks on GPUs.

`python -m benchmarks.gpu_sharing`. No GPU is needed or used; no hardware is measured.
"""

import argparse
import heapq
import itertools
import random
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial

from benchmarks.gpu_crowd import CONTEXT, GIB, Notebook, crowd
from benchmarks.gpu_places import Gpu, Measured, Replicas, Requests, Seat, Way
from benchmarks.page import DOCS, Page, Table
from benchmarks.spread import percentile
from nodeagent.gpu.sharing.policy import Policy

DAY = 86400.0
PATIENCE = 900.0
LOOK = 60.0


@dataclass(kw_only=True)
class Outcome:
    """Of one run. Seconds; `slowdowns`: time of a task to its time alone."""

    served: int = 0
    turned_away: int = 0
    waits: list[float] = field(default_factory=list)
    tasks: int = 0
    out_of_memory: int = 0
    slowdowns: list[float] = field(default_factory=list)
    together: list[int] = field(default_factory=list)


class Room:
    """GPUs, a queue in order of coming, and what happens when."""

    def __init__(self, way: Way, gpus: int, total: int) -> None:
        self.way = way
        self.gpus = [Gpu(uuid=f"GPU-{at:02}", total=total) for at in range(gpus)]
        self.queue: deque[Notebook] = deque()
        self.out = Outcome()
        self._events: list[tuple[float, int, Callable[[float], None]]] = []
        self._order = itertools.count()

    def at(self, when: float, what: Callable[[float], None]) -> None:
        heapq.heappush(self._events, (when, next(self._order), what))

    def run(self, notebooks: Sequence[Notebook], until: float) -> Outcome:
        for notebook in notebooks:
            self.at(notebook.comes, partial(self._come, notebook))
        for tick in range(1, int(until / LOOK)):
            self.at(tick * LOOK, self._look)
        while self._events and self._events[0][0] < until:
            when, _, what = heapq.heappop(self._events)
            what(when)
        return self.out

    def _come(self, notebook: Notebook, now: float) -> None:
        self.queue.append(notebook)
        self._serve(now)

    def _look(self, now: float) -> None:
        self.out.together.append(sum(len(gpu.seats) for gpu in self.gpus))
        self._serve(now)

    def _serve(self, now: float) -> None:
        while self.queue:
            first = self.queue[0]
            if now - first.comes > PATIENCE:
                self.queue.popleft()
                self.out.turned_away += 1
                continue
            gpu = self.way.choose(first, self.gpus, now)
            if gpu is None:
                return
            self.queue.popleft()
            seat = Seat(notebook=first, since=now, usual=self.way.usual(first), peak_at=now)
            gpu.seats[first.name] = seat
            self.out.served += 1
            self.out.waits.append(now - first.comes)
            self.at(now + first.stays, partial(self._leave, gpu, seat))
            if first.peak:
                self.at(now + first.work[0][0], partial(self._task, gpu, seat, 0, 0))

    def _leave(self, gpu: Gpu, seat: Seat, now: float) -> None:
        del gpu.seats[seat.notebook.name]
        seat.held = 0
        self.way.learn(seat)
        self._serve(now)

    def _task(self, gpu: Gpu, seat: Seat, number: int, grown: int, now: float) -> None:
        """Memory grows over the first three tasks and is held from then on."""
        if seat.notebook.name not in gpu.seats:
            return
        book = seat.notebook
        self.out.tasks += 1
        wants = max(seat.held, CONTEXT, int(book.peak * min(1.0, 0.5 + 0.25 * grown)))
        gap, alone = book.work[min(number + 1, len(book.work) - 1)]
        if gpu.held - seat.held + wants > gpu.total:
            # The cell fails, the kernel is restarted, the student tries again after a pause.
            self.out.out_of_memory += 1
            seat.held = 0
            self.at(now + gap, partial(self._task, gpu, seat, number + 1, 0))
            return
        if wants > seat.peak:
            seat.peak, seat.peak_at = wants, now
        seat.held = wants
        active = 1 + sum(
            bool(other.busy) and other.busy[-1][1] > now
            for other in gpu.seats.values()
            if other is not seat
        )
        end = now + alone * active
        seat.busy.append((now, end))
        self.out.slowdowns.append(active)
        self.at(end + gap, partial(self._task, gpu, seat, number + 1, grown + 1))


def ways() -> list[Way]:
    return [
        Replicas(name="exclusive", replicas=1),
        Requests(),
        Replicas(name="time-slicing, 4 replicas", replicas=4),
        Replicas(name="time-slicing, 8 replicas", replicas=8),
        Measured(name="measured (ours)", policy=Policy()),
    ]


def mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gpus", type=int, default=8)
    parser.add_argument("--memory", type=int, default=16, help="GiB of each GPU")
    parser.add_argument("--days", type=float, default=1.0)
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--rates", type=float, nargs="+", default=[40.0, 150.0])
    options = parser.parse_args()
    tables, found = [], {}
    for rate in options.rates:
        rows = []
        for at in range(len(ways())):
            outs, name = [], ways()[at].name
            for seed in range(options.seeds):
                source = random.Random(1000 + seed)
                books = crowd(rate * options.gpus / DAY, options.days * DAY, source)
                room = Room(ways()[at], options.gpus, options.memory * GIB)
                outs.append(room.run(books, options.days * DAY))
            rows.append(row(name, outs, options.gpus * options.days))
            found[rate, name] = outs
        columns = (
            "way",
            "served per GPU and day",
            "turned away",
            "wait p50, min",
            "wait p95, min",
            "at once per GPU",
            "out of memory per 1,000 tasks",
            "task time to time alone",
        )
        tables.append(
            Table(title=f"{rate:g} notebooks come per GPU and day", columns=columns, rows=rows)
        )
    full = max(options.rates)
    tables.append(targets(found, full))
    draw(found, options)
    Page(
        name="gpu_sharing",
        title="Sharing GPUs by measured use: a simulation",
        method=METHOD.format(
            gpus=options.gpus, memory=options.memory, days=options.days, seeds=options.seeds
        ),
        tables=tables,
        notes=NOTES,
        picture="gpu_sharing.png",
    ).publish()


def row(name: str, outs: Sequence[Outcome], gpu_days: float) -> list[str]:
    served = sum(out.served for out in outs)
    away = sum(out.turned_away for out in outs)
    waits = [wait / 60 for out in outs for wait in out.waits] or [0.0]
    tasks, failed = sum(out.tasks for out in outs), sum(out.out_of_memory for out in outs)
    gpus = gpu_days * len(outs)
    per_gpu = mean([mean(out.together) for out in outs]) * len(outs) / gpus
    return [
        name,
        f"{served / gpus:.1f}",
        f"{away / max(1, served + away):.0%}",
        f"{percentile(waits, 0.5):.1f}",
        f"{percentile(waits, 0.95):.1f}",
        f"{per_gpu:.1f}",
        f"{1000 * failed / max(1, tasks):.1f}",
        f"{mean([each for out in outs for each in out.slowdowns]):.2f}",
    ]


def targets(found: dict[tuple[float, str], list[Outcome]], full: float) -> Table:
    def served(name: str) -> int:
        return sum(out.served for out in found[full, name])

    def failed(name: str) -> float:
        outs = found[full, name]
        return sum(out.out_of_memory for out in outs) / max(1, sum(out.tasks for out in outs))

    ours = "measured (ours)"
    rows = []
    for other, factor in (("exclusive", 3.0), ("packing by requests", 1.3)):
        ratio = served(ours) / max(1, served(other))
        rows.append(
            (
                f"{factor:g} times {other}",
                f"{ratio:.2f} times",
                "met" if ratio >= factor else "missed",
            )
        )
    for other in ("time-slicing, 4 replicas", "time-slicing, 8 replicas"):
        less = failed(ours) < failed(other)
        rows.append(
            (
                f"fewer out of memory than {other}",
                f"{1000 * failed(ours):.1f} to {1000 * failed(other):.1f} per 1,000 tasks",
                "met" if less else "missed",
            )
        )
    return Table(title="Targets, at the higher rate", columns=("target", "found", ""), rows=rows)


def draw(found: dict[tuple[float, str], list[Outcome]], options: argparse.Namespace) -> None:
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    names = [way.name for way in ways()]
    figure, axes = plt.subplots(1, 2, figsize=(10, 3.8), layout="constrained")
    height = 0.8 / len(options.rates)
    for at, rate in enumerate(options.rates):
        places = [index + at * height for index in range(len(names))]
        gpus = options.gpus * options.days * options.seeds
        served = [sum(out.served for out in found[rate, name]) / gpus for name in names]
        failed = [
            1000
            * sum(out.out_of_memory for out in found[rate, name])
            / max(1, sum(out.tasks for out in found[rate, name]))
            for name in names
        ]
        axes[0].barh(places, served, height, label=f"{rate:g} come per GPU and day")
        axes[1].barh(places, failed, height)
    axes[0].set_xlabel("notebooks served per GPU and day")
    axes[1].set_xlabel("out of memory per 1,000 tasks")
    for axis in axes:
        axis.set_yticks([index + 0.4 - height / 2 for index in range(len(names))], names)
        axis.invert_yaxis()
    axes[1].set_yticklabels([])
    axes[0].legend(fontsize="small")
    figure.savefig(DOCS / "gpu_sharing.png", dpi=110)
    plt.close(figure)


METHOD = """\
A simulation, not a measurement: {gpus} GPUs of {memory} GiB, {days:g} day(s), {seeds} seed(s) per
row, the same notebooks for every way. Notebooks come at random, queue in their order, and give up
after 15 minutes. From published distributions (NotebookOS, arXiv 2503.20591, and Alibaba's PAI
traces, as cited in secondary summaries): 70 % of sessions never use their GPU, half of all tasks
take at most 2 minutes, 75 % at most 5, the median gap is 5 minutes, nearly all use less than they
requested. Assumed: sessions of 60 minutes (median), requests of 4, 8 or 15 GiB (50, 30, 20 %), a
real peak of about half the request (beta 2, 2.2), memory that grows over three tasks and is then
held, tasks that slow down by the number that work at their start. "measured (ours)" is the
product's `decide` with its default policy on exact, current facts; it knows no request, only what
sessions of the size peaked at before."""

NOTES = [
    "At the higher rate everything is overloaded on purpose, so that the ways' capacity shows; "
    "waits are those of the served.",
    "At the lower rate ours is no better than packing by requests and turns more away than "
    "replicas do, which have tickets left for all: it keeps room for young notebooks and for the "
    "largest sleeper, and a large request at the head of the queue holds up those behind it.",
    "8 replicas serve the most, at the price in the columns beside: failed cells, slow tasks.",
    "Out of memory comes from sharing only: no notebook takes more than a GPU has. Ours can have "
    "some, because a notebook that slept for long counts little; the largest sleeper's usual peak "
    "is kept free (`wakers`), several that wake at once are not provided for.",
    "Sizes and session lengths are assumptions: with tighter requests, or more sessions that use "
    "their GPU, the gain over packing by requests shrinks.",
]


if __name__ == "__main__":
    main()
