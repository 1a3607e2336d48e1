"""Gets the course's files into the private repository."""

from __future__ import annotations

import shlex
from pathlib import Path

from labext.courses.cache import KEEP
from labext.courses.engine import Pull, Report
from labext.courses.explain import broken_off, remote_error
from labext.courses.git import GitError
from labext.courses.progress import parse
from labext.courses.sync.damage import is_damage, is_full
from labext.courses.sync.repository import UPSTREAM, Repository

# The files are asked for one by one then: see partial.
WITHOUT_FILES = "--filter=blob:none"


def fetch(repository: Repository, pull: Pull, report: Report) -> str:
    """The commit that the course is at, whatever its history was before. Errors: CourseError."""
    depth = [f"--depth={pull.depth}"] if pull.depth else []
    if pull.rules.include:
        depth.append(WITHOUT_FILES)
    elif pull.cache is not None and from_node(repository, pull, pull.cache, report, *depth):
        mirrored = repository.commit(UPSTREAM)
        if mirrored is not None:
            return mirrored
    get(repository, pull, report, f"+{pull.upstream.ref}:{UPSTREAM}", *depth)
    commit = repository.commit(UPSTREAM)
    if commit is None:
        raise remote_error("fatal: the course's branch leads to no commit", pull.address)
    return commit


def _fetch(repository: Repository, report: Report, *rest: str) -> None:
    """`git fetch` of exactly what is asked for, with its progress. Errors: GitError."""

    def on_line(line: str) -> None:
        progress = parse(line)
        if progress is not None:
            report(progress)

    repository.network.follow(
        "fetch",
        "--progress",
        "--no-tags",
        "--no-write-fetch-head",
        "--no-auto-maintenance",
        "--no-recurse-submodules",
        *rest,
        on_line=on_line,
    )


def from_node(
    repository: Repository, pull: Pull, mirror: Path, report: Report, *options: str
) -> bool:
    """Get `pull.upstream` out of a mirror on this node; False: it could not be got there.

    Copied, so that nothing here depends on the mirror afterwards. It may vanish at any moment.
    """

    try:
        _fetch(
            repository,
            report,
            # Who reads a repository of another user must say so, and only there: see trust.
            f"--upload-pack=git -c {shlex.quote(f'safe.directory={mirror}')} upload-pack",
            *options,
            "--",
            mirror.as_uri(),
            f"+{KEEP}{pull.upstream.commit}:{UPSTREAM}",
        )
    except GitError as err:
        if is_full(err.text):
            raise
        return False
    return repository.git.one("rev-parse", "-q", "--verify", UPSTREAM) == pull.upstream.commit


def get(repository: Repository, pull: Pull, report: Report, refspec: str, *options: str) -> None:
    """`git fetch` of one reference. Errors: CourseError; GitError: our repository is damaged."""

    try:
        _fetch(repository, report, *options, "--", pull.address.remote, refspec)
    except GitError as err:
        if is_damage(err.text):
            if not repository.is_sound():
                raise
            # The server sent something else than it should, which git puts in the same words.
            raise broken_off(pull.address, err.text) from err
        raise remote_error(err.text, pull.address) from err
