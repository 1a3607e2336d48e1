"""Finds the tables of the students' servers: memory files (memfd) that they hold open.

A server is a kernel's parent, or an opted-in process itself. Its descriptors are looked at below
/proc/PID/fd, for which this process must be root or of the server's user. What is found there is
in the student's hands, so nothing is opened before the kernel has told that it is a memory file: a
pipe or a network file system in its place would make the reader wait.
"""

import itertools
import math
import os
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.kernels.ask import Answers
from nodeagent.kernels.count import KernelCount, Survey
from nodeagent.kernels.donate import compared
from nodeagent.kernels.table import MOST_BYTES, Table, parse
from nodeagent.ksm.processes import Member
from nodeagent.workloads.owner import Owner

NAME = "samepage-kernels"
_LINK = f"/memfd:{NAME} (deleted)"
_MOST_DESCRIPTORS = 4096
_MOST_SEARCHES = 25
"""Servers whose descriptors are listed in one reading; those that waited longest come first."""
_SEARCH_AGAIN_SECONDS = 10.0
_MOST_TABLES = 64
"""Of one student: several servers are usual, hundreds are made up."""
_MOST_BYTES_OF_OWNER, _MOST_BYTES_AT_ONCE = 4 * MOST_BYTES, 32 * MOST_BYTES


@dataclass(frozen=True, kw_only=True)
class _Place:
    """Where a server's table was. `descriptor` None: it had none at `time`."""

    descriptor: str | None
    time: float


@dataclass(frozen=True, kw_only=True)
class _Read:
    """What a file said in one version of it; `table` None: no table."""

    version: tuple[int, int]
    table: Table | None


class _Allowance:
    """What is read or still held in one go: nobody can keep the agent busy with tables that change
    for ever, or fill its memory with more and more of them."""

    def __init__(self) -> None:
        self._all = _MOST_BYTES_AT_ONCE
        self._owners: dict[Owner, int] = {}

    def take(self, owner: Owner, size: int) -> bool:
        """Whether a file of this size may still be read. Too large ones are refused unread."""
        left = min(self._all, self._owners.get(owner, _MOST_BYTES_OF_OWNER))
        if size > min(left, MOST_BYTES):
            return False
        self._all -= size
        self._owners[owner] = self._owners.get(owner, _MOST_BYTES_OF_OWNER) - size
        return True


_NOWHERE = _Place(descriptor=None, time=-math.inf)


class Tables:
    """Reads the tables below `proc`. Not safe for two threads."""

    def __init__(self, proc: Path) -> None:
        self._proc = str(proc)
        self._places: dict[str, _Place] = {}
        self._mount = _mount_of_memory_files()
        # A server makes a new file for each change: what has been read need not be read again.
        self._read: dict[tuple[int, int], _Read] = {}
        self._met: set[tuple[int, int]] = set()
        self._allowance = _Allowance()
        self._surveyed: Survey | None = None
        self._answers = Answers()

    def read(self, members: Iterable[Member], now: float) -> KernelCount | None:
        """Of the servers of these processes. None: this kernel has no memory files."""
        if self._mount is None:
            return None
        owners: dict[str, Owner] = {}
        students: set[Owner] = set()
        donors: set[str] = set()
        for member in members:
            if not member.donor:
                students.add(member.owner)
            for pid in (str(member.pid), self._parent(member.pid)):
                if pid is not None:
                    owners.setdefault(pid, member.owner)
                    if member.donor:
                        donors.add(pid)
        told = self._told(owners, now)
        mine = [(owner, table) for pid, owner, table in told if pid not in donors]
        silent = len(students - {owner for owner, _ in mine})
        basis = tuple(_one_each(mine))
        if self._surveyed is None or self._surveyed.tables != basis:
            self._surveyed = Survey(basis)
        survey = self._surveyed
        return replace(
            survey.count,
            silent=silent,
            told=self._answers.renew(survey, now),
            donors=compared(
                survey,
                [(int(pid), table) for pid, _, table in told if pid in donors][:_MOST_TABLES],
            ),
        )

    def _told(self, owners: dict[str, Owner], now: float) -> list[tuple[str, Owner, Table]]:
        """Each table that one of these processes holds, once."""
        self._met = set()
        self._allowance = _Allowance()
        self._places = {pid: place for pid, place in self._places.items() if pid in owners}
        told: dict[tuple[int, int], tuple[str, Owner, Table]] = {}
        missing: list[str] = []
        for pid, owner in owners.items():
            place = self._places.get(pid, _NOWHERE)
            known = place.descriptor
            found = None if known is None else self._table(pid, known, owner)
            if found is not None:
                # A forked child holds its parent's table too.
                told.setdefault(found[0], (pid, owner, found[1]))
            elif known is not None or now - place.time >= _SEARCH_AGAIN_SECONDS:
                missing.append(pid)
        missing.sort(key=lambda pid: self._places.get(pid, _NOWHERE).time)
        for pid in missing[:_MOST_SEARCHES]:
            descriptor = self._search(pid)
            self._places[pid] = _Place(descriptor=descriptor, time=now)
            found = None if descriptor is None else self._table(pid, descriptor, owners[pid])
            if found is not None:
                told.setdefault(found[0], (pid, owners[pid], found[1]))
        self._read = {file: read for file, read in self._read.items() if file in self._met}
        return list(told.values())

    def _parent(self, pid: int) -> str | None:
        try:
            text = Path(f"{self._proc}/{pid}/stat").read_text(encoding="utf-8", errors="replace")
            parent = text.rpartition(")")[2].split()[1]
        except (OSError, IndexError):
            return None
        return parent if parent not in ("0", "1") else None

    def _search(self, pid: str) -> str | None:
        try:
            with os.scandir(f"{self._proc}/{pid}/fd") as entries:
                for entry in itertools.islice(entries, _MOST_DESCRIPTORS):
                    try:
                        if os.readlink(entry.path) == _LINK:  # noqa: PTH115  # cost
                            return entry.name
                    except OSError:
                        continue  # closed meanwhile
        except OSError:
            return None  # gone, or not ours to read
        return None

    def _table(
        self, pid: str, descriptor: str, owner: Owner
    ) -> tuple[tuple[int, int], Table] | None:
        """The file's identity and what it says; None: gone, no memory file, or no table."""
        path = f"{self._proc}/{pid}/fd/{descriptor}"
        try:
            if os.readlink(path) != _LINK:  # noqa: PTH115  # a link's text
                return None
            # O_PATH asks nothing of the file system that is behind the link.
            pinned = os.open(path, os.O_PATH | os.O_CLOEXEC)
            try:
                if _mount(pinned) != self._mount:
                    return None
                known = os.fstat(pinned)
                file = known.st_dev, known.st_ino
                version = known.st_mtime_ns, known.st_size
                read = self._read.get(file)
                if file not in self._met and not self._allowance.take(owner, known.st_size):
                    return None
                if read is None or read.version != version:
                    table = _content(pinned)
                    read = self._read[file] = _Read(version=version, table=table)
            finally:
                os.close(pinned)
        except OSError:
            return None
        self._met.add(file)
        return None if read.table is None else (file, read.table)


def _content(pinned: int) -> Table | None:
    """What it says; None: not a table. OSError: it cannot be read."""
    # Whoever holds a lease on the file (fcntl F_SETLEASE) keeps other openers waiting for 45 s.
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK
    handle = os.open(f"/proc/self/fd/{pinned}", flags)
    try:
        content = os.pread(handle, MOST_BYTES + 1, 0)
    finally:
        os.close(handle)
    try:
        return parse(content)
    except ValueError:
        return None


def _one_each(found: Iterable[tuple[Owner, Table]]) -> list[tuple[Owner, Table]]:
    """By student, not more than _MOST_TABLES of each."""
    kept: dict[Owner, list[Table]] = {}
    for owner, table in found:
        kept.setdefault(owner, []).append(table)
    return [(owner, table) for owner, tables in kept.items() for table in tables[:_MOST_TABLES]]


def _mount_of_memory_files() -> int | None:
    """All memory files of a machine lie on one mount inside the kernel."""
    try:
        own = os.memfd_create(NAME, os.MFD_CLOEXEC)
    except (OSError, AttributeError):
        return None
    try:
        return _mount(own)
    finally:
        os.close(own)


def _mount(descriptor: int) -> int | None:
    try:
        text = Path(f"/proc/self/fdinfo/{descriptor}").read_text(encoding="ascii")
    except OSError:
        return None
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "mnt_id":
            return int(value)
    return None
