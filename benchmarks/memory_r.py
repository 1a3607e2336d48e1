"""A class with R kernels: what merging saves, opted in only, and with a fixed layout.

python -m benchmarks.memory_r [--students 8]

Needs R with IRkernel, dplyr and ggplot2 (Debian: r-cran-irkernel, r-cran-dplyr, r-cran-ggplot2).
"""

import argparse
import shutil
import statistics
import subprocess
import tempfile
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

from nodeagent.ksm.sysfs import KsmDir

from .memory_charges import wait_for_passes
from .memory_readings import Use, use
from .memory_students import Way, everybody, prepare, seats
from .memory_ways import held
from .page import DOCS, Page, Table
from .reachable import end_on_signal, ensure

PACKAGES = ("IRkernel", "dplyr", "ggplot2")
_KERNEL = ("R", "--slave", "-e", "IRkernel::main()", "--args", "{connection_file}")
_SAMEPAGE = "samepage-provisioner"
STAGES = {
    "started": [],
    "packages": ["suppressPackageStartupMessages({library(dplyr); library(ggplot2)})"],
    "data frame": [
        "data <- data.frame(station = rep(sprintf('station %02d', 1:24), each = 2000),\n"
        "                   hour = rep(1:2000, 24), warm = sin(1:48000 / 24) * 10)",
        "found <- data %>% filter(hour > 10) %>% group_by(station) %>%\n"
        "    summarise(mean = mean(warm), most = max(warm))",
        "summary(lm(warm ~ hour, data))",
        "p <- ggplot(found, aes(mean, most)) + geom_point(); g <- ggplotGrob(p)",
    ],
}
_PASSES = 4
"""Ends of a scan until nothing more is gained: a page must be seen unchanged first."""


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One row of the table."""

    letter: str
    name: str
    way: Way
    merges: bool


SETUPS = (
    Setup(letter="a", name="stock", way=Way(argv=_KERNEL), merges=False),
    Setup(letter="b", name="opted in", way=Way(provisioner=_SAMEPAGE, argv=_KERNEL), merges=True),
    Setup(
        letter="c",
        name="opted in, fixed layout (`setarch -R`)",
        way=Way(provisioner=_SAMEPAGE, argv=("setarch", "-R", *_KERNEL)),
        merges=True,
    ),
)


@dataclass(frozen=True, kw_only=True)
class Result:
    """`uses`: of the class, by stage. `starts`: seconds of each student."""

    setup: Setup
    uses: dict[str, Use]
    starts: list[float]


def missing() -> str | None:
    """What this machine lacks, in words."""
    for program in ("R", "setarch"):
        if shutil.which(program) is None:
            return f"there is no {program} here"
    for package in PACKAGES:
        asked = ["R", "--slave", "-e", f"quit(status = !requireNamespace('{package}'))"]
        if subprocess.run(asked, capture_output=True, check=False).returncode != 0:
            return f"R has no package {package}"
    return None


def scanning(merges: bool) -> AbstractContextManager[None]:
    """KSM at full speed; where nobody opted in it may do what it does."""
    fast: dict[str, int | str] = {"pages_to_scan": 20_000, "sleep_millisecs": 10, "smart_scan": 0}
    return held(1, **fast) if merges else nullcontext()


def measure(setup: Setup, count: int, folder: Path) -> Result:
    """One class. RuntimeError: a cell failed."""
    uses = {}
    with seats(count, setup.way, folder, old=False) as students, scanning(setup.merges):
        everybody(students, "prepare")
        started = everybody(students, "start")
        for stage, cells in STAGES.items():
            answers = everybody(students, "run", cells=cells)
            errors = [error for answer in answers for error in answer["errors"]]
            if errors:
                raise RuntimeError(f"A cell failed: {errors[0]}")
            if setup.merges:
                wait_for_passes(_PASSES)
                # Where ksmd goes on, pages come and go while they are counted.
                KsmDir().write("run", 0)
            (uses[stage],) = use([seat.pid for seat in students if seat.pid is not None])
            if setup.merges:
                KsmDir().write("run", 1)
    return Result(setup=setup, uses=uses, starts=[answer["seconds"] for answer in started])


def table(results: list[Result], count: int) -> Table:
    """MB of the machine per student, and what it would be at best. Pure."""
    rows = []
    for each in results:
        cells = [f"({each.setup.letter}) {each.setup.name}"]
        for stage, found in each.uses.items():
            whole = results[0].uses[stage].frames
            cells.append(f"{found.frames / count / 1e6:.1f} ({found.frames / whole:.0%})")
            cells.append(f"{found.best / count / 1e6:.1f}")
        rows.append([*cells, f"{statistics.median(each.starts):.2f}"])
    columns = [word for stage in STAGES for word in (stage, "at best")]
    return Table(
        title=f"{count} students: MB per student (share of (a) in brackets)",
        columns=["way", *columns, "kernel start, s (median)"],
        rows=rows,
    )


def page(results: list[Result], count: int) -> Page:
    """What was found."""
    return Page(
        name="memory_r",
        title="What a class with R needs",
        method=f"""
{count} R kernels (IRkernel), each of a student with a user (uid), home, environment and connection
file of its own, two starting at a time. *started*: they answer. *packages*: dplyr and ggplot2 are
loaded. *data frame*: one of 48,000 rows is made, summarized by group, fitted and drawn.

MB is memory of the machine per student, counted from the page tables (every frame once, whoever
shares it), 10^6 bytes. *At best*: what it would be if every equal page were merged. In (b) and (c)
KSM scanned everything {_PASSES} times at each stage with smart_scan off. (c) is a kernelspec whose
command begins with `setarch -R`.
""",
        tables=[table(results, count)],
        notes=[
            "The ways came one after the other: starts show what else the machine did, too.",
            "KSM was put back as found after every way.",
        ],
    )


def main() -> None:
    """Measure, and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    ensure("benchmarks.memory_r")
    end_on_signal()
    lacking = missing()
    if lacking is not None:
        print(f"Not run: {lacking}.")
        return
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        prepare(folder, stations=1)
        results = [measure(setup, options.students, folder) for setup in SETUPS]
    page(results, options.students).publish(options.docs)


if __name__ == "__main__":
    main()
