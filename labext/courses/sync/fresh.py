"""Brings the course's version of single files, and keeps the student's."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from labext.courses.errors import CourseError
from labext.courses.sync.disk import Disk, Found, Kind
from labext.courses.sync.entry import FILE, LINK, Entry, Tree, blob_name, read_file
from labext.courses.sync.history import teachers
from labext.courses.sync.journal import Journal, Reached, read_reached, write_reached
from labext.courses.sync.ops import Op
from labext.courses.sync.plan import MOST_MERGED_BYTES
from labext.courses.sync.repository import BASE, Repository
from labext.courses.sync.transaction import carry_out, keep, snapshot_name

_TAKEN = "refs/samepage/taken"
Clock = Callable[[], float]


def bring(
    repository: Repository, target: Path, paths: Sequence[str], clock: Clock
) -> tuple[str, ...]:
    """Put the course's version of `paths` in place; the new names of what was there.

    Hold the lock. Errors: CourseError when the course has no such file, or it cannot be done.
    """
    reached, base, tree = _known(repository, target)
    disk = Disk(target, now=clock)
    ops: list[Op] = []
    moved: list[str] = []
    seen: dict[str, bytes] = {}
    taken = set(tree)
    for path in paths:
        found = _look(disk, tree, path)
        if found.entry == tree[path]:
            continue
        at = found.at or path
        if found.kind is not Kind.ABSENT:
            moved.append(disk.free_name(at, "yours", taken))
        content = _readable(disk, path, found.entry)
        if found.entry is not None and content is not None:
            # A copy, then an exchange: the file is never away.
            seen[found.entry.blob] = content
            ops.append(Op(act="write", path=moved[-1], after=found.entry, owners=(path,)))
        elif found.kind is not Kind.ABSENT:
            ops.append(Op(act="aside", path=at, to=moved[-1], owners=(path,)))
        before = found.entry if content is not None else None
        ops.append(Op(act="write", path=path, before=before, after=tree[path], owners=(path,)))
    if ops:
        goal = _delivered(repository, base, {path: tree[path] for path in paths})
        _carry_out(repository, target, ops, (reached, base, goal), clock, seen=seen)
    return tuple(moved)


def copy(repository: Repository, target: Path, path: str, clock: Clock) -> str:
    """Put the course's version of `path` beside it; the name it has there. As `bring` else."""
    reached, base, tree = _known(repository, target)
    disk = Disk(target, now=clock)
    found = _look(disk, tree, path)
    if found.kind is Kind.BLOCKED:
        raise CourseError(
            "behind_file", f"{found.at} is a file of yours, where a folder should be."
        )
    name = disk.free_name(path, "course", set(tree))
    op = Op(act="write", path=name, after=tree[path], owners=(name,))
    _carry_out(repository, target, [op], (reached, base, base), clock)
    return name


def rewrite(
    repository: Repository,
    target: Path,
    path: str,
    old: bytes,
    new: bytes,
    clock: Clock,
    *,
    beside: bytes | None = None,
) -> None:
    """Replace a file of the student's that still has the content `old`. As `bring` else.

    beside: put this next to it, as the course's version.
    """
    reached, base, tree = _known(repository, target)
    disk = Disk(target, now=clock)
    found = disk.find(path)
    if found.entry is None or found.entry.mode == LINK or found.entry.blob != blob_name(old):
        raise changed_meanwhile(path)
    before = found.entry
    after = Entry(mode=before.mode, blob=blob_name(new))
    ops = [Op(act="write", path=path, before=before, after=after, owners=(path,))]
    fresh = {after.blob: new}
    if beside is not None:
        name = disk.free_name(path, "course", set(tree))
        entry = Entry(mode=FILE, blob=blob_name(beside))
        ops.append(Op(act="write", path=name, after=entry, owners=(path, name)))
        fresh[entry.blob] = beside
    _carry_out(
        repository,
        target,
        ops,
        (reached, base, base),
        clock,
        seen={before.blob: old},
        fresh=fresh,
    )


def changed_meanwhile(path: str) -> CourseError:
    """Somebody saved in between."""
    return CourseError(
        "changed", f"{path} was changed meanwhile; nothing was done.", "Look at it again."
    )


def _known(repository: Repository, target: Path) -> tuple[Reached, str, Tree]:
    reached, base = read_reached(repository.path), repository.commit(BASE)
    if reached is None or base is None:
        raise CourseError(
            "never_pulled", f"No course was pulled into {target.name} yet.", "Press Pull now."
        )
    return reached, base, teachers(repository)


def _look(disk: Disk, tree: Tree, path: str) -> Found:
    if path not in tree:
        raise CourseError("no_such_file", f"The course has no file {path}.")
    found = disk.find(path)
    if found.kind is Kind.LINKED:
        raise CourseError("behind_link", f"{found.at} is a link of yours; it is not followed.")
    return found


def _readable(disk: Disk, path: str, entry: Entry | None) -> bytes | None:
    """A file's content; None for a link, a very large file, and one that is just being saved."""
    if entry is None or entry.mode == LINK:
        return None
    place = disk.place(path)
    if place.stat().st_size > MOST_MERGED_BYTES:
        return None
    content = read_file(place)
    return content if blob_name(content) == entry.blob else None


def _delivered(repository: Repository, base: str, files: Tree) -> str:
    """What counts as delivered with `files`: more than before when an update was sent back."""
    now = repository.tree(base)
    fresh = [(path, entry) for path, entry in files.items() if now.get(path) != entry]
    if not fresh:
        return base
    repository.record(_TAKEN, parent=base, known=fresh, message="Delivered, and taken")
    return str(repository.commit(_TAKEN))


def _carry_out(
    repository: Repository,
    target: Path,
    ops: Sequence[Op],
    known: tuple[Reached, str, str],
    clock: Clock,
    *,
    seen: Mapping[str, bytes] | None = None,
    fresh: Mapping[str, bytes] | None = None,
) -> None:
    reached, base, goal = known
    journal = Journal(
        ops=tuple(ops),
        base=base,
        goal=goal,
        reached=reached,
        before=reached,
        snapshot=snapshot_name(clock(), repository.snapshots()),
        changes=(),
        act="take",
    )
    keep(repository, journal, seen=seen or {}, fresh=fresh or {})
    held = carry_out(repository, target, journal)
    write_reached(repository.path, reached)  # what waited for a pull still does, and nothing else
    if held:
        raise CourseError("cannot_write", f"{ops[-1].path} could not be replaced; it was kept.")
