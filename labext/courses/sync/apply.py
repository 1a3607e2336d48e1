"""Does the steps of a pull on disk, each one wholly, and only if nothing has changed meanwhile."""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from labext.courses.errors import CourseError
from labext.courses.explain import no_space
from labext.courses.sync.disk import Disk
from labext.courses.sync.entry import EXECUTABLE, LINK, Entry, entry_of
from labext.courses.sync.exchange import exchange
from labext.courses.sync.ops import Op

_FULL = (errno.ENOSPC, errno.EDQUOT)
# One by one, each file costs a write of the disk's own journal.
_MOST_SYNCED = 200


def stage(
    ops: Sequence[Op], disk: Disk, workshop: Path, read: Callable[[str], bytes]
) -> dict[int, Path]:
    """Write what `ops` will put in place, in `workshop` on the same disk; position -> file.

    Errors: CourseError when the disk is full, OSError. Nothing else was touched then.
    """
    staged: dict[int, Path] = {}
    try:
        for number, op in enumerate(ops):
            if op.act == "write" and op.after is not None and _state(disk, op.path) != op.after:
                staged[number] = workshop / str(number)
                _write(staged[number], op.after, read(op.after.blob), disk.place(op.path))
        if len(staged) > _MOST_SYNCED:
            os.sync()
        else:
            for file in staged.values():
                _sync(file)
    except OSError as err:
        if err.errno in _FULL:
            raise no_space() from err
        raise
    return staged


def _write(file: Path, entry: Entry, content: bytes, old: Path) -> None:
    if entry.mode == LINK:
        file.symlink_to(os.fsdecode(content))
        return
    file.write_bytes(content)
    with contextlib.suppress(OSError):
        mode = (old if old.is_file() and not old.is_symlink() else file).stat().st_mode & 0o777
        executable = (mode & 0o444) >> 2
        file.chmod(mode | executable if entry.mode == EXECUTABLE else mode & ~0o111)


def _sync(file: Path) -> None:
    if file.is_symlink():
        return
    with file.open("rb") as stream:
        os.fsync(stream.fileno())


def apply(
    ops: Iterable[Op], disk: Disk, workshop: Path, staged: dict[int, Path], target: Path
) -> frozenset[str]:
    """Do `ops` in order. The owners of those that could not be done: changed or not writable.

    Steps that are done already are left alone, so that it may be called again after a crash.
    """
    held: set[str] = set()
    for number, op in enumerate(ops):
        if not held.isdisjoint(op.owners):
            held.update(op.owners)
            continue
        try:
            done = _do(op, disk, workshop / f"old-{number}", staged.get(number), target)
        except CourseError:
            raise
        except OSError:
            done = False
        if not done:
            held.update(op.owners)
    return frozenset(held)


def _do(op: Op, disk: Disk, spare: Path, staged: Path | None, target: Path) -> bool:
    if disk.blocker(op.path) is not None:
        return op.act == "delete"
    place = disk.place(op.path)
    if op.act == "aside":
        return _set_aside(op, disk)
    if op.act == "delete":
        return _delete(place, op, spare, target)
    return _place(place, op, staged)


def _set_aside(op: Op, disk: Disk) -> bool:
    assert op.to is not None
    place, to = disk.place(op.path), disk.place(op.to)
    if not os.path.lexists(place):
        return True
    if place.is_dir() and not place.is_symlink():
        with contextlib.suppress(OSError):
            place.rmdir()
            return True
    if os.path.lexists(to):
        if not place.is_dir() and place.samefile(to):
            place.unlink()  # a crash came between the two steps below
            return True
        return False
    if place.is_dir() and not place.is_symlink():
        place.rename(to)
        return True
    return _move_new(place, to)


def _move_new(source: Path, place: Path) -> bool:
    """Give `source` the name `place` unless something has it."""
    try:
        os.link(source, place, follow_symlinks=False)
    except FileExistsError:
        return False
    except OSError:  # a file system without hard links
        if os.path.lexists(place):
            return False
        source.rename(place)
        return True
    source.unlink()
    return True


def _delete(place: Path, op: Op, spare: Path, target: Path) -> bool:
    if not os.path.lexists(place):
        _prune(place.parent, target)
        return True
    if op.before is None or entry_of(place) != op.before:
        return False
    place.rename(spare)
    if entry_of(spare) != op.before:  # saved in this very moment
        return _put_back(spare, place)
    spare.unlink()
    _prune(place.parent, target)
    return True


def _put_back(spare: Path, place: Path) -> bool:
    if not _move_new(spare, place):
        for number in range(1, 1000):
            if _move_new(spare, place.with_name(f"{place.name}__yours_{number}")):
                break
    return False


def _place(place: Path, op: Op, staged: Path | None) -> bool:
    if op.after is not None and entry_of(place) == op.after:
        return True
    if staged is None or (place.is_dir() and not place.is_symlink() and not _emptied(place)):
        return False
    place.parent.mkdir(parents=True, exist_ok=True)
    if op.before is None:
        return _move_new(staged, place)
    if entry_of(place) != op.before:
        return False
    if not exchange(staged, place):
        staged.rename(place)
        return True
    if entry_of(staged) == op.before:
        staged.unlink()
        return True
    if not exchange(staged, place):  # gone in this very moment
        return _put_back(staged, place)
    return False


def _emptied(folder: Path) -> bool:
    try:
        folder.rmdir()
    except OSError:
        return False
    return True


def _prune(folder: Path, target: Path) -> None:
    """Remove folders that the course's last file has left."""
    while folder != target and folder.is_relative_to(target):
        try:
            folder.rmdir()
        except OSError:
            return
        folder = folder.parent


def _state(disk: Disk, path: str) -> Entry | None:
    if disk.blocker(path) is not None:
        return None
    place = disk.place(path)
    return entry_of(place) if os.path.lexists(place) else None
