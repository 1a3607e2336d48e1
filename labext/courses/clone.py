"""The first pull: the folder appears whole, or not at all."""

from __future__ import annotations

import contextlib
import fcntl
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from labext.courses.engine import Delivery, Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import no_space, remote_error
from labext.courses.folder import TEMPORARY, content
from labext.courses.git import Git, GitError
from labext.courses.model import Change
from labext.courses.progress import parse

DELIVERED = "refs/samepage/delivered"


def first_pull(pull: Pull, report: Report) -> Delivery:
    """Clone beside the target, then rename. Errors: CourseError."""
    # A mounted volume cannot be renamed onto: there the clone is moved in, entry by entry.
    into_mount = pull.target.exists() and os.path.ismount(pull.target)
    parent = pull.target if into_mount else pull.target.parent
    try:
        parent.mkdir(parents=True, exist_ok=True)
        with _workshop(parent, pull.target.name) as workshop:
            fresh = workshop / "clone"
            _clone(pull, fresh, report)
            git = Git(fresh, pull.env)
            git.read("update-ref", DELIVERED, "HEAD")
            paths = git.names("ls-tree", "-r", "-z", "--name-only", "HEAD")
            if into_mount:
                _move_in(fresh, pull.target)
            else:
                _move_to(fresh, pull.target)
    except OSError as err:
        if err.errno in (28, 122):  # ENOSPC, EDQUOT
            raise no_space() from err
        raise CourseError(
            "cannot_write",
            f"The folder {pull.target.name} cannot be made in {parent}: {err.strerror or err}.",
            "Check that this place is yours and can be written, then press Pull.",
        ) from err
    return Delivery(first=True, changes=tuple(Change(path=path, kind="new") for path in paths))


def _clone(pull: Pull, fresh: Path, report: Report) -> None:
    depth = ["--depth", str(pull.depth)] if pull.depth else []

    def on_line(line: str) -> None:
        progress = parse(line)
        if progress is not None:
            report(progress)

    try:
        Git(fresh.parent, pull.env).follow(
            "clone",
            "--progress",
            "--origin=origin",
            "--no-recurse-submodules",
            *depth,
            f"--branch={pull.upstream.branch}",
            "--",
            pull.address.remote,
            str(fresh),
            on_line=on_line,
        )
    except GitError as err:
        raise remote_error(err.text, pull.address) from err


@contextlib.contextmanager
def _workshop(parent: Path, name: str) -> Iterator[Path]:
    """A hidden folder of our own in `parent`, gone afterwards; leftovers of others are removed.

    Who works in one holds a lock on it, and the lock ends with the process, however it ends.
    """
    for old in parent.glob(f"{TEMPORARY}*"):
        if old.is_dir() and not old.is_symlink() and _abandoned(old):
            shutil.rmtree(old, ignore_errors=True)
    workshop = Path(tempfile.mkdtemp(prefix=f"{TEMPORARY}{name}-", dir=parent))
    descriptor = os.open(workshop, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)
        os.close(descriptor)


def _abandoned(workshop: Path) -> bool:
    try:
        descriptor = os.open(workshop, os.O_RDONLY | os.O_DIRECTORY)
    except OSError:
        return False
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    finally:
        os.close(descriptor)
    return True


def _move_to(fresh: Path, target: Path) -> None:
    if target.exists():  # empty, apart from things like notebook checkpoints
        for entry in content(target):
            shutil.move(entry.path, fresh / entry.name)
    fresh.rename(target)


def _move_in(fresh: Path, target: Path) -> None:
    # .git first: killed in the middle, this is a clone with files missing, which a pull restores.
    for entry in sorted(content(fresh), key=lambda entry: entry.name != ".git"):
        Path(entry.path).rename(target / entry.name)
