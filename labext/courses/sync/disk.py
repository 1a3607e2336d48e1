"""What is in a course's folder, whatever the student made of it."""

from __future__ import annotations

import os
import stat
import time
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from labext.courses.sync.entry import Entry, entry_of

_SETTLED_SECONDS = 0.15
_LONGEST_WAIT_SECONDS = 1.0


class Kind(Enum):
    """What is at a path. BLOCKED: a file is where one of its folders should be. LINKED: a link."""

    ABSENT = "absent"
    FILE = "file"
    FOLDER = "folder"
    OTHER = "other"
    BLOCKED = "blocked"
    LINKED = "linked"


@dataclass(frozen=True, kw_only=True)
class Found:
    """entry: of FILE (symbolic links are files here). at: for BLOCKED and LINKED, what blocks."""

    kind: Kind
    entry: Entry | None = None
    at: str | None = None


class Disk:
    """The files below `target`, which is never left, nor a link in it followed."""

    def __init__(
        self,
        target: Path,
        now: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._target = target
        self._now = now
        self._sleep = sleep

    def place(self, path: str) -> Path:
        """Where `path` is on disk."""
        return self._target / path

    def exists(self, path: str) -> bool:
        """Whether there is anything at `path`, be it a dead link."""
        return os.path.lexists(f"{self._target}/{path}")

    def blocker(self, path: str) -> Found | None:
        """What keeps `path` from being in a real folder; None when nothing does."""
        parts = path.split("/")[:-1]
        for end in range(1, len(parts) + 1):
            at = "/".join(parts[:end])
            try:
                mode = self.place(at).lstat().st_mode
            except FileNotFoundError:
                return None
            if stat.S_ISLNK(mode):
                return Found(kind=Kind.LINKED, at=at)
            if not stat.S_ISDIR(mode):
                return Found(kind=Kind.BLOCKED, at=at)
        return None

    def find(self, path: str) -> Found:
        """What is at `path`, files with their hash. Waits a moment for one that is being saved."""
        blocker = self.blocker(path)
        if blocker is not None:
            return blocker
        place = self.place(path)
        try:
            status = place.lstat()
        except FileNotFoundError:
            return Found(kind=Kind.ABSENT)
        if stat.S_ISDIR(status.st_mode):
            return Found(kind=Kind.FOLDER)
        if not (stat.S_ISREG(status.st_mode) or stat.S_ISLNK(status.st_mode)):
            return Found(kind=Kind.OTHER)
        if stat.S_ISREG(status.st_mode):
            self._settle(place)
        entry = entry_of(place)
        return Found(kind=Kind.ABSENT) if entry is None else Found(kind=Kind.FILE, entry=entry)

    def _settle(self, place: Path) -> None:
        """Wait until a file is not just being written: some editors empty it first."""
        for _ in range(round(_LONGEST_WAIT_SECONDS / _SETTLED_SECONDS)):
            status = place.stat()
            age = self._now() - status.st_mtime
            if status.st_size or not 0 <= age < _SETTLED_SECONDS:
                return
            self._sleep(_SETTLED_SECONDS)

    def free_name(self, path: str, word: str, taken: set[str]) -> str:
        """A name beside `path` that says `word` and that nothing has; it is added to `taken`."""
        folder, _, name = path.rpartition("/")
        stem, dot, suffix = name.rpartition(".")
        if not stem:
            stem, dot, suffix = name, "", ""
        day = time.strftime("%Y-%m-%d", time.localtime(self._now()))
        number = 1
        while True:
            count = f"_{number}" if number > 1 else ""
            end = f"__{word}_{day}{count}{dot}{suffix}"
            free = _shortened(stem, 255 - len(os.fsencode(end))) + end
            candidate = f"{folder}/{free}" if folder else free
            if candidate not in taken and not self.exists(candidate):
                taken.add(candidate)
                return candidate
            number += 1


def _shortened(stem: str, most_bytes: int) -> str:
    while len(os.fsencode(stem)) > most_bytes:
        stem = stem[:-1]
    return stem
