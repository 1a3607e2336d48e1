"""Fetches only the files that are asked for, where the git server can do that (partial clone)."""

from __future__ import annotations

import subprocess
from collections.abc import Iterable

from labext.courses.engine import Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import remote_error
from labext.courses.git import GitError
from labext.courses.model import Progress
from labext.courses.sync.fetch import WITHOUT_FILES, get
from labext.courses.sync.repository import UPSTREAM, Repository


def missing(repository: Repository, blobs: Iterable[str]) -> list[str]:
    """Those of `blobs` that the repository has not got. Errors: GitError."""
    wanted = dict.fromkeys(blobs)
    if not wanted or not repository.is_partial():
        return []
    # Not asked one by one: for one that is missing, git would go and fetch it.
    listing = repository.git.read(
        "cat-file", "--batch-all-objects", "--unordered", "--batch-check=%(objectname)"
    )
    there = set(listing.split())
    return [blob for blob in wanted if blob not in there]


def bring(repository: Repository, pull: Pull, blobs: Iterable[str], report: Report) -> None:
    """Make `blobs` be there. Errors: CourseError, GitError."""
    lacking = missing(repository, blobs)
    if not lacking:
        return
    report(Progress(phase="Getting the files", percent=None))
    try:
        _ask(repository, pull, lacking)
    except GitError as err:
        refused = remote_error(err.text, pull.address)
        if refused.code != "git_failed":
            raise refused from err
        # A server that filters, but does not give out single files.
        depth = [f"--depth={pull.depth}"] if pull.depth else []
        refspec = f"+{pull.upstream.ref}:{UPSTREAM}"
        get(repository, pull, report, refspec, "--refetch", "--no-filter", *depth)
    if missing(repository, lacking):
        raise CourseError(
            "incomplete",
            f"The git server {pull.address.host} did not send all files of this course.",
            "Press Pull to try again; if it stays, show this message to your operator.",
            state="offline",
        )


def _ask(repository: Repository, pull: Pull, blobs: list[str]) -> None:
    done = subprocess.run(
        [
            "git",
            "-c",
            "fetch.negotiationAlgorithm=noop",
            "fetch",
            "--quiet",
            "--no-tags",
            "--no-write-fetch-head",
            "--no-auto-maintenance",
            "--no-recurse-submodules",
            WITHOUT_FILES,
            "--stdin",
            pull.address.remote,
        ],
        cwd=repository.path,
        env=repository.network_env,
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        capture_output=True,
    )
    if done.returncode != 0:
        raise GitError("fetch", done.returncode, done.stderr.decode("utf-8", "replace").strip())
