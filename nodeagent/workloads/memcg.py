"""Charge against limit: the memory cgroups above the opted-in processes, version 1 and 2.

A merged page stays charged to the one cgroup whose copy was kept, also after that cgroup wrote a
copy of its own. So a container can be charged more than its processes map, and be OOM-killed at a
limit that would do without merging. Everything to see that coming is read here.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Literal

Version = Literal["v1", "v2"]

_MAX_DEPTH = 16
_MAX_PROCESSES = 10_000
_NO_LIMIT_SECONDS = 30.0
_LOOK_CLOSER = 0.80


@dataclass(frozen=True, kw_only=True)
class Charge:
    """One limited memory cgroup; bytes."""

    path: str
    limit_bytes: int
    """What the OOM killer enforces (memory.max, memory.limit_in_bytes)."""
    working_bytes: int
    """Charged, less file pages the kernel can drop."""
    anon_bytes: int
    """Charged private memory, kept pages included."""
    mapped_bytes: int
    """Private memory its processes map (RssAnon)."""
    merged_bytes: int
    """The part of `mapped_bytes` that shares a kept page."""

    @property
    def kept_bytes(self) -> int:
        """Merged pages this cgroup is charged for, on behalf of others or itself."""
        return max(0, self.anon_bytes - (self.mapped_bytes - self.merged_bytes))

    @property
    def worst_bytes(self) -> int:
        """Its charge if it now wrote to every merged page while others keep mapping the old."""
        return self.working_bytes + self.merged_bytes

    @property
    def worst_ratio(self) -> float:
        """`worst_bytes` to the limit: above 1 a student could be killed who would live unmerged."""
        return self.worst_bytes / max(self.limit_bytes, 1)

    @property
    def safe_limit_bytes(self) -> int:
        """A limit at which the guard would not stop merging now."""
        return int(self.worst_bytes / 0.85)

    @property
    def alone_bytes(self) -> int:
        """What it would be charged had nothing been merged."""
        return self.working_bytes - self.kept_bytes + self.merged_bytes


def detect(cgroups: Path) -> Version | None:
    """Which version limits memory below `cgroups` (/sys/fs/cgroup); None: neither."""
    if (cgroups / "memory/memory.limit_in_bytes").exists():
        return "v1"
    try:
        controllers = (cgroups / "cgroup.controllers").read_text(encoding="ascii").split()
    except OSError:
        return None
    return "v2" if "memory" in controllers else None


@dataclass(frozen=True, kw_only=True)
class Merged:
    """An opted-in process: where its memory is charged, and how much of it shares a kept page."""

    path: str
    pid: int
    merged_bytes: int


class Memcgs:
    """Reads limited cgroups.

    `private`: RssAnon bytes of a process, None when it is gone. `merged_now`: its merged bytes read
    from its page tables, None when this kernel does not tell; that costs milliseconds, so it is
    asked only where a limit looks close. ksm_stat, the cheap number, does not follow writes while
    ksmd is stopped. `within`: the processes of a cgroup and those below; None: cgroup.procs tells.
    """

    def __init__(
        self,
        cgroups: Path,
        *,
        total_bytes: int,
        private: Callable[[int], int | None],
        merged_now: Callable[[int], int | None],
        within: Callable[[str], list[int]] | None = None,
    ) -> None:
        self.version = detect(cgroups)
        self._root = cgroups / "memory" if self.version == "v1" else cgroups
        self._total = total_bytes
        self._private = private
        self._merged_now = merged_now
        self._within = within
        self._unlimited: dict[str, float] = {}

    def charges(self, processes: Iterable[Merged], now: float) -> tuple[Charge, ...]:
        """One Charge for every limited cgroup that has opted-in processes in it or below.

        Paths that cannot be seen from this agent's namespace (they hold ..) are left out.
        """
        if self.version is None:
            return ()
        below: dict[str, list[Merged]] = {}
        for process in processes:
            if "/.." in process.path or not process.path.startswith("/"):
                continue
            for level in _levels(process.path):
                below.setdefault(level, []).append(process)
        found = []
        for level, members in below.items():
            if now - self._unlimited.get(level, -_NO_LIMIT_SECONDS) < _NO_LIMIT_SECONDS:
                continue
            limit = self._limit(level)
            if limit is None:
                self._unlimited[level] = now
                continue
            charge = self._charge(level, limit, sum(each.merged_bytes for each in members))
            if charge is not None and charge.worst_ratio > _LOOK_CLOSER:
                charge = self._confirmed(charge, members)
            if charge is not None:
                found.append(charge)
        self._unlimited = {path: at for path, at in self._unlimited.items() if path in below}
        return tuple(found)

    def _confirmed(self, charge: Charge, members: list[Merged]) -> Charge:
        told = [self._merged_now(each.pid) for each in members]
        if None in told:
            return charge
        merged = sum(amount for amount in told if amount is not None)
        return replace(charge, merged_bytes=min(merged, charge.mapped_bytes))

    def _limit(self, level: str) -> int | None:
        """None: no limit here, or one above the machine's memory."""
        name = "memory.limit_in_bytes" if self.version == "v1" else "memory.max"
        text = self._read(level, name)
        if text is None or not text.strip().isdigit():
            return None
        limit = int(text)
        return limit if 0 < limit < self._total else None

    def _charge(self, level: str, limit: int, merged: int) -> Charge | None:
        v1 = self.version == "v1"
        usage = self._read(level, "memory.usage_in_bytes" if v1 else "memory.current")
        stat = self._read(level, "memory.stat")
        if usage is None or stat is None:
            return None
        values = {
            name: int(value)
            for name, _, value in (line.partition(" ") for line in stat.splitlines())
            if value.strip().isdigit()
        }
        anon = values.get("total_rss" if v1 else "anon")
        if anon is None:
            return None
        file = values.get("total_inactive_file" if v1 else "inactive_file", 0)
        mapped = sum(self._private(pid) or 0 for pid in self._processes(level))
        return Charge(
            path=level,
            limit_bytes=limit,
            working_bytes=max(0, int(usage) - file),
            anon_bytes=anon,
            mapped_bytes=mapped,
            merged_bytes=min(merged, mapped),
        )

    def _processes(self, level: str) -> list[int]:
        """All in the cgroup and below."""
        if self._within is not None:
            return self._within(level)
        found: list[int] = []
        waiting = [self._folder(level)]
        while waiting and len(found) < _MAX_PROCESSES:
            folder = waiting.pop()
            try:
                text = (folder / "cgroup.procs").read_text(encoding="ascii")
                waiting += [entry for entry in folder.iterdir() if entry.is_dir()]
            except OSError:
                continue  # removed meanwhile, or a threaded cgroup
            found += [int(word) for word in text.split()]
        return found

    def _folder(self, level: str) -> Path:
        return self._root / level.lstrip("/")

    def _read(self, level: str, name: str) -> str | None:
        try:
            return (self._folder(level) / name).read_text(encoding="ascii")
        except (OSError, UnicodeDecodeError):
            return None


def _levels(path: str) -> list[str]:
    """The cgroup and its ancestors below the root, which has no limit."""
    whole = PurePosixPath(path)
    return [str(level) for level in (whole, *whole.parents) if str(level) != "/"][:_MAX_DEPTH]
