"""What the bundle costs a student's server: start, memory and a responsive event loop.

python -m benchmarks.server_start [--rounds 8] [--megabytes 60] [--wheel FILE]
"""

import argparse
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from . import course, environments, stalls
from .jupyter import free_port, running, settle
from .page import DOCS, Page, Table
from .spread import Spread, paired_differences, spread

START_TARGET = 0.05
MEMORY_TARGET = 5e6
STALL_TARGET = 50.0
ENDPOINTS = ("samepage/api/status", "samepage/api/apps", "samepage/api/courses")

METHOD = """
Two copies of one virtual environment, hard-linked from the developer's: *plain* has JupyterLab,
jupyter-server-proxy and nbgitpuller; *bundle* has the same files and our wheel installed by pip.
Nothing of ours is in *plain*, neither entry points nor configuration (switching the bundle off by
configuration would leave both, so it would flatter us). Every start has an empty home of its own.

One run, interleaved: plain, bundle, plain, bundle, ... after one uncounted start of each, the
order turned round in every second pair. Time is from the start of the process to the first 200 of
`/lab` with the token, asked again every 5 ms; CPU time until then (with children) depends less
on what else the machine does. Memory is the server process's, once its resident
size has stood still for 2 s: RSS, and USS (what only this process maps) from `smaps_rollup`.
Differences are of the pair; shown are medians with their quartiles. MB is 10^6 bytes.

Stalls: a coroutine in the server wants to wake every 5 ms. What it wakes late, less the time the
kernel says its thread waited for a CPU, is the server's own stall: computing or a blocking call.
A client's `/api/status` times beside it include this machine's other load.
"""


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start: seconds and CPU seconds until /lab answers, and bytes once settled."""

    seconds: float
    cpu: float
    resident: float
    unique: float


def one_start(python: Path, home: Path) -> Start:
    """Start, settle, stop."""
    with running(python, home) as server:
        memory = settle(server.pid)
        return Start(
            seconds=server.ready_seconds,
            cpu=server.ready_cpu_seconds,
            resident=memory.resident,
            unique=memory.unique,
        )


def interleaved(
    both: environments.Environments, folder: Path, rounds: int
) -> tuple[list[Start], list[Start]]:
    """Plain and bundle in pairs, after one uncounted start of each."""
    plain: list[Start] = []
    bundle: list[Start] = []
    for number in range(rounds + 1):
        order = [(both.plain, plain, "plain"), (both.bundle, bundle, "bundle")]
        for python, starts, name in order if number % 2 else reversed(order):
            start = one_start(python, folder / f"{name}-{number}")
            print(f"round {number} {name}: {start.seconds:.2f} s", flush=True)
            if number > 0:
                starts.append(start)
    return plain, bundle


def start_table(plain: Sequence[Start], bundle: Sequence[Start]) -> Table:
    """The three differences with their targets."""
    relative = _relative(plain, bundle, "seconds")
    relative_cpu = _relative(plain, bundle, "cpu")
    resident = _megabytes(paired_differences(*_both(plain, bundle, "resident")))
    unique = _megabytes(paired_differences(*_both(plain, bundle, "unique")))
    rows = [
        [
            "start to first /lab, s",
            *_medians(plain, bundle, "seconds", 1),
            f"{relative.text(1)} %",
            f"at most +{START_TARGET:.0%}",
            _verdict(relative.median <= 100 * START_TARGET),
        ],
        [
            "CPU time until then, s",
            *_medians(plain, bundle, "cpu", 1),
            f"{relative_cpu.text(1)} %",
            "",
            "",
        ],
        [
            "RSS, MB",
            *_medians(plain, bundle, "resident", 1e6),
            f"{resident.text(1)} MB",
            f"at most +{MEMORY_TARGET / 1e6:.0f} MB",
            _verdict(resident.median <= MEMORY_TARGET / 1e6),
        ],
        ["USS, MB", *_medians(plain, bundle, "unique", 1e6), f"{unique.text(1)} MB", "", ""],
    ]
    columns = ("", "plain", "bundle", "difference per pair", "target", "")
    return Table(title=f"Start and memory, {len(plain)} pairs", columns=columns, rows=rows)


def stall_rows(
    both: environments.Environments, folder: Path, megabytes: int, seconds: float
) -> list[stalls.Stalls]:
    """All scenarios; each with a fresh server."""
    rows = []
    with running(both.plain, folder / "stall-plain", probe=True) as server:
        settle(server.pid)
        rows.append(stalls.measure(server, "plain, at rest", stalls.rest(seconds)))
    repository = course.make_repository(folder / "repository", megabytes=megabytes)
    with course.serving(repository) as url, stalls.hanging_agent() as hanging:
        absent = f"http://127.0.0.1:{free_port()}"
        configured = {
            "SAMEPAGE_COURSE_URL": url,
            "SAMEPAGE_AGENT_URL": absent,
        }
        later = "--Samepage.pull_on_start=False"
        home = folder / "stall-bundle"
        with running(both.bundle, home, later, environment=configured, probe=True) as server:
            settle(server.pid)
            rows.append(stalls.measure(server, "bundle, at rest", stalls.rest(seconds)))
            pulling = stalls.pull_course(server)
            rows.append(stalls.measure(server, f"a {megabytes} MB course is pulled", pulling))
            hammering = stalls.hammer(server, ENDPOINTS, seconds=seconds, clients=4)
            rows.append(stalls.measure(server, "endpoints hammered, no agent", hammering))
        home = folder / "stall-hanging"
        configured["SAMEPAGE_AGENT_URL"] = hanging
        with running(both.bundle, home, later, environment=configured, probe=True) as server:
            settle(server.pid)
            hammering = stalls.hammer(server, ENDPOINTS[:1], seconds=seconds, clients=4)
            rows.append(stalls.measure(server, "status hammered, agent hangs", hammering))
    return rows


def picture(plain: Sequence[Start], bundle: Sequence[Start], file: Path) -> None:
    """Each pair's two points, for start time and RSS."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for axis, name, scale, unit in (
        (axes[0], "seconds", 1.0, "start to first /lab, s"),
        (axes[1], "resident", 1e6, "RSS, MB"),
    ):
        pairs = zip(*_both(plain, bundle, name), strict=True)
        for first, second in pairs:
            axis.plot([0, 1], [first / scale, second / scale], "o-", color="0.6", linewidth=0.8)
        medians = [spread(values).median / scale for values in _both(plain, bundle, name)]
        axis.plot([0, 1], medians, "o-", color="tab:orange", linewidth=2.5, label="median")
        axis.set_xticks([0, 1], ["plain", "bundle"])
        axis.set_xlim(-0.3, 1.3)
        axis.set_ylim(0, 1.1 * axis.get_ylim()[1])
        axis.set_ylabel(unit)
        axis.legend(loc="lower right")
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def _both(
    plain: Sequence[Start], bundle: Sequence[Start], name: str
) -> tuple[list[float], list[float]]:
    first = [float(getattr(each, name)) for each in plain]
    return first, [float(getattr(each, name)) for each in bundle]


def _medians(plain: Sequence[Start], bundle: Sequence[Start], name: str, scale: float) -> list[str]:
    digits = 2 if scale == 1 else 1
    return [
        spread([value / scale for value in values]).text(digits)
        for values in _both(plain, bundle, name)
    ]


def _relative(plain: Sequence[Start], bundle: Sequence[Start], name: str) -> Spread:
    """Percent of the plain start of the same pair."""
    pairs = zip(*_both(plain, bundle, name), strict=True)
    return spread([100 * (second - first) / first for first, second in pairs])


def _megabytes(differences: Sequence[float]) -> Spread:
    return spread([value / 1e6 for value in differences])


def _verdict(met: bool) -> str:
    return "met" if met else "**missed**"


def main() -> None:
    """Run everything and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=8, help="pairs that count (default 8)")
    parser.add_argument("--megabytes", type=int, default=60, help="size of the course (default 60)")
    parser.add_argument("--seconds", type=float, default=10, help="of each stall scenario (10)")
    environments.add_option(parser)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        both = environments.make(folder / "environments", options.wheel)
        plain, bundle = interleaved(both, folder, options.rounds)
        scenarios = stall_rows(both, folder, options.megabytes, options.seconds)
    picture(plain, bundle, DOCS / "server_start.png")
    table = Table(
        title=f"Event loop, target: no stall above {STALL_TARGET:.0f} ms",
        columns=stalls.COLUMNS,
        rows=[each.cells() for each in scenarios],
    )
    worst = max(scenarios[1:], key=lambda each: each.loop_worst)
    met = _verdict(worst.loop_worst <= STALL_TARGET)
    page = Page(
        name="server_start",
        title="What the bundle costs a student's server",
        method=METHOD,
        tables=[start_table(plain, bundle), table],
        notes=[f"Longest stall of the bundle: {worst.loop_worst:.1f} ms ({worst.name}): {met}."],
        picture="server_start.png",
    )
    page.publish()


if __name__ == "__main__":
    main()
