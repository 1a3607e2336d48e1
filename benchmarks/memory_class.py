"""One class with one way: students come, import, run the notebooks, and rest."""

import argparse
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from nodeagent.estimate.pages import PAGE

from . import readings
from .agent_cost import node
from .memory_readings import (
    Watch,
    ksmd_seconds,
    machine_bytes,
    others_cpu_seconds,
    seconds_to,
    thinned,
    use,
)
from .memory_results import ClassResult, Stage, made_now
from .memory_students import Seat, cells, everybody, seats
from .memory_ways import Setup, Tuned

IMPORTS = ["import numpy, pandas, matplotlib.pyplot, sklearn.linear_model"]
_TIDY_SECONDS = 65.0
_NOTICE_SECONDS = 15.0
"""An agent may take this long to see new memory; until then its rest means nothing."""


@dataclass(frozen=True, kw_only=True)
class Settled:
    """How a wait ended, see `Stage.ended`."""

    seconds: float
    ended: str


def measure(setup: Setup, count: int, folder: Path, options: argparse.Namespace) -> ClassResult:
    """Run one class. CannotRunError: not on this machine."""
    load, loop, clock = os.getloadavg()[0], readings.fixed_loop(), time.monotonic
    with seats(count, setup.way, folder) as students:
        # Each has imported what it needs, so that what grows from here on are the kernels.
        everybody(students, "prepare")
        base, others = machine_bytes(), others_cpu_seconds(readings.tree(os.getpid()))
        began = clock()
        with setup.tuner(folder) as tuned, Watch() as watch:
            ksmd, beside = ksmd_seconds(), _cpu(tuned)
            started = _start(students, setup, tuned, options)
            imported = _each(students, IMPORTS)
            ready = clock()
            first = _stage(students, setup, tuned, watch, ready, base, options, tidy=False)
            ran = [_each(students, cells(notebook)) for notebook in options.notebooks]
            done = clock()
            second = _stage(students, setup, tuned, watch, done, base, options, tidy=True)
            ksmd_used, beside_used = ksmd_seconds(), _cpu(tuned)
            resting = clock()
            time.sleep(options.idle if setup.merges else 0)
            ksmd_end, beside_end, rested = ksmd_seconds(), _cpu(tuned), clock() - resting
            curve = [
                (point.at - ready, point.saved - watch.points[0].saved) for point in watch.points
            ]
        spent = others_cpu_seconds(readings.tree(os.getpid())) - others
        lasted = clock() - began
    idle = None
    if setup.merges and ksmd_used is not None and ksmd_end is not None:
        idle = (ksmd_end - ksmd_used + beside_end - beside_used) / rested
    return ClassResult(
        letter=setup.letter,
        name=setup.name,
        students=count,
        settings={
            "stations": options.stations,
            "notebooks": list(options.notebooks),
            "apart": options.apart,
            "look_around": options.look_around,
            "patience": options.patience,
        },
        start_seconds=[round(answer["seconds"], 3) for answer in started],
        import_seconds=[round(seconds, 3) for seconds in imported],
        notebook_seconds=[round(sum(each), 3) for each in zip(*ran, strict=True)],
        aligned=sum(answer.get("aligned") == "aligned" for answer in started),
        from_spare=sum(answer.get("spare") is True for answer in started),
        imports=first,
        after=second,
        ksmd_cpu=None if ksmd is None or ksmd_used is None else round(ksmd_used - ksmd, 2),
        tuner_cpu=round(beside_used - beside, 2),
        idle_share=idle,
        idle_seconds=options.idle,
        others_share=spent / lasted,
        curve=[(round(at, 1), saved) for at, saved in thinned(curve)],
        notebooks_at=round(done - ready, 1),
        made=made_now(load, loop),
    )


def _start(
    students: Sequence[Seat], setup: Setup, tuned: Tuned, options: argparse.Namespace
) -> list[dict[str, Any]]:
    """Students come `apart` seconds apart; each looks around before the first notebook is opened.

    Only servers that keep a template do something meanwhile: the others are not waited for.
    """
    begun, started, free = time.monotonic(), [], 0.0
    for moment, number, comes in visits(len(students), setup.way.spare, options):
        seat = students[number]
        _until(begun + moment)
        if comes:
            seat.tell("open")
            continue
        seat.tell("spare")
        _until(free)
        free = time.monotonic() + options.apart
        started.append(seat.tell("start"))
        tuned.news()
    return started


def visits(count: int, looks: bool, options: argparse.Namespace) -> list[tuple[float, int, bool]]:
    """(seconds, student, comes or opens a notebook) in order. Pure."""
    wait = options.look_around if looks else 0.0
    came = [(number * options.apart, number, True) for number in range(count)]
    opened = [(moment + wait, number, False) for moment, number, _ in came]
    return sorted(came + opened, key=lambda visit: visit[0])


def _until(moment: float) -> None:
    time.sleep(max(0.0, moment - time.monotonic()))


def _each(students: Sequence[Seat], code: Sequence[str]) -> list[float]:
    """All run these cells, two students at a time; seconds of each student."""
    answers = everybody(students, "run", cells=list(code))
    errors = [error for answer in answers for error in answer["errors"]]
    if errors:
        raise RuntimeError(f"A cell failed: {errors[0]}")
    return [sum(answer["seconds"]) for answer in answers]


def _stage(
    students: Sequence[Seat],
    setup: Setup,
    tuned: Tuned,
    watch: Watch,
    since: float,
    base: int,
    options: argparse.Namespace,
    *,
    tidy: bool,
) -> Stage:
    everybody(students, "spare")
    kernels = [seat.pid for seat in students if seat.pid is not None]
    others = [pid for seat in students for pid in seat.others()]
    watch.pids = [*kernels, *others]
    begun = watch.look()
    at_least = _TIDY_SECONDS if tidy and setup.tidies else 0.0
    settled = _settle(setup, tuned, watch, since, at_least, options)
    machine = machine_bytes() - base
    end = watch.look()
    points = [each for each in watch.points if each.at >= begun.at]
    alone, whole = use(kernels, others)
    watch.pids = []
    # From the end backwards: there the page tables say what is shared.
    shared = [
        (
            each.at,
            whole.mapped - whole.frames - (each.unshared - end.unshared) - (end.zero - each.zero),
        )
        for each in (begun, *points)
    ]
    possible = whole.mapped - whole.best
    return Stage(
        kernels=alone,
        whole=whole,
        machine=machine,
        seconds=round(settled.seconds, 1),
        ended=settled.ended,
        to_ninety=None if whole.reached < 0.9 else seconds_to(shared, since, 0.9 * possible),
    )


def _settle(
    setup: Setup,
    tuned: Tuned,
    watch: Watch,
    since: float,
    at_least: float,
    options: argparse.Namespace,
) -> Settled:
    """Wait until merging has come to its end, or patience has.

    An agent says itself that it rests. Otherwise: three full scans, and 1 % gained in none of the
    last `quiet` seconds.
    """
    if not setup.merges:
        return Settled(seconds=0, ended="still")
    begun = time.monotonic()
    scans, best, grew, rests = watch.look().full_scans, 0, begun, None
    while True:
        point = watch.look()
        if point.saved > 1.01 * best + PAGE:
            best, grew = point.saved, point.at
        lasted = point.at - since
        if tuned.url is not None:
            resting = node(tuned.url)["phase"] == "rest"
            rests = (rests or point.at) if resting else None
            calm = rests is not None and point.at - rests >= options.calm
            if calm and lasted >= max(at_least, _NOTICE_SECONDS) + options.calm:
                return Settled(seconds=lasted, ended="rest")
        elif point.full_scans - scans >= 3 and point.at - grew >= options.quiet:
            return Settled(seconds=lasted, ended="still")
        if lasted >= options.patience + at_least:
            return Settled(seconds=lasted, ended="time")
        time.sleep(1)


def _cpu(tuned: Tuned) -> float:
    if tuned.pid is None:
        return 0.0
    return sum(readings.cpu_seconds(pid) or 0.0 for pid in readings.tree(tuned.pid))
