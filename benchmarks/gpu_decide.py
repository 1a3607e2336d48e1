"""How long one decision takes over a fleet: 1,000 nodes of 8 GPUs, each with a few notebooks.

`python -m benchmarks.gpu_decide`. One run on a busy machine tells the order of magnitude; the page
says how many decisions were timed and under which load.
"""

import argparse
import gc
import random
import time
from collections.abc import Callable
from functools import partial

from benchmarks.page import Page, Table
from benchmarks.spread import percentile
from nodeagent.gpu.reading import ok
from nodeagent.gpu.sharing.decide import decide, decide_over
from nodeagent.gpu.sharing.ledger import Ledger, Reservation
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.request import Request, Want
from nodeagent.gpu.sharing.standing import stand
from nodeagent.gpu.snapshot import GpuFacts, Health, ProcessFacts, Snapshot, Tenant

NOW = 1_800_000_000.0
GPUS = 8
TARGET_MS = 20.0


def fleet(nodes: int, source: random.Random) -> list[Snapshot]:
    """Nodes with 0 to 4 notebooks per GPU of 40 GiB."""
    return [
        Snapshot(
            node=f"node-{node:04}",
            taken=NOW,
            tick_seconds=5,
            driver=ok("590.1", source="nvml"),
            gpus=tuple(_gpu(node, index, source) for index in range(GPUS)),
        )
        for node in range(nodes)
    ]


def _gpu(node: int, index: int, source: random.Random) -> GpuFacts:
    total, used = 40 * GIB, 0
    processes, tenants = [], []
    for seat in range(source.randint(0, 4)):
        owner, size = f"ns/{node}-{index}-{seat}", source.randint(1, 9 * GIB)
        used += size
        processes.append(
            ProcessFacts(
                pid=1000 + seat,
                started=seat,
                kinds=("compute",),
                alive=ok(value=True, source="procfs"),
                memory_bytes=ok(size, source="nvml"),
                duty_15m=ok(source.random() * 0.2, source="nvml"),
                owner=ok(owner, source="cgroup"),
            )
        )
        tenants.append(
            Tenant(
                owner=owner,
                user=f"user{source.randint(0, 5000)}",
                allocated=True,
                age_seconds=source.uniform(0, 7200),
                ends_in_seconds=source.uniform(60, 7200),
            )
        )
    return GpuFacts(
        uuid=f"GPU-{node:04}-{index}",
        index=index,
        memory_total_bytes=ok(total, source="nvml"),
        memory_reserved_bytes=ok(GIB // 2, source="nvml"),
        memory_used_bytes=ok(used, source="nvml"),
        memory_free_bytes=ok(total - used - GIB // 2, source="nvml"),
        busy_p90_15m=ok(source.random(), source="nvml"),
        compute_mode=ok("default", source="nvml"),
        mig_mode=ok("off", source="nvml"),
        mps_state=ok("absent", source="nvml"),
        health=Health(state=ok("ok", source="nvml")),
        processes=ok(tuple(processes), source="nvml"),
        tenants=tuple(tenants),
    )


def timed(work: Callable[[], object], times: int) -> list[float]:
    """Milliseconds of CPU of each run: other work on the machine does not count."""
    found = []
    for _ in range(times):
        started = time.thread_time()
        work()
        found.append((time.thread_time() - started) * 1000)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--nodes", type=int, default=1000)
    parser.add_argument("--decisions", type=int, default=300)
    options = parser.parse_args()
    policy, snapshots = Policy(), fleet(options.nodes, random.Random(1))
    standings = [stand(snapshot, policy) for snapshot in snapshots]
    ledger = Ledger(
        entries=tuple(
            Reservation(
                pod=f"ns/wait-{at}",
                user=None,
                node=f"node-{at:04}",
                uuid=f"GPU-{at:04}-0",
                memory_bytes=4 * GIB,
                mode="time_slicing",
                expires=NOW + 60,
            )
            for at in range(min(50, options.nodes))
        )
    )
    # As in the agent: the fleet outlives every decision, so the collector need not walk it.
    gc.collect()
    gc.freeze()
    cases: list[tuple[str, Want, int, int]] = [
        ("share, 4 GiB", "share", 4 * GIB, 1),
        ("share, 30 GiB (most are too full)", "share", 30 * GIB, 1),
        ("nothing fits: wait", "share", 60 * GIB, 1),
        ("two whole GPUs of one node", "exclusive", 20 * GIB, 2),
    ]
    rows, worst = [], 0.0
    for label, want, size, gpus in cases:
        request = Request(pod="ns/new", user="user7", want=want, memory_bytes=size, gpus=gpus)
        work = partial(decide_over, request, standings, policy, NOW, ledger)
        found = timed(work, options.decisions)
        p99 = percentile(found, 0.99)
        worst = max(worst, p99)
        rows.append((label, f"{percentile(found, 0.5):.1f}", f"{p99:.1f}"))
    fresh = timed(lambda: stand(snapshots[0], policy), options.decisions)
    cold = timed(lambda: decide(request, snapshots, policy, NOW, ledger), 1)
    verdict = "met" if worst < TARGET_MS else "missed"
    Page(
        name="gpu_decide",
        title="Time of one GPU decision",
        method=(
            f"One request over {options.nodes} nodes of {GPUS} GPUs with 0 to 4 notebooks each "
            f"and 50 reservations, {options.decisions} decisions per case; milliseconds are CPU "
            "time of the one thread. What follows from a snapshot alone is worked out once when "
            "it arrives (`stand`), the rest per request (`decide_over`)."
        ),
        tables=[
            Table(title="Per request", columns=("case", "p50, ms", "p99, ms"), rows=rows),
            Table(
                title="Per snapshot",
                columns=("work", "ms"),
                rows=[
                    ("one node's snapshot, p50", f"{percentile(fresh, 0.5):.2f}"),
                    ("one node's snapshot, p99", f"{percentile(fresh, 0.99):.2f}"),
                    ("all snapshots and one request (replay), once", f"{cold[0]:.0f}"),
                ],
            ),
            Table(
                title="Target",
                columns=("target", "measured", ""),
                rows=[(f"p99 below {TARGET_MS:.0f} ms", f"{worst:.1f} ms", verdict)],
            ),
        ],
    ).publish()


if __name__ == "__main__":
    main()
