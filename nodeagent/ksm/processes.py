"""Which processes have opted in to KSM, and how much memory they bring. Reads cheap files only."""

import os
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from nodeagent.workloads.cgroup import Workload, parse_cgroup
from nodeagent.workloads.invite import Invitation
from nodeagent.workloads.namespace import from_root
from nodeagent.workloads.owner import Owner, owner_of

_YOUNG_SECONDS = 30.0
_GENERATIONS = 8
_READ_BYTES = 4096
#: The script of the process that labext's kernels are forked from.
_TEMPLATE = "/labext/kernels/aligned/start.py\0"
_ITEM_BYTES = 64
"""Size of the kernel's struct ksm_rmap_item on 64-bit machines."""


@dataclass(frozen=True, kw_only=True)
class ProcessStat:
    """One process's ksm_stat. None: this kernel does not tell."""

    rmap_items: int
    merge_any: bool | None
    merging_pages: int | None = None
    """Its pages that share a kept page; the process whose copy was kept counts too."""
    zero_pages: int | None = None

    @property
    def opted_in(self) -> bool:
        """Flagged now, or holding KSM items from a scan."""
        return bool(self.merge_any) or self.rmap_items > 0


@dataclass(frozen=True, kw_only=True)
class Member:
    """One opted-in process. Never leaves the agent over its open address."""

    pid: int
    uid: int
    workload: Workload
    private_bytes: int
    unseen_bytes: int
    """Private memory that ksmd has not met yet."""
    merged_bytes: int | None
    zero_bytes: int | None
    table_bytes: int
    """KSM's own tables for it."""
    donor: bool
    """It belongs to the node: its kept pages are charged to the agent's own cgroup."""
    invited: bool = True
    forked_from: int | None = None
    """The process whose memory it has in common, apart from what either wrote to since."""

    @property
    def owner(self) -> Owner:
        """Whose it is."""
        return owner_of(self.workload, self.uid)


@dataclass(frozen=True, kw_only=True)
class OptedIn:
    """Totals over all opted-in processes; None: not known to this agent (no permission)."""

    processes: int | None
    """Processes with prctl(PR_SET_MEMORY_MERGE) or MADV_MERGEABLE memory."""
    workloads: int | None
    """Pods or containers among them."""
    candidate_bytes: int | None
    """Their private memory, upper bound of what ksmd will look at (statm: resident - shared)."""
    unseen_bytes: int | None
    """The part that ksmd has not met yet: private memory without a KSM item."""
    visible: bool
    """Whether this kernel shows an opt-in before the first scan (ksm_merge_any, Linux 6.14)."""
    members: tuple[Member, ...] = field(default=(), repr=False)
    beside_bytes: int = 0
    """Private memory of the same students' other processes, such as their Jupyter servers."""


UNKNOWN = OptedIn(
    processes=None, workloads=None, candidate_bytes=None, unseen_bytes=None, visible=False
)


def parse_ksm_stat(text: str) -> ProcessStat | None:
    """From /proc/PID/ksm_stat; None for a kernel thread (empty) or an unknown form. Pure.

    `ksm_merge_any: yes` is the prctl flag, `ksm_mergeable: yes` any madvised or flagged mapping.
    """
    numbers: dict[str, int] = {}
    flags: list[bool] = []
    for line in text.splitlines():
        name, _, value = line.replace(":", " ").partition(" ")
        value = value.strip()
        if name in ("ksm_merge_any", "ksm_mergeable"):
            flags.append(value == "yes")
        elif value.isdigit():
            numbers[name] = int(value)
    if "ksm_rmap_items" not in numbers:
        return None
    return ProcessStat(
        rmap_items=numbers["ksm_rmap_items"],
        merge_any=any(flags) if flags else None,
        merging_pages=numbers.get("ksm_merging_pages"),
        zero_pages=numbers.get("ksm_zero_pages"),
    )


class ProcessWatch:
    """Looks at the processes below `proc`, cheaply and repeatedly.

    `own_user`: count what this user may read and pass over the rest, for a reader that runs as the
    students' user; else a process that may not be read makes the totals unknown.
    `cgroup_root`: where this process's cgroup namespace begins, `/` outside one.

    `survey` reads every process; `arrivals` only those that are new or young, for the quick look
    between two surveys. Not safe for two threads.
    """

    def __init__(
        self,
        proc: Path,
        *,
        page_bytes: int,
        invitation: Invitation | None = None,
        own_pid: int | None = None,
        own_user: bool = False,
        cgroup_root: str = "/",
    ) -> None:
        self._cgroup_root = cgroup_root
        self._proc = str(proc)
        self._own_user = own_user
        self._page_bytes = page_bytes
        self._invitation = invitation or Invitation()
        self._own_pid = pid_in(self._proc) if own_pid is None else own_pid
        self._first_seen: dict[str, float] = {}
        self._where: dict[str, Place] = {}
        self._others: dict[str, Place] = {}
        self._started: dict[str, str | None] = {}

    def survey(self, now: float) -> OptedIn:
        """Read all. `now`: monotonic seconds."""
        pids = self._pids(now)
        found: list[Member] = []
        others: list[str] = []
        where: dict[str, Place] = {}
        started: dict[str, str | None] = {}
        candidate = unseen = 0
        readable = denied = False
        visible = True
        home = self._place(str(self._own_pid))
        for pid in pids:
            try:
                text = self._read(pid, "ksm_stat")
                if text is None:
                    continue
                stat = parse_ksm_stat(text)
                if stat is None:
                    continue
                readable = True
                visible = visible and stat.merge_any is not None
                if not stat.opted_in:
                    others.append(pid)
                    continue
                private = self._private_bytes(pid)
            except PermissionError:
                denied = not self._own_user
                continue
            started[pid] = self._start_time(pid)
            if self._started.get(pid, started[pid]) != started[pid]:
                # The number is another process's now, whose place is another one: who could make
                # processes until a donor's number comes up would else be taken for the donor.
                self._first_seen[pid] = now
            where[pid] = self._known_place(pid, now, home)
            found.append(self._member(pid, stat, private, where[pid]))
            candidate += private
            unseen += found[-1].unseen_bytes
        beside = self._beside(others, {member.owner for member in found if not member.donor}, now)
        self._where, self._started = where, started
        found = [_with_template(member, where) for member in found]
        if denied or not readable:
            return UNKNOWN
        keys = {member.workload.key for member in found}
        return OptedIn(
            processes=len(found),
            workloads=len(keys - {None}),
            candidate_bytes=candidate,
            unseen_bytes=unseen,
            visible=visible,
            members=tuple(found),
            beside_bytes=beside,
        )

    def _known_place(self, pid: str, now: float, home: "Place | None") -> "Place":
        # Runtimes move a young process into its container's cgroup after the fork.
        young = now - self._first_seen[pid] <= _YOUNG_SECONDS
        known = None if young else self._where.get(pid) or self._others.get(pid)
        return known or self._place(pid, home) or NOWHERE

    def _beside(self, pids: list[str], owners: set[Owner], now: float) -> int:
        """Private memory of `pids` that belong to one of `owners`; root's own are nobody's."""
        places: dict[str, Place] = {}
        total = 0
        for pid in pids if owners else ():
            place = places[pid] = self._known_place(pid, now, None)
            owner = owner_of(place.workload, place.uid)
            if owner in owners and not (owner.kind == "user" and place.uid == 0):
                total += self._private_bytes(pid)
        self._others = places
        return total

    def arrivals(self, now: float) -> bool:
        """Whether a process has opted in since the last survey."""
        for pid in self._pids(now):
            # The flag is set by the process itself, some time after it appears.
            if pid in self._where or now - self._first_seen[pid] > _YOUNG_SECONDS:
                continue
            try:
                text = self._read(pid, "ksm_stat")
            except PermissionError:
                continue
            stat = parse_ksm_stat(text) if text else None
            if stat is not None and stat.opted_in:
                return True
        return False

    def private_bytes(self, pid: int) -> int | None:
        """Private memory a process maps (RssAnon); None: gone."""
        return self._private_bytes(str(pid)) or None

    def merged_now(self, pid: int) -> int | None:
        """Merged bytes counted in the page tables (milliseconds); None: Linux before 6.7."""
        try:
            text = self._read(str(pid), "smaps_rollup")
        except PermissionError:
            return None
        for line in (text or "").splitlines():
            name, _, value = line.partition(":")
            if name == "KSM":
                return int(value.split()[0]) * 1024
        return None

    def _member(self, pid: str, stat: ProcessStat, private: int, place: "Place") -> Member:
        def size(pages: int | None) -> int | None:
            return None if pages is None else pages * self._page_bytes

        return Member(
            pid=int(pid),
            uid=place.uid,
            workload=place.workload,
            private_bytes=private,
            unseen_bytes=max(0, private - stat.rmap_items * self._page_bytes),
            merged_bytes=size(stat.merging_pages),
            zero_bytes=size(stat.zero_pages),
            table_bytes=stat.rmap_items * _ITEM_BYTES,
            donor=place.donor,
            invited=place.donor or self._invitation.allows(place.workload, place.uid),
        )

    def _pids(self, now: float) -> list[str]:
        pids = [name for name in os.listdir(self._proc) if name[0].isdigit()]  # noqa: PTH208  # cost
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in pids}
        return pids

    def _read(self, pid: str, name: str) -> str | None:
        """None: the process is gone or the kernel has no such file."""
        # os.open: a third of the cost of a file object, and this runs for every process.
        try:
            handle = os.open(f"{self._proc}/{pid}/{name}", os.O_RDONLY | os.O_CLOEXEC)
            try:
                return os.read(handle, _READ_BYTES).decode("utf-8", "replace")
            finally:
                os.close(handle)
        except PermissionError:
            raise
        except OSError:
            return None

    def _private_bytes(self, pid: str) -> int:
        fields = (self._read(pid, "statm") or "").split()
        try:
            return max(0, int(fields[1]) - int(fields[2])) * self._page_bytes
        except (IndexError, ValueError):
            return 0

    def _place(self, pid: str, home: "Place | None" = None) -> "Place | None":
        try:
            text = self._read(pid, "cgroup")
            status = self._read(pid, "status") or ""
            uid = real_uid(status)
        except PermissionError:
            return None
        if text is None or uid is None:
            return None
        workload = parse_cgroup(text)
        if self._cgroup_root != "/" and workload.memory_path is not None:
            path = from_root(workload.memory_path, self._cgroup_root)
            workload = replace(workload, memory_path=path)
        # Neither can be had by a student's process: not the agent's cgroup, not its parenthood.
        donor = home is not None and (_same_home(workload, home.workload) or self._descends(pid))
        template = _TEMPLATE in (self._read(pid, "cmdline") or "")
        return Place(
            workload=workload, uid=uid, donor=donor, parent=_parent(status), template=template
        )

    def _start_time(self, pid: str) -> str | None:
        """In ticks after boot; None: not to be had."""
        fields = (self._read(pid, "stat") or "").rpartition(")")[2].split()
        return fields[19] if len(fields) > 19 else None

    def _descends(self, pid: str) -> bool:
        """Whether the agent is among the process's ancestors."""
        for _ in range(_GENERATIONS):
            fields = (self._read(pid, "stat") or "").rpartition(")")[2].split()
            if len(fields) < 2 or fields[1] in ("0", "1"):
                return False
            pid = fields[1]
            if pid == str(self._own_pid):
                return True
        return False


def pid_in(proc: str) -> int:
    """This process as `proc` numbers it: the host's procfs knows a container's by another pid."""
    try:
        return int(os.readlink(f"{proc}/self"))  # noqa: PTH115  # a link's text, no path
    except (OSError, ValueError):
        return os.getpid()


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where a process belongs."""

    workload: Workload
    uid: int
    donor: bool
    parent: int | None = None
    template: bool = False
    """It prepares what kernels are forked from, by its command line: its owner's word."""


def real_uid(status: str) -> int | None:
    """From /proc/PID/status. Not the folder's owner: that is the effective user, root for a setuid
    program that a student started."""
    for line in status.splitlines():
        if line.startswith("Uid:"):
            return int(line.split()[1])
    return None


def _parent(status: str) -> int | None:
    """From /proc/PID/status."""
    for line in status.splitlines():
        if line.startswith("PPid:"):
            return int(line.split()[1])
    return None


def _with_template(member: Member, where: Mapping[str, Place]) -> Member:
    """With what it was forked from, where that opted in too and is its owner's."""
    place = where[str(member.pid)]
    template = None if place.parent is None else where.get(str(place.parent))
    if template is None or not template.template:
        return member
    if (template.uid, template.workload.key) != (place.uid, place.workload.key):
        return member
    return replace(member, forked_from=place.parent)


NOWHERE = Place(workload=parse_cgroup(""), uid=0, donor=False)


def _same_home(workload: Workload, home: Workload) -> bool:
    """Whether a process lives where the agent lives: in its pod, container or service."""
    if home.pod_uid is not None:
        return workload.pod_uid == home.pod_uid
    if home.container_id is not None:
        return workload.container_id == home.container_id
    # A user's own manager is no service of the agent's: everything that user starts is in it.
    return home.unit is not None and home.manager_uid is None and workload.unit == home.unit
