"""What reading the GPUs costs: CPU per tick and the agent's memory, on the stand-in of the driver.

`python -m benchmarks.gpu_tick`. The child process runs the tests' stand-in library, so its part
says what pynvml and the agent's own code cost, not what a real driver costs.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psutil

from benchmarks import readings
from benchmarks.agent_cost import crowd
from benchmarks.jupyter import clean_environment, free_port
from benchmarks.page import Page, Table
from benchmarks.spread import percentile

ROOT = Path(__file__).resolve().parents[1]
GPUS, PROCESSES = 8, 200
TICK_TARGET_MS = 50.0
RESIDENT_TARGET = 60e6
GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Cost:
    """CPU milliseconds per tick of agent and child; bytes, the largest seen."""

    ticks: int
    agent_ms: float
    join_ms: list[float]
    child_ms: float
    agent_bytes: int
    child_bytes: int


def scenario(pids: list[int], lists: int, stamp: int) -> str:
    """8 GPUs; each process is on `lists` of them and works on the first."""
    lines = [f"count {GPUS}", "driver 580.65.06"]
    for gpu in range(GPUS):
        mine = [pid for at, pid in enumerate(pids) if (gpu - at) % GPUS < lists]
        lines += [
            f"gpu{gpu}.{line}"
            for line in (
                f"uuid GPU-{gpu}",
                "name NVIDIA H100 80GB HBM3",
                f"total {80 * GIB}",
                f"used {len(mine) * GIB // 8}",
                f"free {80 * GIB - len(mine) * GIB // 8}",
                "reserved 600000000",
                "busy 40",
                "membusy 10",
                "power 300000",
                "powerlimit 700000",
                "temp 50",
                "ecc 0",
                "mig 0 0",
                "remap 0 0 0 0",
                f"procs {len(mine)}",
                f"utils {len(mine)}",
            )
        ]
        for at, pid in enumerate(mine):
            lines.append(f"gpu{gpu}.proc{at} {pid} {GIB // 8} C")
            lines.append(f"gpu{gpu}.util{at} {pid} {stamp} 30 5")
    return "\n".join([*lines, ""])


def build(folder: Path) -> None:
    """The stand-in library."""
    source = ROOT / "tests/standins/nvml/nvml_standin.c"
    target = folder / "libnvidia-ml.so.1"
    subprocess.run(["cc", "-shared", "-fPIC", "-O2", "-o", str(target), str(source)], check=True)


@contextlib.contextmanager
def agent(folder: Path, *flags: str) -> Iterator[tuple[int, str]]:
    """A running agent: process id and address."""
    port = free_port()
    environment = clean_environment(folder) | {
        "LD_LIBRARY_PATH": str(folder),
        "SAMEPAGE_NVML_STANDIN": str(folder / "nvml.txt"),
    }
    command = [sys.executable, "-m", "nodeagent", "run", "--mode", "observe"]
    command += ["--listen", f"127.0.0.1:{port}", "--state-dir", str(folder / "state")]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([*command, *flags], cwd=ROOT, env=environment, stderr=log)
    try:
        url = f"http://127.0.0.1:{port}"
        until = time.monotonic() + 60
        while time.monotonic() < until:
            with contextlib.suppress(OSError):
                urllib.request.urlopen(f"{url}/healthz", timeout=2).close()
                break
            time.sleep(0.2)
        else:
            raise RuntimeError((folder / "log").read_text())
        yield process.pid, url
    finally:
        process.terminate()
        process.wait(20)


def metric(url: str, name: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=10) as answer:
        for line in answer.read().decode().splitlines():
            if line.startswith(f"{name} "):
                return float(line.split()[1])
    raise RuntimeError(f"no {name}")


def rest(folder: Path, seconds: float) -> float:
    """CPU seconds per second of an agent that reads no GPUs."""
    with agent(folder, "--no-gpu") as (pid, _):
        time.sleep(3)
        before, began = readings.cpu_seconds(pid) or 0.0, time.monotonic()
        time.sleep(seconds)
        return ((readings.cpu_seconds(pid) or 0.0) - before) / (time.monotonic() - began)


def measure(folder: Path, pids: list[int], lists: int, seconds: float, idle: float) -> Cost:
    """One tick per second, everything on: records, history, metrics, private pages."""
    state = folder / "nvml.txt"
    state.write_text(scenario(pids, lists, int(time.time() * 1e6)))
    flags = ["--gpu-interval", "1", "--gpu-data", str(folder / f"data-{lists}")]
    flags += ["--node-socket", str(folder / "node.sock")]
    with agent(folder, *flags) as (pid, url):
        time.sleep(4)
        (child,) = (
            each.pid
            for each in psutil.Process(pid).children()
            if "nodeagent.gpu.child" in " ".join(each.cmdline())
        )
        cpu, child_cpu = readings.cpu_seconds(pid) or 0.0, readings.cpu_seconds(child) or 0.0
        joins: list[float] = []
        worst = worst_child = 0
        began = time.monotonic()
        while time.monotonic() - began < seconds:
            # Once a second, so that about every tick is seen; asking costs too and is counted.
            joins.append(metric(url, "samepage_gpu_tick_cpu_seconds") * 1000)
            for each, is_child in ((pid, False), (child, True)):
                seen = readings.memory(each)
                if seen is not None and is_child:
                    worst_child = max(worst_child, seen.resident)
                elif seen is not None:
                    worst = max(worst, seen.resident)
            # Work in every tick, as on a busy node.
            fresh = folder / "nvml.new"
            fresh.write_text(scenario(pids, lists, int(time.time() * 1e6)))
            fresh.replace(state)
            time.sleep(1)
        passed = time.monotonic() - began
        spent = (readings.cpu_seconds(pid) or 0.0) - cpu - idle * passed
        child_spent = (readings.cpu_seconds(child) or 0.0) - child_cpu
    ticks = int(passed)
    return Cost(
        ticks=ticks,
        agent_ms=spent / ticks * 1000,
        join_ms=joins,
        child_ms=child_spent / ticks * 1000,
        agent_bytes=worst,
        child_bytes=worst_child,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=45)
    options = parser.parse_args()
    # Not below /tmp's private folders of others: short paths, as sockets need.
    with tempfile.TemporaryDirectory(prefix="gpu-tick-") as name, crowd(PROCESSES, 0, 1):
        folder = Path(name)
        build(folder)
        me = psutil.Process()
        pids = [each.pid for each in me.children(recursive=True) if each.ppid() != os.getpid()]
        idle = rest(folder, options.seconds / 2)
        few = measure(folder, pids[:PROCESSES], 1, options.seconds, idle)
        many = measure(folder, pids[:PROCESSES], GPUS, options.seconds, idle)
    rows = [
        (
            label,
            f"{cost.agent_ms:.1f}",
            f"{percentile(cost.join_ms, 0.5):.1f} / {percentile(cost.join_ms, 0.99):.1f}",
            f"{cost.child_ms:.1f}",
            f"{cost.agent_ms + cost.child_ms:.1f}",
            f"{cost.agent_bytes / 1e6:.1f}",
            f"{cost.child_bytes / 1e6:.1f}",
            str(cost.ticks),
        )
        for label, cost in (
            (f"{PROCESSES} processes, one GPU each", few),
            (f"{PROCESSES} processes on every GPU ({PROCESSES * GPUS} entries)", many),
        )
    ]
    whole = few.agent_ms + few.child_ms
    Page(
        name="gpu_tick",
        title="Cost of reading GPUs",
        method=(
            f"A running agent (observe, records, history and sockets on) with {GPUS} GPUs and "
            f"{PROCESSES} real processes, each with new work in every tick, one tick a second and "
            "one `/metrics` a second. Agent: its CPU time per tick, less that of an agent without "
            "GPUs; in it, what joining one answer takes. The driver is a **stand-in** in C that "
            "answers from a table: the child's part is pynvml and our code; a real driver takes "
            "more. MB is 10^6 bytes; the two processes share pages, which count twice here."
        ),
        tables=[
            Table(
                title="CPU per tick and memory",
                columns=(
                    "case",
                    "agent, ms",
                    "join p50 / p99, ms",
                    "child, ms",
                    "both, ms",
                    "agent, MB",
                    "child, MB",
                    "ticks",
                ),
                rows=rows,
            ),
            Table(
                title="Targets",
                columns=("target", "measured", ""),
                rows=[
                    (
                        f"{GPUS} GPUs, {PROCESSES} processes: below {TICK_TARGET_MS:.0f} ms",
                        f"{whole:.1f} ms",
                        "met" if whole < TICK_TARGET_MS else "missed",
                    ),
                    (
                        f"agent below {RESIDENT_TARGET / 1e6:.0f} MB, everything on",
                        f"{few.agent_bytes / 1e6:.1f} MB",
                        "met" if few.agent_bytes < RESIDENT_TARGET else "missed",
                    ),
                ],
            ),
        ],
    ).publish()


if __name__ == "__main__":
    main()
