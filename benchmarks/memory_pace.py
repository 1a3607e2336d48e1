"""Pairs of kernels, Linux as it comes and Samepage: start, imports, notebooks, garbage.

python -m benchmarks.memory_pace [--pairs 8] [--rounds 2]

Both kinds are there at the same time, under one agent that merges as it does for a class. One cell
runs at a time; who of a pair comes first changes from pair to pair, so that what else the machine
does falls on both. The readings join those of `memory`, whose page is made anew.
"""

import argparse
import os
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from . import memory_results as results
from . import readings
from .agent_cost import node
from .memory import NOTEBOOKS
from .memory_class import IMPORTS
from .memory_page import publish
from .memory_readings import others_cpu_seconds
from .memory_results import PairResult, made_now
from .memory_students import Seat, Way, cells, everybody, live_in, prepare, seats
from .memory_ways import NO_SPARE, OFF, samepage_agent
from .page import DOCS
from .reachable import end_on_signal, ensure

#: Trees whose nodes know each other, as widgets and models do, and tables that are thrown away.
GARBAGE = """
import pandas

class Node:
    def __init__(self, depth, parent=None):
        self.parent = parent
        self.name = f"node {id(self)}"
        self.children = [Node(depth - 1, self) for _ in range(4)] if depth else []

for _ in range(3):
    tree = Node(7)
    frame = pandas.DataFrame({"name": [str(n) * 3 for n in range(60_000)], "value": range(60_000)})
    held = {"table": frame, "totals": frame.groupby("name")["value"].sum()}
    held["all"] = held
del tree, frame, held
"""


def main() -> None:
    """Measure, and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=2, help="of all notebooks (2)")
    parser.add_argument("--stations", type=int, default=24, help="of data, 1 to 48 (24)")
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, help="of the course (all)")
    parser.add_argument("--tidy", type=float, default=15, help="quiet seconds until tidied (15)")
    parser.add_argument("--rest", type=float, default=90, help="at most, for the agent (90)")
    parser.add_argument("--seed", type=int, default=1, help="of who comes first (1)")
    parser.add_argument("--results", type=Path, default=results.FILE, help="file of readings")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    ensure("benchmarks.memory_pace")
    end_on_signal()
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        prepare(folder, stations=options.stations)
        live_in(folder, options.notebooks)
        found = measure(folder, options)
    held = results.load(options.results)
    held.pairs = found
    results.save(held, options.results)
    publish(held, options.docs)


def measure(folder: Path, options: argparse.Namespace) -> PairResult:
    """All of it."""
    load, began = os.getloadavg()[0], time.monotonic()
    draw = random.Random(options.seed)
    settings = {"tidy_after_seconds": options.tidy}
    spare = Way(
        provisioner="samepage-provisioner", spare=True, settings={"SamepageProvisioner": settings}
    )
    with (
        seats(options.pairs, OFF, folder, old=True, prefix="a") as stock,
        seats(options.pairs, spare, folder, first=100, old=True, prefix="b") as ours,
        seats(options.pairs, NO_SPARE, folder, first=200, old=True, prefix="c") as alone,
        samepage_agent(folder) as tuned,
    ):
        assert tuned.url is not None
        everybody([*stock, *ours, *alone], "prepare")
        others = others_cpu_seconds(readings.tree(os.getpid()))
        starts = _starts(stock, ours, alone, draw)
        imports = _by_turns(stock, ours, IMPORTS, draw)
        rounds = []
        tidied: list[dict[str, int]] = []
        for number in range(options.rounds):
            _rest(tuned.url, options)
            code = [cell for notebook in options.notebooks for cell in cells(notebook)]
            rounds.append(_by_turns(stock, ours, code, draw))
            if number == 0:
                tidied = _tidied(ours, options)
        _by_turns(stock, ours, [GARBAGE], draw)
        garbage = _tidied(ours, options)
        mapped = [_mapped(seat) for seat in stock]
        spent = others_cpu_seconds(readings.tree(os.getpid())) - others
    return PairResult(
        settings={"stations": options.stations, "notebooks": list(options.notebooks)},
        start_stock=starts["a"],
        start_alone=starts["c"],
        start_spare=starts["b"],
        import_stock=imports[0],
        import_samepage=imports[1],
        rounds=rounds,
        tidy_before=[each["before_bytes"] for each in tidied],
        tidy_after=[each["after_bytes"] for each in tidied],
        garbage_stock=mapped,
        garbage_before=[each["before_bytes"] for each in garbage],
        garbage_after=[each["after_bytes"] for each in garbage],
        tidy_seconds=[each["seconds"] for each in (*tidied, *garbage)],
        others_share=spent / (time.monotonic() - began),
        made=made_now(load),
    )


def _starts(
    stock: Sequence[Seat], ours: Sequence[Seat], alone: Sequence[Seat], draw: random.Random
) -> dict[str, list[float]]:
    """Seconds of each kind; nothing else of ours starts meanwhile."""
    found: dict[str, list[float]] = {"a": [], "b": [], "c": []}
    for one, two, three in zip(stock, ours, alone, strict=True):
        two.tell("open")
        # The first preload of an account makes Matplotlib's list of fonts; a home lived in has it.
        two.tell("spare")
        three.tell("start")
        turns = [("a", one, "start"), ("b", two, "start"), ("c", three, "restart")]
        draw.shuffle(turns)
        for kind, seat, do in turns:
            answer = seat.tell(do)
            if kind != "a" and answer["aligned"] != "aligned":
                raise RuntimeError(f"A kernel did not start aligned: {answer}")
            if kind != "a" and answer["spare"] != (kind == "b"):
                raise RuntimeError(f"With spares mixed up: {kind} {answer}")
            found[kind].append(answer["seconds"])
            # The next spare is prepared a little later; it must not get into another's start.
            if kind == "b":
                time.sleep(2.5)
                two.tell("spare")
        three.leave()
    return found


def _by_turns(
    stock: Sequence[Seat], ours: Sequence[Seat], code: Sequence[str], draw: random.Random
) -> tuple[list[float], list[float]]:
    """Each pair runs the cells one after the other; seconds."""
    found: tuple[list[float], list[float]] = ([], [])
    first = draw.randrange(2)
    for number, pair in enumerate(zip(stock, ours, strict=True)):
        for place in (0, 1) if (number + first) % 2 == 0 else (1, 0):
            answer = pair[place].tell("run", cells=list(code))
            if answer["errors"]:
                raise RuntimeError(f"A cell failed: {answer['errors'][0]}")
            found[place].append(sum(answer["seconds"]))
    return found


def _rest(url: str, options: argparse.Namespace) -> None:
    """Until the agent has nothing more to gain, at most for a while."""
    until = time.monotonic() + options.rest
    calm = 0
    time.sleep(10)
    while time.monotonic() < until and calm < 8:
        calm = calm + 1 if node(url)["phase"] == "rest" else 0
        time.sleep(1)


def _tidied(ours: Sequence[Seat], options: argparse.Namespace) -> list[dict[str, int]]:
    """Reports that kernels made after they had been quiet."""
    time.sleep(options.tidy + 5)
    found = [seat.tell("tidied") for seat in ours]
    missing = sum(not each for each in found)
    if missing:
        raise RuntimeError(f"{missing} kernels did not tidy themselves")
    return found


def _mapped(seat: Seat) -> int:
    memory = readings.memory(seat.pid or 0)
    if memory is None:
        raise RuntimeError("A kernel ended")
    return memory.anonymous


if __name__ == "__main__":
    main()
