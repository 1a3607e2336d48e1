"""Gets the course's files into the private repository."""

from __future__ import annotations

from labext.courses.engine import Pull, Report
from labext.courses.explain import remote_error
from labext.courses.git import GitError
from labext.courses.progress import parse
from labext.courses.sync.damage import is_damage
from labext.courses.sync.repository import UPSTREAM, Repository


def fetch(repository: Repository, pull: Pull, report: Report) -> str:
    """The commit that the course is at, whatever its history was before. Errors: CourseError."""
    depth = [f"--depth={pull.depth}"] if pull.depth else []
    get(repository, pull, report, f"+{pull.upstream.ref}:{UPSTREAM}", *depth)
    commit = repository.commit(UPSTREAM)
    if commit is None:
        raise remote_error("fatal: the course's branch leads to no commit", pull.address)
    return commit


def get(repository: Repository, pull: Pull, report: Report, refspec: str, *options: str) -> None:
    """`git fetch` of one reference. Errors: CourseError; GitError: our repository is damaged."""

    def on_line(line: str) -> None:
        progress = parse(line)
        if progress is not None:
            report(progress)

    try:
        repository.network.follow(
            "fetch",
            "--progress",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            *options,
            "--",
            pull.address.remote,
            refspec,
            on_line=on_line,
        )
    except GitError as err:
        if is_damage(err.text):
            raise
        raise remote_error(err.text, pull.address) from err
