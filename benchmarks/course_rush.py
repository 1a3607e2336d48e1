"""The 9:00 problem: a class opens a course in the same minute, from a git server that throttles.

    python -m benchmarks.course_rush --students 300

One node; nbgitpuller as it is, ours without and ours with the node's cache, one after the other,
with the same arrivals.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import course_students as students
from .course_students import WAYS, Outcome, Rush, Way
from .course_throttle import ROOT, Answers, Limits, throttled
from .page import DOCS, Page, Table
from .spread import percentile, spread

COLOURS: dict[Way, str] = {
    "nbgitpuller": "tab:gray",
    "without cache": "peru",
    "with cache": "tab:orange",
}


@dataclass(frozen=True, kw_only=True)
class Figures:
    """What one way needed. disk: bytes of each student's home. node_cpu: seconds of the agent."""

    way: Way
    outcomes: Sequence[Outcome]
    answers: Answers
    disk: Sequence[int]
    node_cpu: float

    def seconds(self) -> list[float]:
        """Of those who got their files."""
        return [outcome.seconds for outcome in self.outcomes if outcome.seconds is not None]


def make_course(folder: Path, megabytes: float) -> Path:
    """`folder/served/course.git`: notebooks, text and data as a course has them; 200 files."""
    noise = random.Random(9)
    work = folder / "work"
    size = int(megabytes * 1e6)
    for number in range(20):
        file = work / "data" / f"{number:02}.bin"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(noise.randbytes(size // 20))
    for number in range(180):
        file = work / f"week-{number // 12:02}" / f"lesson-{number:03}.md"
        file.parent.mkdir(parents=True, exist_ok=True)
        words = [f"word{noise.randrange(5000)}" for _ in range(1500)]
        file.write_text("\n".join(" ".join(words[at : at + 12]) for at in range(0, 1500, 12)))
    who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
    for arguments in (
        ["init", "--quiet", "--initial-branch=main"],
        ["add", "."],
        [*who, "-c", "gc.auto=0", "commit", "--quiet", "--message=Course"],
        ["repack", "-adq"],
    ):
        subprocess.run(["git", *arguments], cwd=work, check=True)
    served = folder / "served"
    subprocess.run(
        ["git", "clone", "--quiet", "--bare", str(work), str(served / "course.git")], check=True
    )
    return served


@contextmanager
def node_agent(cache: Path, url: str, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A real agent that keeps the course, and has it."""
    command = [sys.executable, "-m", "nodeagent", "run", "--mode", "off", "--no-gpu"]
    command += ["--listen", "127.0.0.1:0", "--course-cache", str(cache)]
    command += ["--course-cache-urls", url, "--course-cache-interval", "120"]
    with log.open("wb") as stream:
        process = subprocess.Popen(
            [*command, "--state-dir", str(cache.parent)], cwd=ROOT, stderr=stream
        )
    try:
        deadline = time.monotonic() + 120
        while not list(cache.glob("public/*/samepage-cache.json")):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The agent has no course: {log.read_text()}")
            time.sleep(0.1)
        yield process
    finally:
        process.terminate()
        process.wait(30)


def measure(
    way: Way, base: Path, served: Path, limits: Limits, options: argparse.Namespace
) -> Figures:
    """One class."""
    homes = base / way.replace(" ", "-")
    cache = base / "cache"
    with throttled(served, limits) as server:
        url = server.url("course")
        rush = Rush(
            way=way,
            url=url,
            homes=homes,
            students=options.students,
            spread=options.spread,
            patience=options.patience,
            cache=cache,
        )
        cpu = 0.0
        if way == "with cache":
            with node_agent(cache, url, base / "agent.log") as agent:
                outcomes = students.run(rush)
                cpu = _cpu_seconds(agent.pid)
        else:
            outcomes = students.run(rush)
        answers = server.stop()
    disk = [_size(home) for home in sorted(homes.iterdir())]
    shutil.rmtree(homes)
    return Figures(way=way, outcomes=outcomes, answers=answers, disk=disk, node_cpu=cpu)


def _cpu_seconds(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    ticks = sum(int(fields[place]) for place in (11, 12, 13, 14))
    return float(ticks / os.sysconf("SC_CLK_TCK"))


def _size(home: Path) -> int:
    return sum(
        path.lstat().st_blocks * 512
        for path in home.rglob("*")
        if path.is_file() and path.name not in ("log", "outcome")
    )


def page(found: Mapping[Way, Figures], limits: Limits, options: argparse.Namespace) -> Page:
    """The page of `found`."""
    rows = [_row(figures, options.students) for figures in found.values()]
    return Page(
        name="course_rush",
        title="The 9:00 problem: a class opens a course in the same minute",
        method=(
            f"{options.students} students on one node come at random within {options.spread:g} s; "
            f"the course has 200 files and {options.megabytes:g} MB. The git server (a real "
            f"`git http-backend`) gives all answers together {limits.bytes_per_second / 1e6:g} "
            f"MB/s, answers {limits.at_once} requests at once, and refuses (429) more than "
            f"{limits.per_second:g} requests/s after a burst of {limits.burst}. Who meets an error "
            f"tries again after {students.RETRY_SECONDS:g} s, or when the server said. nbgitpuller "
            "runs as in a server that has it loaded; ours starts its worker process for each "
            "student, as in a server. The agent has fetched the course before the first student "
            "comes. Time counts from the student's coming until all files are there; CPU is that "
            "of the student's processes with all the gits they start, and of the agent."
        ),
        tables=[
            Table(
                title="One class",
                columns=[
                    "",
                    "got it",
                    "p50, s",
                    "p95, s",
                    "tries, mean",
                    "requests",
                    "refused (429)",
                    "packs sent",
                    "MB sent",
                    "MB on disk per student",
                    "CPU s per student",
                    "CPU s of the agent",
                ],
                rows=rows,
            ),
            Table(
                title="Targets",
                columns=["target", "measured", ""],
                rows=_targets(found),
            ),
        ],
        picture="course_rush.png",
    )


def _row(figures: Figures, count: int) -> list[str]:
    seconds = figures.seconds()
    return [
        figures.way if figures.way == "nbgitpuller" else f"ours, {figures.way}",
        f"{len(seconds)} of {count}",
        f"{percentile(seconds, 0.5):.1f}" if seconds else "-",
        f"{percentile(seconds, 0.95):.1f}" if seconds else "-",
        f"{sum(outcome.tries for outcome in figures.outcomes) / count:.1f}",
        str(figures.answers.requests),
        str(figures.answers.refused),
        str(figures.answers.packs),
        f"{figures.answers.bytes / 1e6:.0f}",
        f"{spread([size / 1e6 for size in figures.disk]).median:.1f}",
        f"{sum(outcome.cpu for outcome in figures.outcomes) / count:.2f}",
        f"{figures.node_cpu:.1f}" if figures.node_cpu else "-",
    ]


def _targets(found: Mapping[Way, Figures]) -> list[list[str]]:
    ours, theirs = found["with cache"], found["nbgitpuller"]
    packs = ours.answers.packs
    rows = [
        [
            "one upstream fetch per course and node",
            f"{packs} pack, {ours.answers.requests} requests",
            "met" if packs == 1 else "missed",
        ]
    ]
    if ours.seconds() and theirs.seconds():
        one, other = (percentile(each.seconds(), 0.95) for each in (ours, theirs))
        complete = len(ours.seconds()) == len(ours.outcomes)
        rows.append(
            [
                "p95 under a fifth of nbgitpuller's",
                f"{one:.1f} s of {other:.1f} s, {one / other:.2f}",
                "met" if one < other / 5 and complete else "missed",
            ]
        )
    return rows


def picture(found: Mapping[Way, Figures], file: Path) -> None:
    """How many students had their files, over time since they came."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axis = plt.subplots(figsize=(9, 5))
    for way, figures in found.items():
        seconds = sorted(figures.seconds())
        shares = [(number + 1) / len(figures.outcomes) for number in range(len(seconds))]
        label = way if way == "nbgitpuller" else f"ours, {way}"
        axis.step(seconds, shares, where="post", label=label, color=COLOURS[way], linewidth=2)
    axis.set_xscale("log")
    axis.set_xlabel("seconds after the student came")
    axis.set_ylabel("students who have their files")
    axis.set_ylim(0, 1.02)
    axis.grid(alpha=0.3)
    axis.legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.course_rush", description=__doc__)
    parser.add_argument("--students", type=int, default=300)
    parser.add_argument("--spread", type=float, default=60.0, help="seconds in which they come")
    parser.add_argument("--patience", type=float, default=1800.0, help="seconds")
    parser.add_argument("--megabytes", type=float, default=20.0, help="size of the course")
    parser.add_argument("--megabytes-per-second", type=float, default=12.5)
    parser.add_argument("--per-second", type=float, default=10.0, help="requests before 429")
    parser.add_argument("--output", type=Path, default=DOCS)
    options = parser.parse_args(arguments)
    limits = Limits(
        bytes_per_second=options.megabytes_per_second * 1e6,
        at_once=16,
        per_second=options.per_second,
        burst=30,
        retry_seconds=10,
    )
    base = Path(tempfile.mkdtemp(prefix="course-rush-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    base.chmod(0o755)
    try:
        served = make_course(base, options.megabytes)
        found: dict[Way, Figures] = {}
        for way in WAYS:
            found[way] = measure(way, base, served, limits, options)
            print(f"{way}: {_row(found[way], options.students)}", file=sys.stderr, flush=True)
        made = page(found, limits, options)
        picture(found, options.output / "course_rush.png")
        made.publish(options.output)
    finally:
        shutil.rmtree(base, ignore_errors=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
