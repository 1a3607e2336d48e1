"""One pull from beginning to end: where, whether the server answers, what changed, what to say."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path

from labext.courses import gitenv
from labext.courses.access import checked
from labext.courses.address import Address, AddressError, parse
from labext.courses.asking import Answer, Question, ask, standpoint
from labext.courses.cache import CacheRefusedError, find, settings_of
from labext.courses.changes import summary
from labext.courses.engine import Delivery, Engine, Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import last_words
from labext.courses.git import Git, GitError
from labext.courses.model import MOST_CHANGES, History, Progress
from labext.courses.protocol import Job, Result
from labext.courses.store import Store
from labext.courses.target import resolve
from labext.courses.throttle import TRACE, Patience

_REMEMBER_SECONDS = 6 * 3600.0


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
            address = checked(address, job.rules.auth)
            env = gitenv.without_broken_files(
                gitenv.environment(environ, address, target, job.rules.auth)
            )
            delivery = _deliver(job, address, target, env, engine, report, clock)
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
    job: Job,
    address: Address,
    target: Path,
    env: dict[str, str],
    engine: Engine,
    report: Report,
    clock: Callable[[], float],
) -> Delivery:
    engine.recover(target, env)
    report(Progress(phase="Asking the git server", percent=None))
    answer = _ask(job, address, target, env, clock())
    pull = Pull(
        address=address,
        upstream=answer.upstream,
        cache=answer.cache,
        seen_at=answer.seen_at,
        target=target,
        depth=job.depth,
        env=env,
        deferred=frozenset(job.deferred),
        rules=job.rules,
        now=clock(),
    )
    delivery = engine.pull(pull, report)
    if answer.note is None:
        return delivery
    note = answer.note if delivery.note is None else f"{answer.note} {delivery.note}"
    return replace(delivery, note=note)


def _ask(job: Job, address: Address, target: Path, env: dict[str, str], now: float) -> Answer:
    if job.answer is not None:
        return Answer.from_json(job.answer)
    try:
        cached = find(settings_of(job.cache, job.cache_owner, env), address)
    except CacheRefusedError:
        cached = None  # the git server has it all; `samepage-course doctor` names the reason
    repository = Store(folder=Path(job.state_dir), target=target).path(".git")
    patience = Patience(folder=Path(job.state_dir), address=address)
    question = Question(
        address=address,
        branch=job.branch,
        timeout_seconds=job.connect_timeout_seconds,
        by_hand=job.by_hand,
        before=standpoint(repository),
        leave_seconds=patience.seconds_left(now) or 0.0,
    )
    traced = {**env, **TRACE} if address.remote.startswith("http") else env
    try:
        return ask(Git(Path("/"), traced), question, cached, now)
    except CourseError as err:
        if err.wait_seconds is not None:
            patience.remember(err.wait_seconds, now)
        raise


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
    if delivery.changes or delivery.first or known.last_pull is None or _is_old(known, now):
        store.save(history)
    count = len(delivery.changes)
    message = (
        f"The course is here, with {count} {'file' if count == 1 else 'files'}."
        if delivery.first
        else summary(delivery.changes)
    )
    if delivery.note is not None:
        message = f"{message} {delivery.note}"
    return Result(state="up_to_date", message=message, history=history, waiting=delivery.waiting)


def _is_old(known: History, now: float) -> bool:
    """Nothing new is nothing to write down, but for the time, once in a while."""
    return not 0 <= now - (known.last_pull or 0.0) < _REMEMBER_SECONDS


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
            wait_seconds=error.wait_seconds,
        )
    if error.state == "offline":
        return Result(
            state="failed",
            code=error.code,
            message=f"{error.message} The course has not been downloaded yet.",
            fix=error.fix,
            wait_seconds=error.wait_seconds,
        )
    return Result(
        state="failed",
        code=error.code,
        message=error.message,
        fix=error.fix,
        wait_seconds=error.wait_seconds,
    )


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
