"""A class of students with one course: what merging saves, how soon, and at what cost.

python -m benchmarks.memory [--students 8] [--ways a,b,c,c2,d,e,f] [--patience 240]
"""

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from nodeagent.host import read_memory

from . import readings
from .memory_readings import Curve, Use, follow, use
from .memory_students import cells, everybody, prepare, seats
from .memory_ways import CannotRunError, Setup, setups
from .page import DOCS, Page, Table
from .reachable import end_on_signal, ensure

NOTEBOOKS = ("02-numpy.ipynb", "03-pandas.ipynb", "04-matplotlib.ipynb", "05-scikit-learn.ipynb")
IMPORTS = ["import numpy, pandas, matplotlib.pyplot, sklearn.linear_model"]
TARGET = 0.12

METHOD = """
{students} students, each with a user, home, environment and kernel of its own, started
{apart:g} s apart by a process of that student. All import the course's modules, then rest; then
all run the code of {notebooks} from the sample course ({stations} stations of data), two at a time,
and rest again. *Memory* is the machine's, counted from the page tables of the kernels (`pagemap`):
every frame once, whoever shares it. *Possible* is what would be saved if every equal page were
merged, counted by hashing every page at that moment, with the code of `samepage-agent estimate`.
*Seconds to 90 %* run from the moment the last student is done, until 90 % of what the way merged in
the end is merged. CPU is that of ksmd and, where there is one, of the agent, over the whole class.
MB is 10^6 bytes. ksmtuned acts on processes of qemu only and on free memory; told that memory is
short (KSM_THRES_COEF=100) it shows its algorithm.
"""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """After the imports, or after the notebooks."""

    use: Use
    curve: Curve


@dataclass(frozen=True, kw_only=True)
class Result:
    """One way."""

    setup: Setup
    students: int
    start_seconds: float
    """Mean, until the kernel answers."""
    imports: Stage
    after: Stage
    notebook_seconds: float
    """Mean over the students, sum of all cells, imports included."""
    cpu_seconds: float | None
    idle_share: float | None
    """ksmd and agent, share of a core, over the last rest."""
    available_bytes: int
    """What MemAvailable fell by; others on the machine count too."""


def measure(setup: Setup, folder: Path, options: argparse.Namespace) -> Result:
    """Run one class. CannotRunError: not on this machine."""
    ksmd = readings.ksmd_pid()

    def cpu(agent: int | None) -> float | None:
        if ksmd is None:
            return None
        used = readings.cpu_seconds(ksmd)
        mine = 0.0 if agent is None else readings.cpu_seconds(agent)
        return None if used is None or mine is None else used + mine

    with (
        seats(options.students, setup.way, folder) as students,
        setup.tuner(folder) as tuned,
    ):
        before, free = cpu(tuned.pid), read_memory(Path("/proc")).available_bytes
        starts = []
        for seat in students:
            starts.append(seat.tell("start")["seconds"])
            time.sleep(options.apart)
        imported = everybody(students, "run", cells=IMPORTS)
        pids = [seat.pid for seat in students if seat.pid is not None]
        first = _stage(pids, options)
        ran = []
        for notebook in options.notebooks:
            ran.append(everybody(students, "run", cells=cells(notebook)))
        errors = [error for one in (imported, *ran) for answer in one for error in answer["errors"]]
        if errors:
            raise RuntimeError(f"A cell failed: {errors[0]}")
        pids = [seat.pid for seat in students if seat.pid is not None]
        second = _stage(pids, options)
        rest, at = cpu(tuned.pid), time.monotonic()
        time.sleep(options.idle)
        end, lasted = cpu(tuned.pid), time.monotonic() - at
        left = read_memory(Path("/proc")).available_bytes
    sums = [
        sum(sum(each[number]["seconds"]) for each in (imported, *ran))
        for number in range(options.students)
    ]
    return Result(
        setup=setup,
        students=options.students,
        start_seconds=statistics.mean(starts),
        imports=first,
        after=second,
        notebook_seconds=statistics.mean(sums),
        cpu_seconds=None if rest is None or before is None else rest - before,
        idle_share=None if rest is None or end is None else (end - rest) / lasted,
        available_bytes=free - left,
    )


def _stage(pids: Sequence[int], options: argparse.Namespace) -> Stage:
    curve = follow(pids, at_most=options.patience, quiet=options.quiet)
    return Stage(curve=curve, use=use(pids))


def table(results: Sequence[Result], refused: Sequence[tuple[Setup, str]]) -> Table:
    """One row per way."""
    stock = next((each for each in results if each.setup.letter == "a"), None)
    rows = []
    for each in results:
        row = [f"({each.setup.letter}) {each.setup.name}"]
        bases = (None, None) if stock is None else (stock.imports, stock.after)
        for stage, base in zip((each.imports, each.after), bases, strict=True):
            mine = stage.use.frames / each.students
            share = "" if base is None else f" ({stage.use.frames / base.use.frames:.0%})"
            seconds = stage.curve.seconds_to(0.9, stage.curve.points[-1][1])
            row += [
                f"{mine / 1e6:.1f}{share}",
                f"{stage.use.reached:.0%}",
                "-" if seconds is None else f"{seconds:.0f}",
            ]
        slower = "" if stock is None else f" ({each.notebook_seconds / stock.notebook_seconds:.2f})"
        row += [
            "-" if each.cpu_seconds is None else f"{each.cpu_seconds:.1f}",
            "-" if each.idle_share is None else f"{each.idle_share:.2%}",
            f"{each.notebook_seconds:.1f}{slower}",
            f"{each.start_seconds:.2f}",
            f"{each.available_bytes / each.students / 1e6:.0f}",
        ]
        rows.append(row)
    rows += [[f"({s.letter}) {s.name}", *["-"] * 10, f"not run: {why}"] for s, why in refused]
    return Table(
        title=f"Per student, {results[0].students} students (share of (a) in brackets)",
        columns=(
            "way",
            "after imports, MB",
            "of the possible",
            "90 % after, s",
            "after the notebooks, MB",
            "of the possible",
            "90 % after, s",
            "ksmd + agent, CPU s",
            "at rest, of a core",
            "notebooks, s",
            "kernel start, s",
            "MemAvailable, MB",
        ),
        rows=rows,
    )


def picture(results: Sequence[Result], file: Path) -> None:
    """Memory per student as bars, merged memory over time."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(11, 4.2))
    places = range(len(results))
    for offset, (label, stage) in enumerate((("imports", "imports"), ("notebooks", "after"))):
        heights = [getattr(each, stage).use.frames / each.students / 1e6 for each in results]
        axes[0].bar(
            [place + 0.4 * offset for place in places], heights, width=0.38, label=f"after {label}"
        )
    axes[0].set_xticks([place + 0.2 for place in places], [each.setup.letter for each in results])
    axes[0].set_ylabel("MB of the machine per student")
    axes[0].legend()
    for each in results:
        points = each.after.curve.points
        axes[1].plot(
            [at for at, _ in points],
            [held / each.students / 1e6 for _, held in points],
            label=f"({each.setup.letter}) {each.setup.name}",
        )
    axes[1].set_xlabel("seconds since the last notebook ended")
    axes[1].set_ylabel("MB merged per student")
    axes[1].legend(fontsize="small")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main() -> None:
    """Measure and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=8)
    parser.add_argument("--stations", type=int, default=24, help="of data, 1 to 48 (24)")
    parser.add_argument("--notebooks", nargs="+", default=NOTEBOOKS, help="of the course (all)")
    parser.add_argument("--ways", default="a,b,c,c2,d,e,f", help="letters, with commas")
    parser.add_argument("--apart", type=float, default=1.0, help="seconds between starts (1)")
    parser.add_argument("--patience", type=float, default=240, help="seconds for merging (240)")
    parser.add_argument("--quiet", type=float, default=75, help="without gain: done (75)")
    parser.add_argument("--idle", type=float, default=60, help="seconds watched at rest (60)")
    parser.add_argument("--ksmtuned", type=Path, help="its script, when not installed")
    options = parser.parse_args()
    ensure("benchmarks.memory")
    end_on_signal()
    wanted = set(options.ways.split(","))
    results: list[Result] = []
    refused: list[tuple[Setup, str]] = []
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        prepare(folder, stations=options.stations)
        for setup in setups(options.ksmtuned):
            if setup.letter not in wanted:
                continue
            print(f"({setup.letter}) {setup.name}", flush=True)
            try:
                results.append(measure(setup, folder, options))
            except CannotRunError as err:
                refused.append((setup, str(err)))
    if not results:
        raise SystemExit("; ".join(f"({setup.letter}): {why}" for setup, why in refused))
    picture(results, DOCS / "memory.png")
    Page(
        name="memory",
        title="What a class of notebooks needs",
        method=METHOD.format(
            students=options.students,
            apart=options.apart,
            notebooks=", ".join(options.notebooks),
            stations=options.stations,
        ),
        tables=[table(results, refused)],
        notes=_notes(results),
        picture="memory.png",
    ).publish()


def _notes(results: Sequence[Result]) -> list[str]:
    by_letter = {each.setup.letter: each for each in results}
    notes = ["KSM was put back as found after every way."]
    if "a" in by_letter and "f" in by_letter:
        for word, stage in (("imports", "imports"), ("notebooks", "after")):
            share = (
                getattr(by_letter["f"], stage).use.frames
                / getattr(by_letter["a"], stage).use.frames
            )
            verdict = "met" if share <= TARGET else "missed"
            notes.append(
                f"Target after {word}: at most {TARGET:.0%} of (a). {share:.0%}: {verdict}."
            )
    return notes


if __name__ == "__main__":
    main()
