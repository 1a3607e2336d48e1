"""Brings the course's version of single files, and keeps the student's beside."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

from labext.courses.errors import CourseError
from labext.courses.sync.disk import Disk, Kind
from labext.courses.sync.journal import Journal, read_reached
from labext.courses.sync.ops import Op
from labext.courses.sync.repository import BASE, Repository
from labext.courses.sync.transaction import carry_out, keep, snapshot_name


def bring(
    repository: Repository, target: Path, paths: Sequence[str], clock: Callable[[], float]
) -> tuple[str, ...]:
    """Put the delivered version of `paths` in place; the new names of what was there.

    Hold the lock. Errors: CourseError when the course has no such file, or it cannot be done.
    """
    reached, base = read_reached(repository.path), repository.commit(BASE)
    if reached is None or base is None:
        raise CourseError("never_pulled", f"No course was pulled into {target.name} yet.")
    tree, disk = repository.tree(base), Disk(target, now=clock)
    ops: list[Op] = []
    moved: list[str] = []
    taken = set(tree)
    for path in paths:
        if path not in tree:
            raise CourseError("no_such_file", f"The course has no file {path}.")
        found = disk.find(path)
        if found.entry == tree[path]:
            continue
        at = found.at or path
        if found.kind is Kind.LINKED:
            raise CourseError("behind_link", f"{at} is a link of yours; it is not followed.")
        if found.kind is not Kind.ABSENT:
            to = disk.free_name(at, "yours", taken)
            ops.append(Op(act="aside", path=at, to=to, owners=(path,)))
            moved.append(to)
        ops.append(Op(act="write", path=path, after=tree[path], owners=(path,)))
    if not ops:
        return ()
    journal = Journal(
        ops=tuple(ops),
        base=base,
        goal=base,
        reached=reached,
        before=reached,
        snapshot=snapshot_name(clock(), repository.snapshots()),
        changes=(),
    )
    keep(repository, journal, seen={}, fresh={})
    held = carry_out(repository, target, journal)
    if held:
        raise CourseError("cannot_write", f"{min(held)} could not be replaced; it was kept.")
    return tuple(moved)
