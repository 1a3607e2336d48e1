"""Students come and go for half an hour: accounts stay true, nothing leaks, KSM is put back.

python -m benchmarks.soak [--minutes 30] [--students 8] [--seed 1]

On the way the agent is restarted once and killed once (SIGKILL). Prints what was found and, for
runs of 10 minutes or more, writes docs/benchmarks/soak.md; exit status 1 when anything was wrong.
"""

import argparse
import os
import random
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.ksm.state import Originals, read_originals
from nodeagent.ksm.sysfs import KsmDir

from .memory_students import Seat, StudentFailedError, Way, live_in, prepare
from .memory_ways import NOT_ALIGNED, SAMEPAGE
from .page import DOCS, Page, Table
from .reachable import end_on_signal, ensure
from .soak_agent import SoakAgent
from .soak_checks import Books, Leaks, books, children_of, left_behind

WORK = [
    "import numpy, random; held = numpy.arange(2_000_000)",
    "text = [str(number) for number in range(200_000)]",
    "held += 1",
    "import os; child = os.fork() or os._exit(0); os.waitpid(child, 0)",
    "import subprocess; subprocess.run(['true'], check=True)",
    "import multiprocessing as mp; p = mp.get_context('fork').Process(target=sum, args=([1],)); "
    "p.start(); p.join()",
    "import multiprocessing as mp\n"
    "with mp.get_context('fork').Pool(2) as pool: assert pool.map(abs, [-1, -2]) == [1, 2]",
    "del held",
    "import pandas; frame = pandas.DataFrame({'a': range(100_000)}); frame['a'] += 1",
    "import os, signal; os.kill(os.getpid(), 0)",
]
DEEDS = ("come", "work", "work", "work", "restart", "kill", "leave")
_CHECK_SECONDS = 20.0
_PAGE_MINUTES = 10


@dataclass(kw_only=True)
class Findings:
    """What went wrong, and the numbers that show it did not."""

    deeds: dict[str, int] = field(default_factory=dict)
    faults: list[str] = field(default_factory=list)
    aligned: int = 0
    started: int = 0
    leaks: Leaks = field(default_factory=Leaks)
    accounts: list[Books] = field(default_factory=list)
    """Each time the agent rested: its saving beside others' counts of it."""
    agent: list[str] = field(default_factory=list)
    """What was done to the agent."""

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
            seat.tell("open")
            self._started(seat.tell("start"))
            return
        seat = self._random.choice(self.students)
        if what == "work":
            answer = seat.tell("run", cells=self._random.sample(WORK, 3))
            # Cells in any order may lack a name; anything else is a fault.
            self.found.faults += [e for e in answer["errors"] if not e.startswith("NameError")]
        elif what == "restart":
            self._started(seat.tell("restart"))
        elif what == "kill":
            # As the OOM killer does it; the student then restarts.
            seat.tell("kill")
            self._started(seat.tell("restart"))
        else:
            self.students.remove(seat)
            self._leave(seat)

    def _started(self, answer: dict[str, object]) -> None:
        self.found.started += 1
        self.found.aligned += answer.get("aligned") == "aligned"

    def _leave(self, seat: Seat) -> None:
        server = children_of(seat.server_pid)
        files = seat.leave()
        if files:
            self.found.faults.append(f"files of an ended kernel are left: {', '.join(files)}")
        left = left_behind(server)
        if left:
            self.found.faults.append(f"processes of a student who left go on: {left}")

    def end(self) -> None:
        """Everybody leaves."""
        for seat in self.students:
            self._leave(seat)
        self.students = []


def run(options: argparse.Namespace) -> Findings:
    """Blocks for the whole time."""
    before = read_originals(KsmDir())
    way = SAMEPAGE if options.way == "samepage" else NOT_ALIGNED
    with tempfile.TemporaryDirectory(prefix="samepage-soak-") as name:
        folder = Path(name)
        prepare(folder, stations=1)
        live_in(folder, [])
        soak = Soak(way, folder, options.students, options.seed)
        agent = SoakAgent(folder)
        try:
            agent.start()
            try:
                _live(soak, agent, options)
            finally:
                soak.end()
            soak.found.faults += soak.found.leaks.faults()
        finally:
            agent.stop()
        _put_back(before, soak.found)
    return soak.found


def _put_back(before: Originals, found: Findings) -> None:
    after = read_originals(KsmDir())
    if after != before:
        found.faults.append(f"KSM was {before}, and is {after}")


def _live(soak: Soak, agent: SoakAgent, options: argparse.Namespace) -> None:
    found, begun = soak.found, time.monotonic()
    lasts = options.minutes * 60
    next_check = begun + _CHECK_SECONDS
    # In the first half, so that what follows shows whether it found its way back.
    turns = {"restarted": begun + lasts / 4, "killed (SIGKILL)": begun + lasts / 2}
    while time.monotonic() < begun + lasts:
        soak.deed()
        for what in [name for name, at in turns.items() if time.monotonic() >= at]:
            del turns[what]
            agent.kill() if what.startswith("killed") else agent.stop()
            agent.start()
            found.agent.append(f"{what} after {(time.monotonic() - begun) / 60:.1f} minutes")
            found.leaks.forget()
        if time.monotonic() >= next_check:
            next_check = time.monotonic() + _CHECK_SECONDS
            if not agent.alive():
                found.faults.append("the agent ended")
                return
            found.leaks.look(agent.pid)
            _check_students(soak)
            _check_books(soak, agent)
        time.sleep(options.pause)
    # The last word: nobody does anything any more, so the books must agree in the end.
    agent.rest(options.settle)
    _check_books(soak, agent)


def _check_students(soak: Soak) -> None:
    """At most a kernel and a template each, and nothing dead that nobody waits for."""
    for seat in soak.students:
        family = children_of(seat.server_pid)
        running = [pid for pid, state in family.items() if state != "Z"]
        if len(running) > 2 + (soak.found.deeds.get("work", 0) > 0):
            soak.found.faults.append(f"a student has {len(running)} processes")
        if len(family) - len(running) > 2:
            soak.found.faults.append(f"a student has {len(family) - len(running)} zombies")


def _check_books(soak: Soak, agent: SoakAgent) -> None:
    if agent.node()["phase"] != "rest" or not soak.students:
        return
    kernels = [seat.pid for seat in soak.students if seat.pid is not None]
    others = [pid for seat in soak.students for pid in seat.others()]
    entry = books(agent.node(), [*kernels, *others])
    if agent.node()["phase"] != "rest":
        return  # it began again meanwhile: two moments were compared
    soak.found.accounts.append(entry)
    fault = entry.fault()
    if fault is not None:
        soak.found.faults.append(fault)


METHOD = """
Up to {students} students at a time, each of a user of its own, come, work (arrays, tables, forks,
process pools, subprocesses), restart their kernel, have it killed (SIGKILL), and leave, one deed
every {pause:g} s besides what the deed takes, for {minutes:g} minutes; each student's server
keeps a template. Meanwhile the agent is restarted once and killed once. Whenever it rests, its
saving is compared with `/sys/kernel/mm/ksm`, with the students' `ksm_stat` and with their page
tables.
"""


def page(found: Findings, options: argparse.Namespace) -> Page:
    """What it came to."""
    entries = found.accounts
    rows = [
        ["deeds", ", ".join(f"{count} {name}" for name, count in sorted(found.deeds.items()))],
        ["kernels started, aligned", f"{found.started}, {found.aligned}"],
        ["agent", "; ".join(found.agent) or "-"],
        ["times the books were compared", str(len(entries))],
        ["agent against /sys, at most", _most([each.agent - each.sysfs for each in entries])],
        [
            "agent against page tables, at most",
            _most([each.agent - each.tables for each in entries]),
        ],
        ["agent's memory, MB", found.leaks.span("resident", 1e6)],
        ["agent's descriptors", found.leaks.span("descriptors", 1)],
        ["faults", str(len(found.faults))],
    ]
    return Page(
        name="soak",
        title="Half an hour of students coming and going",
        method=METHOD.format(
            students=options.students, pause=options.pause, minutes=options.minutes
        ),
        tables=[Table(title="Found", columns=("", ""), rows=rows)],
        notes=[*found.faults, "KSM was put back as found." if not found.faults else "See above."],
    )


def _most(differences: Sequence[int]) -> str:
    if not differences:
        return "-"
    return f"{max(differences, key=abs) / 1e6:+.1f} MB"


def main() -> None:
    """Run it; exit status 1 when something was wrong."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument(
        "--settle", type=float, default=120, help="seconds at most until the agent rests at the end"
    )
    parser.add_argument("--students", type=int, default=8, help="at most at one time")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--pause", type=float, default=0.5, help="seconds between deeds")
    parser.add_argument("--way", choices=("samepage", "stock"), default="samepage")
    parser.add_argument("--docs", type=Path, default=DOCS, help="folder of the page")
    options = parser.parse_args()
    ensure("benchmarks.soak")
    end_on_signal()
    if os.geteuid() != 0:
        raise SystemExit("Every student gets a user of its own: run this as root.")
    found = run(options)
    made = page(found, options)
    if options.minutes >= _PAGE_MINUTES:
        made.publish(options.docs)
    else:
        print("\n".join(table.markdown() for table in made.tables))
    for fault in found.faults:
        print(f"FAULT {fault}")
    sys.exit(1 if found.faults else 0)


if __name__ == "__main__":
    main()
