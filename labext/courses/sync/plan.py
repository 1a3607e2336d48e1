"""Decides what a pull does to each file."""

from __future__ import annotations

import errno
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from labext.courses.merge.content import merge
from labext.courses.merge.text import MergeFile
from labext.courses.model import Change, ChangeKind
from labext.courses.rules import ReadOnly
from labext.courses.sync.disk import Disk, Found, Kind
from labext.courses.sync.entry import FILE, LINK, Entry, Tree, blob_name, read_file
from labext.courses.sync.ops import Op
from labext.courses.sync.repository import Renamed
from labext.courses.sync.seal import is_sealed

# Bigger files are not merged: both versions stay.
MOST_MERGED_BYTES = 64 << 20
_HOPELESS = (errno.EIO, errno.ESTALE, errno.ENOMEM)


@dataclass(kw_only=True)
class Plan:
    """Steps in the order to do them in, and what they mean.

    fresh: content by blob name that no repository has yet. seen: the student's files that a step
    replaces or removes, as they were. held: paths of the course that cannot be brought now.
    """

    deletes: list[Op] = field(default_factory=list)
    asides: list[Op] = field(default_factory=list)
    writes: list[Op] = field(default_factory=list)
    late_deletes: list[Op] = field(default_factory=list)
    changes: list[Change] = field(default_factory=list)
    fresh: dict[str, bytes] = field(default_factory=dict)
    seen: dict[str, bytes] = field(default_factory=dict)
    held: set[str] = field(default_factory=set)

    @property
    def ops(self) -> list[Op]:
        """All steps."""
        return [*self.deletes, *self.asides, *self.writes, *self.late_deletes]


@dataclass(frozen=True, kw_only=True)
class Sides:
    """base: what was delivered last. theirs: what the course is now.

    adopting: the folder was not delivered by us, so that a file of the course's name in it is
    taken for the student's copy of that file. deferred: files that somebody edits at this moment;
    nothing is done to them, or to a folder that they are in. readonly: what is the course's alone.
    keep_deleted: what the student deleted does not come back.
    """

    base: Tree
    theirs: Tree
    renamed: Sequence[Renamed] = ()
    adopting: bool = False
    deferred: frozenset[str] = frozenset()
    readonly: Sequence[ReadOnly] = ()
    keep_deleted: bool = False


def make(sides: Sides, disk: Disk, read: Callable[[str], bytes], merge_file: MergeFile) -> Plan:
    """The plan. Reads the disk, and blobs through `read`; changes nothing. Errors: OSError."""
    planner = _Planner(sides, disk, read, merge_file)
    # What the course took away first: whether a folder has something else in it depends on that.
    paths = sorted({*sides.base, *sides.theirs}, key=lambda p: (p in sides.theirs, p.count("/"), p))
    for path in paths:
        try:
            planner.path(path)
        except OSError as err:
            if err.errno in _HOPELESS:
                raise
            planner.plan.held.add(path)  # a file that may not be read, for one
    planner.finish()
    _put_off(planner.plan, sides.deferred)
    planner.plan.changes.sort(key=lambda change: change.path)
    return planner.plan


def _put_off(plan: Plan, deferred: frozenset[str]) -> None:
    """Take the steps out that would touch `deferred`, with all that belong to the same files."""
    if not deferred:
        return
    out_of_reach = {
        path.rsplit("/", depth)[0] for path in deferred for depth in range(path.count("/") + 1)
    }
    owners: set[str] = set()
    dropped: set[str] = set()
    found = True
    while found:
        found = False
        for steps in (plan.deletes, plan.asides, plan.writes, plan.late_deletes):
            for op in list(steps):
                touched = {op.path, *((op.to,) if op.to is not None else ())}
                if touched & out_of_reach or not (owners | deferred).isdisjoint(op.owners):
                    steps.remove(op)
                    owners.update(op.owners)
                    dropped |= touched
                    found = True
    plan.held |= owners
    plan.changes = [change for change in plan.changes if change.path not in owners | dropped]


class _Planner:
    def __init__(
        self, sides: Sides, disk: Disk, read: Callable[[str], bytes], merge_file: MergeFile
    ) -> None:
        self.plan = Plan()
        self._base, self._theirs = sides.base, sides.theirs
        self._adopting = sides.adopting
        self._readonly = sides.readonly
        self._keep_deleted = sides.keep_deleted
        self._disk = disk
        self._read = read
        self._merge_file = merge_file
        self._taken: set[str] = set(sides.theirs)
        self._moved: dict[str, str] = {}  # what is set aside -> its new name
        self._handled: set[str] = set()
        self._waiting: list[tuple[str, str, Entry]] = []
        self._sources = {
            pair.new: pair.old
            for pair in sides.renamed
            if pair.old not in sides.theirs and pair.new not in sides.base
        }

    def path(self, path: str) -> None:
        if path in self._handled:
            return
        self._handled.add(path)
        theirs, base = self._theirs.get(path), self._base.get(path)
        if path in self._sources and self._rename(self._sources[path], path):
            return
        if theirs is None:
            if path not in self._sources.values():
                self._removed(path, base)
        elif is_sealed(path, self._readonly):
            self._sealed(path, base, theirs)
        elif base == theirs:
            self._unchanged(path, theirs)
        else:
            self._changed(path, base, theirs)

    def _rename(self, old: str, new: str) -> bool:
        """A renamed file takes the student's changes along; False: treat it as old and new."""
        self._handled.add(old)
        base, theirs = self._base[old], self._theirs[new]
        ours, there = self._disk.find(old), self._disk.find(new)
        if ours.entry is None or there.kind is not Kind.ABSENT or LINK in (ours.entry.mode,):
            self._removed(old, base)
            return False
        owners = (old, new)
        if ours.entry == base:
            self.plan.late_deletes.append(Op(act="delete", path=old, before=base, owners=owners))
            self._write(new, None, theirs, owners)
            self._tell(new, "renamed")
            return True
        content = self._content(old)
        if content is None or theirs.mode == LINK:
            self._removed(old, base)
            return False
        outcome = merge(
            new, self._read(base.blob), content, self._read(theirs.blob), self._merge_file
        )
        after = self._remember(_mode(base, ours.entry, theirs), outcome.content)
        self._write(new, None, after, owners)
        if outcome.keep_courses:
            self._beside(new, "course", theirs, owners)
        if outcome.keep_yours:
            self._beside(new, "yours", self._remember(FILE, content), owners)
        self._see(ours.entry, content)
        self.plan.late_deletes.append(Op(act="delete", path=old, before=ours.entry, owners=owners))
        self._tell(new, "renamed")
        return True

    def _removed(self, path: str, base: Entry | None) -> None:
        ours = self._disk.find(path)
        if ours.entry is None or base is None:
            return
        if ours.entry == base:
            self.plan.deletes.append(Op(act="delete", path=path, before=base, owners=(path,)))
            self._tell(path, "deleted")
        else:
            self._tell(path, "kept_yours")

    def _sealed(self, path: str, base: Entry | None, theirs: Entry) -> None:
        """The course's version, whatever the student made of it."""
        ours = self._disk.find(path)
        if ours.entry is not None and ours.entry not in (theirs, base):
            self._clash(path, theirs)
        elif base == theirs:
            self._unchanged(path, theirs)
        else:
            self._changed(path, base, theirs)

    def _unchanged(self, path: str, theirs: Entry) -> None:
        """The course has not touched it: only a file that is gone comes back."""
        if self._keep_deleted or self._disk.exists(path):
            return
        blocker = self._disk.blocker(path)
        if blocker is not None and blocker.at is not None:
            self._waiting.append((path, blocker.at, theirs))
        else:
            self._write(path, None, theirs)
            self._tell(path, "restored")

    def finish(self) -> None:
        """Bring back what had no place, where one is made for something else anyway."""
        for path, at, theirs in self._waiting:
            if at in self._moved:
                self._write(path, None, theirs)
                self._tell(path, "restored")

    def _changed(self, path: str, base: Entry | None, theirs: Entry) -> None:
        ours = self._disk.find(path)
        if ours.kind is Kind.LINKED:
            self._tell(path, "kept_yours")
        elif ours.kind is Kind.BLOCKED:
            self._blocked(path, ours, theirs)
        elif ours.kind is Kind.ABSENT:
            if self._keep_deleted and base is not None:
                return
            self._write(path, None, theirs)
            self._tell(path, "new" if base is None else "updated")
        elif ours.entry is None:  # a folder or the like; empty after the deletes, it just goes
            self._aside(path, (path,), told=ours.kind is not Kind.FOLDER or self._has_own(path))
            self._write(path, None, theirs)
            self._tell(path, "new")
        elif ours.entry == theirs:
            return
        elif ours.entry == base:
            self._write(path, base, theirs)
            self._tell(path, "updated")
        else:
            self._both(path, base, ours.entry, theirs)

    def _blocked(self, path: str, ours: Found, theirs: Entry) -> None:
        at = ours.at
        assert at is not None
        old = self._base.get(at)
        unchanged = old is not None and at not in self._theirs and self._disk.find(at).entry == old
        if not unchanged:
            self._aside(at, (path,), told=True)
        self._write(path, None, theirs)
        self._tell(path, "new")

    def _both(self, path: str, base: Entry | None, ours: Entry, theirs: Entry) -> None:
        if theirs.mode == LINK or ours.mode == LINK:
            if ours.mode == LINK and theirs.mode != LINK and base is not None:
                self._beside(path, "course", theirs, (path,))
                self._tell(path, "kept_yours")
            else:
                self._clash(path, theirs)
            return
        mode = _mode(base, ours, theirs)
        if ours.blob == theirs.blob or (base is not None and base.blob == theirs.blob):
            self._remode(path, ours, mode)
            return
        content = self._content(path)
        if content is None:
            self._beside(path, "course", theirs, (path,))
            self._tell(path, "kept_yours")
            return
        if blob_name(content) != ours.blob:
            self.plan.held.add(path)
            return
        old = None
        if base is not None and base.mode != LINK:
            if base.blob == ours.blob:
                self._write(path, ours, Entry(mode=mode, blob=theirs.blob))
                self._tell(path, "updated")
                return
            old = self._read(base.blob)
        outcome = merge(path, old, content, self._read(theirs.blob), self._merge_file)
        if old is None and outcome.keep_courses and not self._adopting:
            self._clash(path, theirs)
            return
        self._merged(path, ours, theirs, content, outcome.content, mode)
        if outcome.keep_yours:
            self._beside(path, "yours", self._remember(FILE, content), (path,))
        if outcome.keep_courses:
            self._beside(path, "course", theirs, (path,))
        if outcome.keep_courses:
            self._tell(path, "kept_yours")
        elif outcome.content != content or mode != ours.mode:
            self._tell(path, "updated" if outcome.keep_yours else "merged")

    def _merged(
        self, path: str, ours: Entry, theirs: Entry, content: bytes, merged: bytes, mode: str
    ) -> None:
        if merged == content and mode == ours.mode:
            return
        after = Entry(mode=mode, blob=theirs.blob)
        if blob_name(merged) != theirs.blob:
            after = self._remember(mode, merged)
        self._see(ours, content)
        self._write(path, ours, after)

    def _remode(self, path: str, ours: Entry, mode: str) -> None:
        if mode == ours.mode:
            return
        content = self._content(path)
        if content is None:
            return
        self._see(ours, content)
        self._write(path, ours, self._remember(mode, content))
        self._tell(path, "updated")

    def _clash(self, path: str, theirs: Entry) -> None:
        self._aside(path, (path,), told=True)
        self._write(path, None, theirs)
        self._tell(path, "new")

    def _aside(self, path: str, owners: tuple[str, ...], *, told: bool) -> None:
        if path in self._moved:
            return
        to = self._disk.free_name(path, "yours", self._taken)
        self._moved[path] = to
        self.plan.asides.append(Op(act="aside", path=path, to=to, owners=owners))
        if told:
            self._tell(to, "renamed")

    def _beside(self, path: str, word: str, entry: Entry, owners: tuple[str, ...]) -> None:
        name = self._disk.free_name(path, word, self._taken)
        self._write(name, None, entry, owners)
        self._tell(name, "new")

    def _write(
        self, path: str, before: Entry | None, after: Entry, owners: tuple[str, ...] | None = None
    ) -> None:
        self.plan.writes.append(
            Op(act="write", path=path, before=before, after=after, owners=owners or (path,))
        )

    def _remember(self, mode: str, content: bytes) -> Entry:
        blob = blob_name(content)
        self.plan.fresh[blob] = content
        return Entry(mode=mode, blob=blob)

    def _see(self, entry: Entry, content: bytes) -> None:
        self.plan.seen[entry.blob] = content

    def _content(self, path: str) -> bytes | None:
        place = self._disk.place(path)
        if place.stat().st_size > MOST_MERGED_BYTES:
            return None
        return read_file(place)

    def _has_own(self, folder: str) -> bool:
        """Whether there is more in a folder than what the course takes out of it."""
        leaving = {op.path for op in self.plan.deletes}
        top = self._disk.place("")
        for place in self._disk.place(folder).rglob("*"):
            name = str(place.relative_to(top))
            if name not in leaving and not (place.is_dir() and not place.is_symlink()):
                return True
        return False

    def _tell(self, path: str, kind: ChangeKind) -> None:
        self.plan.changes.append(Change(path=path, kind=kind))


def _mode(base: Entry | None, ours: Entry, theirs: Entry) -> str:
    return theirs.mode if base is None or ours.mode == base.mode else ours.mode
