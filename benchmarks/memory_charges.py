"""Whom Linux charges for merged pages: students in memory cgroups, without donors and with.

python -m benchmarks.memory_charges [--students 4]

Each student has a memory cgroup, as a container has. When all is merged, the kernel of the student
who is charged most is restarted: what it kept for the others stays on its account, and the new
kernel comes on top. With donors the node keeps the pages, in a cgroup of its own.
"""

import argparse
import contextlib
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from nodeagent.ksm.sysfs import KsmDir
from nodeagent.workloads.memcg import detect

from . import memory_results as results
from . import readings
from .memory_class import IMPORTS
from .memory_page import publish
from .memory_results import ChargeResult, made_now
from .memory_students import ROOT, Seat, environment, everybody, live_in, prepare, seats
from .memory_ways import NO_SPARE, CannotRunError, held
from .page import DOCS
from .reachable import end_on_signal, ensure

CGROUPS = Path("/sys/fs/cgroup")
_PASSES = 3
"""Ends of a scan from a new process to its merge."""
_IN_CGROUP = 'echo $$ > "$1/cgroup.procs"; shift; exec "$@"'


class Account:
    """One memory cgroup."""

    def __init__(self, name: str, version: str) -> None:
        self._version = version
        self.path = (CGROUPS / "memory" if version == "v1" else CGROUPS) / name
        self.path.mkdir()

    def charged(self) -> int:
        """Bytes of private memory it is charged."""
        name = "total_rss" if self._version == "v1" else "anon"
        rows = (row.split() for row in (self.path / "memory.stat").read_text().splitlines())
        return next(int(row[1]) for row in rows if row[0] == name)

    def take(self, pid: int) -> None:
        """What this process starts from now on is charged here."""
        (self.path / "cgroup.procs").write_text(str(pid))

    def close(self) -> None:
        """Remove it; pages that are left count for the one above."""
        with contextlib.suppress(OSError):
            self.path.rmdir()


@contextlib.contextmanager
def accounts(count: int, version: str) -> Iterator[list[Account]]:
    """New memory cgroups, gone at the end. CannotRunError: not here."""
    made: list[Account] = []
    try:
        for number in range(count):
            made.append(Account(f"samepage-benchmark-{os.getpid()}-{number}", version))
        yield made
    except OSError as err:
        raise CannotRunError(f"memory cgroups cannot be made here ({err})") from err
    finally:
        for each in made:
            each.close()


@contextlib.contextmanager
def donors(folder: Path, account: Account) -> Iterator[int]:
    """`samepage-agent donors` with aligned kernels, in a cgroup of its own; how many kernels."""
    home = folder / "node"
    home.mkdir()
    temporary = folder / "tmp-00000"
    temporary.mkdir()
    keeper = [sys.executable, "-m", "nodeagent", "donors", "--donor-warm", "120", "--"]
    keeper += [sys.executable, "-m", "labext.kernels.donor"]
    log = folder / "donors.log"
    with log.open("wb") as errors:
        process = subprocess.Popen(
            ["sh", "-c", _IN_CGROUP, "sh", str(account.path), *keeper],
            cwd=ROOT,
            env=environment("node", home, temporary),
            stderr=errors,
        )
    try:
        until = time.monotonic() + 240
        while log.read_text().count(" is ready") < 2:
            if process.poll() is not None or time.monotonic() > until:
                raise RuntimeError(f"The donors did not get ready:\n{log.read_text()}")
            time.sleep(0.2)
        yield 2
    finally:
        process.terminate()
        process.wait(30)


def wait_for_passes(count: int, at_most: float = 180) -> None:
    """Until ksmd has come to the end of a scan `count` times. RuntimeError: it does not."""
    ksm = KsmDir()
    goal, until = (ksm.read("full_scans") or 0) + count, time.monotonic() + at_most
    while (ksm.read("full_scans") or 0) < goal:
        if time.monotonic() > until:
            raise RuntimeError(f"ksmd did not pass {count} times within {at_most:g} s")
        time.sleep(0.2)


def _mapped(seat: Seat) -> int:
    found = readings.memory(seat.pid or 0)
    return 0 if found is None else found.anonymous


def measure(folder: Path, count: int, *, with_donors: bool) -> ChargeResult:
    """One class. CannotRunError: not on this machine."""
    version, load = detect(CGROUPS), os.getloadavg()[0]
    if version is None:
        raise CannotRunError("no memory cgroups here")
    fast: dict[str, int | str] = {"pages_to_scan": 20_000, "sleep_millisecs": 10, "smart_scan": 0}
    with (
        accounts(count + 1, version) as made,
        held(1, **fast),
        contextlib.ExitStack() as stack,
    ):
        node, own = made[-1], made[:-1]
        kept = stack.enter_context(donors(folder, node)) if with_donors else 0
        if kept:
            wait_for_passes(_PASSES)
        students = stack.enter_context(seats(count, NO_SPARE, folder))
        everybody(students, "prepare")
        for seat, account in zip(students, own, strict=True):
            account.take(seat.server_pid)
        everybody(students, "start")
        everybody(students, "run", cells=IMPORTS)
        unmerged = [_mapped(seat) for seat in students]
        wait_for_passes(_PASSES)
        merged = [account.charged() for account in own]
        chosen = merged.index(max(merged))
        # As when an agent rests: ksmd is not there in the moment in which the new kernel comes.
        KsmDir().write("run", 0)
        answer = students[chosen].tell("restart")
        if answer["aligned"] != "aligned":
            raise RuntimeError(f"The kernel did not start aligned: {answer}")
        students[chosen].tell("run", cells=IMPORTS)
        after = [account.charged() for account in own]
        KsmDir().write("run", 1)
        wait_for_passes(_PASSES)
        return ChargeResult(
            donors=kept,
            version=version,
            unmerged=unmerged,
            merged=merged,
            restarted=chosen,
            after_restart=after,
            settled=[account.charged() for account in own],
            mapped=[_mapped(seat) for seat in students],
            donor_charge=node.charged(),
            made=made_now(load),
        )


def both(count: int, stations: int) -> Sequence[ChargeResult]:
    """Without donors, then with."""
    with tempfile.TemporaryDirectory(prefix="samepage-benchmark-") as name:
        folder = Path(name)
        prepare(folder, stations=stations)
        live_in(folder, [])
        return [measure(folder, count, with_donors=donated) for donated in (False, True)]


def main() -> None:
    """Measure, and publish the page."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--students", type=int, default=4)
    parser.add_argument("--results", type=Path, default=results.FILE, help="file of readings")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    ensure("benchmarks.memory_charges")
    end_on_signal()
    measured = both(options.students, stations=1)
    held_so_far = results.load(options.results)
    for each in measured:
        held_so_far.put_charge(each)
    results.save(held_so_far, options.results)
    publish(held_so_far, options.docs)


if __name__ == "__main__":
    main()
