"""What a pull costs: with nothing new, for the first time, and for an update of a few files.

    python -m benchmarks.course_pull --rounds 5

Against a real git server on loopback, in rounds in which every way has its turn, so that the
machine's other load falls on all of them alike.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from labext.courses import task
from labext.courses.launch import run_worker
from labext.courses.light import pull_lightly
from labext.courses.protocol import Job, Result
from labext.courses.sync.engine import StateEngine

from .course import serving
from .course_throttle import ROOT
from .page import DOCS, Page, Table
from .spread import paired_differences, spread

NOTHING_NEW_SECONDS = 0.15
UPDATE_SECONDS = 1.0


@dataclass(frozen=True, kw_only=True)
class Size:
    """files of a course, and its bytes."""

    files: int
    bytes: int

    @property
    def text(self) -> str:
        return f"{self.files} files, {self.bytes / 1e6:g} MB"


@dataclass(kw_only=True)
class Times:
    """Seconds by what was done, one per round. wrote: what a pull with nothing new changed."""

    seconds: dict[str, list[float]] = field(default_factory=dict)
    wrote: list[str] = field(default_factory=list)

    def add(self, what: str, seconds: float) -> None:
        """One more."""
        self.seconds.setdefault(what, []).append(seconds)


class Course:
    """A course of a size, served, with a student."""

    def __init__(self, base: Path, size: Size) -> None:
        self.base, self.size = base, size
        self.work, self.home = base / "work", base / "home"
        self.served = base / "served"
        self._noise = random.Random(5)

    def make(self) -> None:
        """Half noise, half text, in folders."""
        each = self.size.bytes // self.size.files
        text = b"A line of a text that says nothing.\n" * (each // 72 + 1)
        for number in range(self.size.files):
            file = (
                self.work / f"week-{number % 50:02}" / f"{number // 50 % 20:02}" / f"{number}.dat"
            )
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(self._noise.randbytes(each // 2) + text[: each // 2])
        self._git("init", "--quiet", "--initial-branch=main")
        self._commit("first")
        self._git("repack", "-adq", "--window=0")
        self.served.mkdir()
        bare = str(self.served / "course.git")
        self._git("clone", "--quiet", "--bare", ".", bare)
        self._git("remote", "add", "origin", bare)

    def update(self, files: int) -> None:
        """The teacher changes so many files."""
        for file in sorted(self.work.rglob("*.dat"))[:files]:
            file.write_bytes(self._noise.randbytes(500) + file.read_bytes()[500:])
        self._commit("update")
        self._git("push", "--quiet", "origin", "main")

    def job(self, url: str) -> Job:
        return Job(
            url=url,
            branch=None,
            depth=1,
            root=str(self.home),
            target="course",
            state_dir=str(self.base / "state"),
            timeout_seconds=600.0,
            connect_timeout_seconds=20.0,
            cache="",
        )

    def forget(self) -> None:
        """As a student who comes for the first time."""
        for folder in (self.home, self.base / "state", self.base / "clone"):
            shutil.rmtree(folder, ignore_errors=True)
        self.home.mkdir()

    def marks(self) -> dict[str, tuple[int, int, int]]:
        """Of everything of the student's and ours: changes with any write, rename or chmod."""
        return {
            str(path): (status.st_ino, status.st_mtime_ns, status.st_ctime_ns)
            for folder in (self.home, self.base / "state")
            for path in [folder, *folder.rglob("*")]
            for status in [path.lstat()]
        }

    def _commit(self, message: str) -> None:
        who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
        self._git("add", "--all")
        self._git(*who, "-c", "gc.auto=0", "commit", "--quiet", f"--message={message}")

    def _git(self, *arguments: str) -> None:
        subprocess.run(["git", "-c", "core.compression=1", *arguments], cwd=self.work, check=True)


def _nothing_new_in_server(job: Job) -> Result:
    return asyncio.run(pull_lightly(job, lambda _: None))


def _nothing_new_in_worker(job: Job) -> Result:
    return asyncio.run(run_worker(job, lambda _: None))


def _nothing_new_in_terminal(job: Job) -> Result:
    command = [sys.executable, "-P", "-m", "labext.courses.cli", "pull", "--quiet"]
    command += ["--target", str(Path(job.root) / job.target), "--state-dir", job.state_dir]
    env = {**os.environ, "PYTHONPATH": str(ROOT), "SAMEPAGE_COURSE_URL": job.url}
    done = subprocess.run(command, env=env, capture_output=True, text=True, cwd="/", check=False)
    if done.returncode != 0:
        return Result(state="failed", message=done.stderr)
    return Result(state="up_to_date", message=done.stdout)


NOTHING_NEW: Mapping[str, Callable[[Job], Result]] = {
    "in the server": _nothing_new_in_server,
    "in a worker process": _nothing_new_in_worker,
    "samepage-course pull": _nothing_new_in_terminal,
}


def _timed(act: Callable[[Job], Result], job: Job) -> tuple[float, Result]:
    begun = time.perf_counter()
    result = act(job)
    seconds = time.perf_counter() - begun
    if result.state != "up_to_date":
        raise RuntimeError(f"{result.code}: {result.message}")
    return seconds, result


def _run(job: Job, phases: list[tuple[str, float]]) -> Result:
    """A pull in this process; when its phases began is added to `phases`."""
    return task.run(
        job,
        StateEngine(Path(job.state_dir)),
        lambda progress: phases.append((progress.phase, time.perf_counter())),
        dict(os.environ),
        time.time,
    )


def nothing_new(course: Course, url: str, rounds: int, times: Times) -> None:
    """All ways in turn; also whether any of them wrote something."""
    job = course.job(url)
    for _ in range(rounds):
        for what, act in NOTHING_NEW.items():
            before = course.marks()
            seconds, result = _timed(act, job)
            times.add(what, seconds)
            after = course.marks()
            if "up to date" not in result.message:
                raise RuntimeError(f"There was something new: {result.message}")
            times.wrote += [f"{what}: {path}" for path in after if after[path] != before.get(path)]


def first_pull(course: Course, url: str, rounds: int, times: Times) -> None:
    """`git clone --depth=1` and ours in turn, each from nothing."""
    for number in range(rounds):
        course.forget()
        for what in ("git clone", "first pull")[:: 1 if number % 2 else -1]:
            os.sync()
            begun = time.perf_counter()
            if what == "git clone":
                clone = str(course.base / "clone")
                subprocess.run(["git", "clone", "-q", "--depth=1", url, clone], check=True)
            else:
                _timed(lambda job: _run(job, []), course.job(url))
            times.add(what, time.perf_counter() - begun)


def updates(course: Course, url: str, rounds: int, times: Times) -> None:
    """Ten files of the teacher's; how long it takes after the fetch, and all in all."""
    for _ in range(rounds):
        course.update(10)
        phases: list[tuple[str, float]] = []
        seconds, result = _timed(lambda job: _run(job, phases), course.job(url))  # noqa: B023
        ended = time.perf_counter()
        assert result.history is not None
        if len(result.history.changes) != 10:
            raise RuntimeError(f"Not ten files came: {result.message}")
        merged = next(at for phase, at in phases if phase.startswith("Merging"))
        times.add("after the fetch", ended - merged)
        times.add("with the fetch", seconds)


def measure(base: Path, size: Size, rounds: int) -> Times:
    """All of it for one size."""
    course = Course(base, size)
    course.make()
    times = Times()
    with serving(course.served) as url:
        first_pull(course, url, rounds, times)
        nothing_new(course, url, 3 * rounds, times)
        updates(course, url, rounds, times)
    return times


def page(found: Mapping[Size, Times], rounds: int) -> Page:
    """The page of `found`."""
    rows = []
    for size, times in found.items():
        for what, values in times.seconds.items():
            kind = f"nothing new, {what}" if what in NOTHING_NEW else what
            rows.append([size.text, kind, spread(values).text(3), str(len(values))])
    return Page(
        name="course_pull",
        title="What a pull costs",
        method=(
            "A course behind a real git server (smart HTTP) on loopback; half of its bytes are "
            f"noise, half text. {rounds} rounds, ways in turn within a round. In the server: as "
            "the extension asks, without a process of its own; the two others start Python. "
            "Whether anything was written is judged by inode, mtime and ctime of every file and "
            "folder of the student's and of our own data. First pull and clone start from nothing "
            "and end when the command ends; an update changes ten files."
        ),
        tables=[
            Table(
                title="Times",
                columns=["course", "what", "seconds, median (quartiles)", "measured"],
                rows=rows,
            ),
            Table(title="Targets", columns=["target", "measured", ""], rows=_targets(found)),
        ],
        picture="course_pull.png",
    )


def _targets(found: Mapping[Size, Times]) -> list[list[str]]:
    rows = []
    large = max(found, key=lambda size: size.files)
    for size, times in found.items():
        server = spread(times.seconds["in the server"]).median
        update = spread(times.seconds["after the fetch"]).median
        rows += [
            [
                f"nothing new under 150 ms ({size.text})",
                f"{1000 * server:.0f} ms in the server",
                _met(server < NOTHING_NEW_SECONDS),
            ],
            [
                f"nothing new writes nothing ({size.text})",
                f"{len(times.wrote)} files or folders changed",
                _met(not times.wrote),
            ],
            [
                f"ten files under 1 s after the fetch ({size.text})",
                f"{update:.2f} s",
                _met(update < UPDATE_SECONDS),
            ],
        ]
    times = found[large]
    more = spread(paired_differences(times.seconds["git clone"], times.seconds["first pull"]))
    rows.append(
        [
            f"first pull no slower than git clone ({large.text})",
            f"{more.text()} s more than the clone of the same round",
            _met(more.median <= 0),
        ]
    )
    return rows


def _met(met: bool) -> str:
    return "met" if met else "missed"


def picture(found: Mapping[Size, Times], file: Path) -> None:
    """Every single time, on a logarithmic scale."""
    import matplotlib as mpl

    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, len(found), figsize=(7 * len(found), 4), squeeze=False)
    for axis, (size, times) in zip(axes[0], found.items(), strict=True):
        names = list(times.seconds)
        for place, name in enumerate(names):
            values = times.seconds[name]
            colour = "tab:gray" if name == "git clone" else "tab:orange"
            axis.plot(values, [place] * len(values), "o", color=colour, alpha=0.5)
            axis.plot([spread(values).median], [place], "|", color="black", markersize=18)
        axis.set_yticks(range(len(names)), names)
        axis.axvline(NOTHING_NEW_SECONDS, color="0.6", linestyle="--")
        axis.set_xscale("log")
        axis.set_xlabel("seconds (dashed: 150 ms)")
        axis.set_title(size.text)
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def main(arguments: list[str] | None = None) -> int:
    """Measure, and write the page."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.course_pull", description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--megabytes", type=float, default=500.0)
    parser.add_argument("--output", type=Path, default=DOCS)
    options = parser.parse_args(arguments)
    sizes = [
        Size(files=min(200, options.files), bytes=int(min(10.0, options.megabytes) * 1e6)),
        Size(files=options.files, bytes=int(options.megabytes * 1e6)),
    ]
    found: dict[Size, Times] = {}
    base = Path(tempfile.mkdtemp(prefix="course-pull-", dir=os.environ.get("TMPDIR", "/var/tmp")))
    try:
        for number, size in enumerate(sizes):
            found[size] = measure(base / str(number), size, options.rounds)
            shutil.rmtree(base / str(number))
    finally:
        shutil.rmtree(base, ignore_errors=True)
    picture(found, options.output / "course_pull.png")
    page(found, options.rounds).publish(options.output)
    return 0


if __name__ == "__main__":
    sys.exit(main())
