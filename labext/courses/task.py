"""One pull from beginning to end: where, whether the server answers, what changed, what to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

from labext.courses import gitenv
from labext.courses.address import Address, AddressError, parse
from labext.courses.changes import summary
from labext.courses.engine import Delivery, Engine, Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import last_words
from labext.courses.git import Git, GitError
from labext.courses.model import MOST_CHANGES, History, Progress
from labext.courses.preflight import look
from labext.courses.protocol import Job, Result
from labext.courses.store import Store
from labext.courses.target import resolve


def run(
    job: Job,
    engine: Engine,
    report: Report,
    environ: Mapping[str, str],
    clock: Callable[[], float],
) -> Result:
    """Do `job`. Blocks; raises nothing that a course, a server or a disk can cause."""
    try:
        address = parse(job.url)
    except AddressError as err:
        return Result(
            state="failed", code="bad_address", message=f"The course's address is wrong: {err}."
        )
    try:
        target = resolve(Path(job.root), job.target)
        store = Store(folder=Path(job.state_dir), target=target)
        report(Progress(phase="Waiting for its turn", percent=None))
        with store.locked():
            env = gitenv.without_broken_files(gitenv.environment(environ, address, target))
            delivery = _deliver(job, address, target, env, engine, report)
            return _delivered(delivery, store, clock())
    except CourseError as err:
        return failure(err, has_copy=_has_copy(job, engine))
    except GitError as err:
        return failure(
            CourseError(
                "git_failed",
                f"git {err.command} failed: {last_words(err.text, address)}.",
                "Try again; if it stays, show this message to your operator.",
            ),
            has_copy=_has_copy(job, engine),
        )
    except FileNotFoundError as err:
        missing = "git is not installed on this server" if err.filename == "git" else str(err)
        return Result(state="failed", code="not_found", message=f"{address.redact(missing)}.")
    except OSError as err:
        where = f" ({err.filename})" if err.filename else ""
        return Result(
            state="failed",
            code="cannot_write",
            message=f"The course could not be pulled: {err.strerror or err}{where}.",
            fix="Check free space and that your home folder can be written, then press Pull.",
        )


def _deliver(
    job: Job, address: Address, target: Path, env: dict[str, str], engine: Engine, report: Report
) -> Delivery:
    engine.recover(target, env)
    report(Progress(phase="Asking the git server", percent=None))
    git = Git(Path("/"), env)
    upstream = look(git, address, job.branch, job.connect_timeout_seconds)
    return engine.pull(
        Pull(address=address, upstream=upstream, target=target, depth=job.depth, env=env), report
    )


def _delivered(delivery: Delivery, store: Store, now: float) -> Result:
    known = store.load()
    if delivery.changes or delivery.first:
        history = History(
            last_pull=now,
            last_change=now,
            changes=delivery.changes[:MOST_CHANGES],
            changes_truncated=len(delivery.changes) > MOST_CHANGES,
        )
    else:
        history = History(
            last_pull=now,
            last_change=known.last_change,
            changes=known.changes,
            changes_truncated=known.changes_truncated,
        )
    store.save(history)
    count = len(delivery.changes)
    message = (
        f"The course is here, with {count} {'file' if count == 1 else 'files'}."
        if delivery.first
        else summary(delivery.changes)
    )
    if delivery.note is not None:
        message = f"{message} {delivery.note}"
    return Result(state="up_to_date", message=message, history=history)


def failure(error: CourseError, *, has_copy: bool) -> Result:
    """An error as the student should meet it.

    Offline is a state to work in: the course is there, only not the newest. Without a copy of it
    there is nothing to work with, and the pull has plainly failed. Pure.
    """
    if error.state == "offline" and has_copy:
        return Result(
            state="offline",
            code=error.code,
            message=f"{error.message} You have the files of the last pull; nothing was changed.",
            fix=error.fix,
        )
    if error.state == "offline":
        return Result(
            state="failed",
            code=error.code,
            message=f"{error.message} The course has not been downloaded yet.",
            fix=error.fix,
        )
    return Result(state="failed", code=error.code, message=error.message, fix=error.fix)


def _has_copy(job: Job, engine: Engine) -> bool:
    try:
        return engine.has_copy(resolve(Path(job.root), job.target))
    except (CourseError, OSError):
        return False


def timed_out(job: Job, engine: Engine) -> Result:
    """The result of a pull that was ended at its time limit."""
    return failure(
        CourseError(
            "timeout",
            f"The pull took longer than {job.timeout_seconds:g} s and was ended.",
            "Press Pull to try again; if it stays, ask your operator for a longer limit.",
            state="offline",
        ),
        has_copy=_has_copy(job, engine),
    )
