"""The answer to most pulls, that there is nothing new, without a process of its own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path

from labext.courses import gitenv
from labext.courses.address import AddressError, parse
from labext.courses.asking import Answer, Question, Standpoint, ask
from labext.courses.cache import CacheRefusedError, find, settings_of
from labext.courses.changes import summary
from labext.courses.errors import CourseError
from labext.courses.folder import TEMPORARY
from labext.courses.git import Git, GitError, GitTimeoutError
from labext.courses.model import History
from labext.courses.protocol import Job, Result
from labext.courses.rules import Rules
from labext.courses.store import Store
from labext.courses.sync.journal import has_journal, read_reached
from labext.courses.sync.repository import BASE
from labext.courses.sync.view import is_current
from labext.courses.target import resolve
from labext.courses.throttle import TRACE, Patience

# Beyond that a pull in a process of its own asks: it can be ended at any moment.
_LONGEST_QUESTION_SECONDS = 3.0


def nothing_new(job: Job, environ: Mapping[str, str], now: float) -> Result | Answer | None:
    """The result when there is nothing to do; else what the server said, None: it was not asked.

    Blocks for a moment; reads, and writes nothing. Every doubt is left to the pull itself.
    """
    if job.rules != Rules():
        return None
    try:
        address = parse(job.url)
        target = resolve(Path(job.root), job.target)
        store = Store(folder=Path(job.state_dir), target=target)
        repository = store.path(".git")
        reached = read_reached(repository)
        if reached is None or reached.held or reached.skip or has_journal(repository):
            return None
        if not is_current(reached.view, job.rules, now):
            return None
        if not target.is_dir() or not address.same_repository(reached.url):
            return None
        env = gitenv.environment(environ, address, target)
        patience = Patience(folder=Path(job.state_dir), address=address)
        if patience.seconds_left(now):
            return None
        traced = {**env, **TRACE} if address.remote.startswith("http") else env
        answer = ask(
            Git(Path("/"), traced),
            Question(
                address=address,
                branch=job.branch,
                timeout_seconds=min(job.connect_timeout_seconds, _LONGEST_QUESTION_SECONDS),
                by_hand=job.by_hand,
                before=Standpoint(commit=reached.commit, seen_at=reached.seen_at),
            ),
            find(settings_of(job.cache, job.cache_owner, environ), address),
            now,
        )
        if (answer.upstream.commit, answer.upstream.branch) != (reached.commit, reached.branch):
            return answer
        if answer.note is not None or not _all_there(repository, target, env):
            return answer
        known = store.load()
    except CourseError as err:
        if err.wait_seconds is not None:
            patience.remember(err.wait_seconds, now)
        return None
    except (
        AddressError,
        CacheRefusedError,
        GitError,
        GitTimeoutError,
        OSError,
    ):
        return None
    return Result(
        state="up_to_date",
        message=summary(()),
        history=History(
            last_pull=now,
            last_change=known.last_change,
            changes=known.changes,
            changes_truncated=known.changes_truncated,
        ),
    )


def _all_there(repository: Path, target: Path, env: dict[str, str]) -> bool:
    """Whether every file of the course is in the folder. Errors: GitError, OSError."""
    private = {
        **env,
        "GIT_DIR": str(repository),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
    }
    names = Git(repository, private).names("ls-tree", "-r", "-z", "--name-only", BASE)
    if any(entry.startswith(TEMPORARY) for entry in os.listdir(target)):  # noqa: PTH208 - names
        return False
    folders: dict[str, set[str]] = {}
    for name in names:
        folder, _, last = name.rpartition("/")
        if folder not in folders:
            place = target / folder
            folders[folder] = set(os.listdir(place)) if place.is_dir() else set()  # noqa: PTH208
        if last not in folders[folder]:
            return False
    return True
