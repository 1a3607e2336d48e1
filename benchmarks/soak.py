"""Students come and go for half an hour: accounts stay true, nothing leaks, KSM is put back.

python -m benchmarks.soak [--minutes 30] [--students 8] [--seed 1]
"""

import argparse
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from nodeagent.ksm.state import read_originals
from nodeagent.ksm.sysfs import KsmDir

from . import readings
from .agent_cost import agent, node
from .memory_readings import use
from .memory_students import FIRST_UID, Seat, StudentFailedError, Way, prepare
from .memory_ways import OPTED_IN, SAMEPAGE
from .reachable import end_on_signal, ensure

WORK = [
    "import numpy, random; held = numpy.arange(2_000_000)",
    "text = [str(number) for number in range(200_000)]",
    "held += 1",
    "import os; child = os.fork() or os._exit(0); os.waitpid(child, 0)",
    "import subprocess; subprocess.run(['true'], check=True)",
    "import multiprocessing as mp; p = mp.get_context('fork').Process(target=sum, args=([1],)); "
    "p.start(); p.join()",
    "del held",
    "import pandas; frame = pandas.DataFrame({'a': range(100_000)}); frame['a'] += 1",
    "import os, signal; os.kill(os.getpid(), 0)",
]
DEEDS = ("come", "work", "work", "work", "restart", "kill", "leave")


@dataclass(kw_only=True)
class Findings:
    """What went wrong, and the numbers that show it did not."""

    deeds: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    resident: list[int] = field(default_factory=list)
    """Of the agent, over time."""
    descriptors: list[int] = field(default_factory=list)
    accounts: int = 0
    """Times the agent's saving was compared with the page tables."""

    def count(self, deed: str) -> None:
        """One more of these."""
        self.deeds[deed] = self.deeds.get(deed, 0) + 1


class Soak:
    """The life of one class."""

    def __init__(self, way: Way, folder: Path, most: int, seed: int) -> None:
        self._way = way
        self._folder = folder
        self._most = most
        self._random = random.Random(seed)
        self._number = 0
        self.students: list[Seat] = []
        self.found = Findings()

    def deed(self) -> None:
        """One thing happens to one student; a failure is noted."""
        what = self._random.choice(DEEDS) if self.students else "come"
        if what == "come" and len(self.students) >= self._most:
            what = "work"
        try:
            self._do(what)
            self.found.count(what)
        except StudentFailedError as err:
            self.found.faults.append(str(err))

    def _do(self, what: str) -> None:
        if what == "come":
            seat = Seat(self._number, self._way, self._folder)
            self._number += 1
            self.students.append(seat)
            seat.tell("start")
            return
        seat = self._random.choice(self.students)
        if what == "work":
            answer = seat.tell("run", cells=self._random.sample(WORK, 3))
            # Cells in any order may lack a name; anything else is a fault.
            self.found.faults += [e for e in answer["errors"] if not e.startswith("NameError")]
        elif what == "restart":
            seat.tell("restart")
        elif what == "kill":
            # As the OOM killer does it; the student then restarts.
            seat.tell("kill")
            seat.tell("restart")
        else:
            self.students.remove(seat)
            seat.leave()

    def pids(self) -> list[int]:
        """Of the kernels."""
        return [seat.pid for seat in self.students if seat.pid is not None]

    def end(self) -> None:
        """Everybody leaves."""
        for seat in self.students:
            seat.leave()
        self.students = []


def check_accounts(url: str, pids: Sequence[int], found: Findings) -> None:
    """The agent's saving against the page tables of the kernels, when ksmd has come to rest."""
    ksm = node(url)
    if ksm["phase"] != "rest" or not pids:
        return
    counted = use(pids)
    shared = counted.mapped - counted.frames
    saved = ksm["saved_bytes"]
    assert isinstance(saved, int)
    found.accounts += 1
    # Others on the machine may merge too; pages the kernels wrote to since the last pass may not
    # have been taken off. The kernels' forks share frames without KSM.
    if saved < 0.8 * shared - 64 * 2**20:
        found.faults.append(f"the agent says {saved:,} bytes, the page tables {shared:,}")


def run(options: argparse.Namespace) -> Findings:
    """Blocks for the whole time."""
    before = read_originals(KsmDir())
    way = SAMEPAGE if options.way == "samepage" else OPTED_IN
    with tempfile.TemporaryDirectory(prefix="samepage-soak-") as name:
        folder = Path(name)
        prepare(folder, stations=1)
        soak = Soak(way, folder, options.students, options.seed)
        with agent("tune", folder) as (pid, url):
            try:
                _live(soak, pid, url, options)
            finally:
                soak.end()
            _leaves_nothing(soak.found, url)
    if read_originals(KsmDir()) != before:
        soak.found.faults.append(f"KSM was {before}, and is {read_originals(KsmDir())}")
    return soak.found


def _live(soak: Soak, pid: int, url: str, options: argparse.Namespace) -> None:
    until = time.monotonic() + options.minutes * 60
    next_check = time.monotonic() + 20
    while time.monotonic() < until:
        soak.deed()
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + 20
            memory = readings.memory(pid)
            if memory is None:
                soak.found.faults.append("the agent ended")
                return
            soak.found.resident.append(memory.resident)
            soak.found.descriptors.append(len(list(Path(f"/proc/{pid}/fd").iterdir())))
            check_accounts(url, soak.pids(), soak.found)
        time.sleep(options.pause)


def _leaves_nothing(found: Findings, url: str) -> None:
    """After the last student: nobody is left, and the agent's memory has not grown for good."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and _of_students():
        time.sleep(1)
    left = _of_students()
    if left:
        found.faults.append(f"{left} processes of students are left")
    if len(found.resident) >= 6:
        third = len(found.resident) // 3
        early, late = max(found.resident[:third]), min(found.resident[-third:])
        if late > early + 8 * 2**20:
            found.faults.append(f"the agent grew from {early:,} to {late:,} bytes")
        early, late = max(found.descriptors[:third]), min(found.descriptors[-third:])
        if late > early + 4:
            found.faults.append(f"the agent's descriptors grew from {early} to {late}")


def _of_students() -> int:
    """Processes of students that live. Others on the machine may have opted in, too."""
    users = range(FIRST_UID, FIRST_UID + 10_000)
    return sum(
        each.info["uids"] is not None
        and each.info["uids"].real in users
        and each.info["status"] != psutil.STATUS_ZOMBIE
        for each in psutil.process_iter(["uids", "status"])
    )


def main() -> None:
    """Run it; exit status 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--students", type=int, default=8, help="at most at one time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between deeds")
    parser.add_argument("--way", choices=("samepage", "stock"), default="samepage")
    options = parser.parse_args()
    ensure("benchmarks.soak")
    end_on_signal()
    found = run(options)
    print(f"{options.minutes:g} minutes, deeds: {found.deeds}")
    print(f"accounts compared {found.accounts} times")
    if found.resident:
        print(f"agent: {min(found.resident):,} to {max(found.resident):,} bytes resident")
        print(f"descriptors: {min(found.descriptors)} to {max(found.descriptors)}")
    for fault in found.faults:
        print(f"FAULT {fault}")
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
