"""What the node agent costs on a node full of processes.

python -m benchmarks.agent_cost [--seconds 60] [--processes 200] [--opted-in 100]
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import matplotlib as mpl

from nodeagent.config import AgentConfig
from nodeagent.ksm.lock import KsmLock

from . import readings
from .jupyter import clean_environment, free_port
from .page import DOCS, Page, Table

ROOT = Path(__file__).resolve().parents[1]
KSM = Path("/sys/kernel/mm/ksm")
KNOBS = ("run", "pages_to_scan", "sleep_millisecs", "smart_scan", "advisor_mode")
RESIDENT_TARGET = 40e6
CPU_TARGET = 0.005
SCRAPE_SECONDS = 15

METHOD = """
One agent at its default interval, with {processes} processes at rest besides the machine's own,
{opted_in} of them opted in to KSM with {megabytes} MiB of equal memory each. Prometheus is played
by a client that reads `/metrics` every {scrape} s, and one `/v1/node` with it. After the agent has
come to rest (tune: KSM's phase has stopped changing), it is watched for {seconds} s: CPU time of
the agent and its children from `/proc/PID/stat`, memory from `smaps_rollup` every second (worst
value shown; RSS counts pages shared between the agent's processes once for each). ksmd's time is
the kernel's merging thread. MB is 10^6 bytes.
"""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Seconds since the watch began; CPU seconds since then; bytes of the agent's processes."""

    at: float
    cpu: float
    ksmd: float | None
    resident: int
    unique: int
    main_resident: int
    processes: int


@dataclass(frozen=True, kw_only=True)
class Watch:
    """One mode, or the reason why it was not run."""

    mode: str
    samples: Sequence[Sample]
    settled_after: float
    note: str

    @property
    def cpu_share(self) -> float:
        """Of one core."""
        return self.samples[-1].cpu / self.samples[-1].at


@contextmanager
def crowd(processes: int, opted_in: int, megabytes: int) -> Iterator[None]:
    """The node's other processes."""
    program = Path(__file__).with_name("crowd.py")
    numbers = [str(processes), str(opted_in), str(megabytes)]
    child = subprocess.Popen(
        [sys.executable, "-S", str(program), *numbers],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    try:
        if child.stdout.readline().strip() != "ready":
            raise RuntimeError(f"The processes did not start: {child.wait()}")
        yield
    finally:
        child.stdin.close()
        child.wait(60)
        child.stdout.close()


def knobs() -> dict[str, str]:
    """KSM's settings, as far as this Linux has them."""
    found = {}
    for name in KNOBS:
        try:
            found[name] = (KSM / name).read_text().strip()
        except OSError:
            continue
    return found


@contextmanager
def agent(mode: str, folder: Path) -> Iterator[tuple[int, str]]:
    """A running agent: process id and address. It has put KSM back when this ends."""
    port = free_port()
    command = [sys.executable, "-m", "nodeagent", "run", "--mode", mode]
    command += ["--listen", f"127.0.0.1:{port}", "--state-dir", str(folder / "state")]
    log = folder / f"agent-{mode}.log"
    with log.open("wb") as output:
        process = subprocess.Popen(
            command, cwd=ROOT, env=clean_environment(folder), stdout=output, stderr=output
        )
    url = f"http://127.0.0.1:{port}"
    try:
        deadline = time.monotonic() + 60
        while not _healthy(url):
            if process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"The agent did not become healthy:\n{log.read_text()}")
            time.sleep(0.1)
        yield process.pid, url
    finally:
        process.terminate()
        process.wait(60)


def _healthy(url: str) -> bool:
    try:
        with urllib.request.urlopen(f"{url}/healthz", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def node(url: str) -> dict[str, object]:
    """The agent's own words on KSM."""
    with urllib.request.urlopen(f"{url}/v1/node", timeout=10) as answer:
        ksm: dict[str, object] = json.loads(answer.read())["ksm"]
        return ksm


def settle(url: str, *, at_least: float, at_most: float, quiet: float = 25) -> float:
    """Wait until phase and saved bytes have not changed for `quiet` seconds; how long it took."""
    begun = time.monotonic()
    last: object = None
    since = begun
    while True:
        now = time.monotonic()
        ksm = node(url)
        seen = (ksm["phase"], ksm["saved_bytes"])
        if seen != last:
            last, since = seen, now
        if now - begun >= at_most or (now - begun >= at_least and now - since >= quiet):
            return now - begun
        time.sleep(2)


def watch(mode: str, folder: Path, seconds: float) -> Watch:
    """Run the agent in one mode until it rests, then watch it.

    Nobody else may steer KSM meanwhile: the tuning agent holds the lock, for an observing one the
    benchmark does.
    """
    with KsmLock() if mode == "observe" else nullcontext():
        return _watch_undisturbed(mode, folder, seconds)


def _watch_undisturbed(mode: str, folder: Path, seconds: float) -> Watch:
    before = knobs()
    with agent(mode, folder) as (pid, url):
        settled = settle(url, at_least=30, at_most=180)
        stop = threading.Event()
        scraper = threading.Thread(target=_scrape, args=(url, stop))
        scraper.start()
        try:
            samples = list(_samples(pid, seconds))
        finally:
            stop.set()
            scraper.join()
        ksm = node(url)
        note = f"{ksm['phase']}: {ksm['why']}"
    after = knobs()
    if before != after:
        raise RuntimeError(f"KSM was not put back: {before} became {after}")
    return Watch(mode=mode, samples=samples, settled_after=settled, note=note)


def _scrape(url: str, stop: threading.Event) -> None:
    while not stop.wait(SCRAPE_SECONDS):
        for path in ("/metrics", "/v1/node"):
            with urllib.request.urlopen(url + path, timeout=10) as answer:
                answer.read()


def _samples(pid: int, seconds: float) -> Iterator[Sample]:
    ksmd = readings.ksmd_pid()
    begun = time.monotonic()
    cpu_before, ksmd_before = _cpu(pid), _ksmd(ksmd)
    while True:
        time.sleep(1)
        family = readings.tree(pid)
        own, total = readings.memory(pid), readings.total_memory(family)
        if own is None:
            raise RuntimeError("The agent ended while it was watched")
        merging = _ksmd(ksmd)
        at = time.monotonic() - begun
        yield Sample(
            at=at,
            cpu=_cpu(pid) - cpu_before,
            ksmd=None if merging is None or ksmd_before is None else merging - ksmd_before,
            resident=total.resident,
            unique=total.unique,
            main_resident=own.resident,
            processes=len(family),
        )
        if at >= seconds:
            return


def _cpu(pid: int) -> float:
    return sum(readings.cpu_seconds(each) or 0.0 for each in readings.tree(pid))


def _ksmd(pid: int | None) -> float | None:
    return None if pid is None else readings.cpu_seconds(pid)


def table(watches: Sequence[Watch], refused: Sequence[tuple[str, str]]) -> Table:
    """One row per mode."""
    rows = []
    for each in watches:
        last = each.samples[-1]
        worst = max(sample.resident for sample in each.samples)
        met = "met" if worst < RESIDENT_TARGET and each.cpu_share < CPU_TARGET else "**missed**"
        rows.append(
            [
                each.mode,
                f"{worst / 1e6:.1f}",
                f"{max(sample.main_resident for sample in each.samples) / 1e6:.1f}",
                f"{max(sample.unique for sample in each.samples) / 1e6:.1f}",
                str(last.processes),
                f"{each.cpu_share:.2%}",
                "-" if last.ksmd is None else f"{last.ksmd / last.at:.2%}",
                f"{each.settled_after:.0f}",
                met,
            ]
        )
    rows += [[mode, *["-"] * 7, f"not run: {reason}"] for mode, reason in refused]
    columns = (
        "mode",
        "RSS, MB",
        "of it the main process",
        "USS, MB",
        "processes",
        "CPU, of one core",
        "ksmd, of one core",
        "at rest after, s",
        "target",
    )
    title = f"Targets: RSS below {RESIDENT_TARGET / 1e6:.0f} MB, CPU below {CPU_TARGET:.1%}"
    return Table(title=title, columns=columns, rows=rows)


def picture(watches: Sequence[Watch], file: Path) -> None:
    """CPU time and memory over the watch."""
    mpl.use("Agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(1, 2, figsize=(9, 3.6))
    for each in watches:
        times = [sample.at for sample in each.samples]
        axes[0].plot(times, [1000 * sample.cpu for sample in each.samples], label=each.mode)
        axes[1].plot(times, [sample.resident / 1e6 for sample in each.samples], label=each.mode)
    longest = max(each.samples[-1].at for each in watches)
    axes[0].plot([0, longest], [0, 1000 * CPU_TARGET * longest], "k--", label="target")
    axes[1].axhline(RESIDENT_TARGET / 1e6, color="k", linestyle="--", label="target")
    axes[0].set_ylabel("CPU time of the agent, ms")
    axes[1].set_ylabel("RSS, MB")
    for axis in axes:
        axis.set_xlabel("seconds")
        axis.set_ylim(bottom=0)
        axis.legend()
    figure.tight_layout()
    file.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(file, dpi=120)
    plt.close(figure)


def refusal(mode: str, patience: float) -> str | None:
    """Why a mode cannot be measured here now; waits `patience` seconds for another agent."""
    if mode == "tune" and not os.access(KSM / "run", os.W_OK):
        return "KSM cannot be written by this user"
    deadline = time.monotonic() + patience
    while KsmLock().held_elsewhere():
        if time.monotonic() > deadline:
            return "another agent steers KSM on this machine"
        time.sleep(0.5)
    return None


def main() -> None:
    """Measure both modes and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=60, help="watched, at rest (default 60)")
    parser.add_argument("--processes", type=int, default=200, help="default 200")
    parser.add_argument("--opted-in", type=int, default=100, help="of them (default 100)")
    parser.add_argument("--megabytes", type=int, default=4, help="MiB held by each (default 4)")
    parser.add_argument(
        "--patience", type=float, default=300, help="seconds to wait for another agent to end (300)"
    )
    options = parser.parse_args()
    watches, refused = [], []
    with (
        tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name,
        crowd(options.processes, options.opted_in, options.megabytes),
    ):
        for mode in ("observe", "tune"):
            reason = refusal(mode, options.patience)
            if reason is not None:
                refused.append((mode, reason))
                continue
            print(f"{mode}: waiting for rest, then {options.seconds:.0f} s", flush=True)
            watches.append(watch(mode, Path(name), options.seconds))
    if not watches:
        raise SystemExit("; ".join(f"{mode}: {reason}" for mode, reason in refused))
    picture(watches, DOCS / "agent_cost.png")
    method = METHOD.format(
        processes=options.processes,
        opted_in=options.opted_in,
        megabytes=options.megabytes,
        seconds=f"{options.seconds:.0f}",
        scrape=SCRAPE_SECONDS,
    )
    notes = [f"{each.mode} ended in {each.note}" for each in watches]
    notes.append(f"Default interval: {AgentConfig().interval:g} s. KSM was put back as found.")
    Page(
        name="agent_cost",
        title="What the node agent costs",
        method=method,
        tables=[table(watches, refused)],
        notes=notes,
        picture="agent_cost.png",
    ).publish()


if __name__ == "__main__":
    main()
