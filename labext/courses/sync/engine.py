"""The engine that keeps the course's git data out of the student's folder."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from labext.courses.engine import Delivery, Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import no_space
from labext.courses.folder import NO_CONTENT, content
from labext.courses.git import Git, GitError
from labext.courses.model import Change, Progress
from labext.courses.store import Store
from labext.courses.sync import adopt
from labext.courses.sync.damage import is_damage, is_full
from labext.courses.sync.disk import Disk
from labext.courses.sync.fetch import fetch
from labext.courses.sync.journal import (
    Journal,
    Reached,
    end_journal,
    read_journal,
    read_reached,
    write_reached,
)
from labext.courses.sync.mergefile import merge_file
from labext.courses.sync.partial import bring
from labext.courses.sync.plan import Plan, Sides, make
from labext.courses.sync.repository import BASE, Repository
from labext.courses.sync.seal import seal
from labext.courses.sync.transaction import carry_out, keep, settle, snapshot_name
from labext.courses.sync.view import View, is_current, make_view
from labext.courses.workshop import sweep, workshop

_ATTEMPTS = 3


def repository_of(state_dir: Path, target: Path) -> Path:
    """Where the private repository of the course folder `target` is."""
    return Store(folder=state_dir, target=target).path(".git")


@dataclass(frozen=True, kw_only=True)
class _Start:
    """From where a pull begins; `adopting` see Sides."""

    base: str | None
    adopting: bool


class StateEngine:
    """See `Engine`. state_dir: where private repositories are."""

    def __init__(self, state_dir: Path, clock: Callable[[], float] = time.time) -> None:
        self._state_dir = state_dir
        self._clock = clock
        self._recovered: tuple[Change, ...] = ()

    def recover(self, target: Path, env: dict[str, str]) -> None:
        """Bring a pull that was killed to its end; also without a network. Errors: OSError."""
        repository = Repository(repository_of(self._state_dir, target), env)
        journal = read_journal(repository.path)
        self._recovered = ()
        if target.is_dir():
            sweep(target)
        if journal is None:
            end_journal(repository.path)
            return
        try:
            if target.is_dir():
                repository.prepare()
                carry_out(repository, target, journal)
                self._recovered = journal.changes
        except (GitError, CourseError):
            pass  # nothing is half: each file is the old or the new one, and the pull sees which
        end_journal(repository.path)

    def has_copy(self, target: Path) -> bool:
        """Whether the course has been delivered to `target`."""
        path = repository_of(self._state_dir, target)
        # A clone that was not taken over yet is one too.
        return target.is_dir() and (read_reached(path) is not None or (target / ".git").exists())

    def pull(self, pull: Pull, report: Report) -> Delivery:
        """Deliver. Errors: CourseError, GitError, OSError; nothing is half then."""
        repository = Repository(repository_of(self._state_dir, pull.target), pull.env)
        try:
            return self._pull(repository, pull, report)
        except GitError as err:
            if is_full(err.text):
                raise no_space() from err
            if not is_damage(err.text):
                raise
            # What is known of the folder is lost, not what is in it: as if it were a strange one.
            repository.set_aside()
            return self._pull(repository, pull, report)

    def _pull(self, repository: Repository, pull: Pull, report: Report) -> Delivery:
        repository.prepare()
        reached = read_reached(repository.path)
        target = pull.target
        there = target.exists()
        if there and not target.is_dir():
            raise _is_a_file(target)
        known = repository.commit(BASE) if reached is not None else None
        if there and known is not None and reached is not None:
            if pull.upstream.commit == reached.skip:
                return Delivery(first=False, changes=(), note=_SENT_BACK)
            current = is_current(reached.view, pull.rules, pull.now)
            if pull.upstream.commit == reached.commit and not reached.held and current:
                view = View(commit=known, signature=reached.view)
                return self._deliver(repository, pull, view, _Start(base=known, adopting=False))
        tip = fetch(repository, pull, report)
        if not there:
            view = make_view(repository, pull, tip, {}, report)
            return self._first(repository, pull, view, report)
        if known is not None:
            _refuse_stranger(repository, pull, reached, known, tip)
            start = _Start(base=known, adopting=False)
        else:
            start = self._adopt(repository, pull, tip, report)
        delivered = {} if start.base is None else repository.tree(start.base)
        if start.adopting:
            bring(repository, pull, [entry.blob for entry in delivered.values()], report)
        view = make_view(repository, pull, tip, delivered, report)
        report(Progress(phase="Merging with your files", percent=None))
        return self._deliver(repository, pull, view, start)

    def _first(self, repository: Repository, pull: Pull, view: View, report: Report) -> Delivery:
        """The folder appears whole, or not at all."""
        target = pull.target
        report(Progress(phase="Preparing the folder", percent=None))
        files = repository.tree(view.commit)
        target.parent.mkdir(parents=True, exist_ok=True)
        with workshop(target.parent, target.name) as shop:
            fresh = shop / "fresh"
            fresh.mkdir()
            repository.check_out(files, fresh)
            seal(Disk(fresh), files, pull.rules.readonly)
            repository.point(BASE, view.commit)
            write_reached(repository.path, _reached(pull, view))
            fresh.rename(target)
        changes = tuple(Change(path=path, kind="new") for path in sorted(files))
        return Delivery(first=True, changes=changes, note=view.note)

    def _adopt(self, repository: Repository, pull: Pull, tip: str, report: Report) -> _Start:
        target = pull.target
        if all(entry.name in NO_CONTENT for entry in content(target)):
            return _Start(base=None, adopting=False)
        report(Progress(phase="Looking at the folder that is there", percent=None))
        origin = _origin(pull)
        if origin is None or pull.address.same_repository(origin):
            base = adopt.of_clone(repository, target, pull.upstream.branch, pull.env)
            if base is not None:
                return _Start(base=base, adopting=True)
        likeness = adopt.by_likeness(repository, pull, tip, report)
        other = origin is not None and not pull.address.same_repository(origin)
        # A project of the student's, or this course at another address: its files tell.
        if other and 2 * likeness.same < max(1, likeness.present):
            raise _occupied_by(pull, pull.address.redact(str(origin)))
        return _Start(base=likeness.commit, adopting=True)

    def _deliver(self, repository: Repository, pull: Pull, view: View, start: _Start) -> Delivery:
        """Plan and do, again for what the student changed in between."""
        tip = view.commit
        theirs = repository.tree(tip)
        base = {} if start.base is None else theirs
        if start.base not in (None, tip):
            base = repository.tree(str(start.base))
        renamed = [] if start.base in (None, tip) else repository.renamed(str(start.base), tip)
        changes = {change.path: change for change in self._recovered}
        held: frozenset[str] = frozenset()
        first = start.base is None and not start.adopting
        commit = start.base
        disk = Disk(pull.target, now=self._clock)
        for attempt in range(_ATTEMPTS):
            sides = Sides(
                base=base,
                theirs=theirs,
                renamed=renamed if attempt == 0 else [],
                adopting=start.adopting,
                deferred=pull.deferred,
                readonly=pull.rules.readonly,
                keep_deleted=pull.rules.deleted == "keep" and any(map(disk.exists, base)),
            )
            with repository.blobs() as read:
                plan = make(sides, disk, read, merge_file)
            held = self._do(repository, pull, plan, commit, view)
            for change in plan.changes:
                if change.path not in held:
                    changes[change.path] = change
            if held <= pull.deferred:
                break
            base = repository.tree(BASE)
            commit = repository.commit(BASE)
        if pull.rules.readonly:
            seal(disk, theirs, pull.rules.readonly)
        repository.tidy()
        return Delivery(
            first=first,
            changes=tuple(changes[path] for path in sorted(changes)),
            note=_held_note(held) or view.note,
            waiting=tuple(sorted(held)),
        )

    def _do(
        self,
        repository: Repository,
        pull: Pull,
        plan: Plan,
        base: str | None,
        view: View,
    ) -> frozenset[str]:
        goal, tip = _reached(pull, view), view.commit
        if not plan.ops:
            held = frozenset(plan.held)
            settle(repository, base, tip, held, goal)
            return held
        journal = Journal(
            ops=tuple(plan.ops),
            base=base,
            goal=tip,
            reached=goal,
            before=read_reached(repository.path),
            snapshot=snapshot_name(self._clock(), repository.snapshots()),
            changes=tuple(plan.changes),
            held=tuple(sorted(plan.held)),
        )
        keep(repository, journal, seen=plan.seen, fresh=plan.fresh)
        return carry_out(repository, pull.target, journal)


_SENT_BACK = "You sent the last update back; the next one will come."


def _reached(pull: Pull, view: View) -> Reached:
    return Reached(
        url=pull.address.shown,
        branch=pull.upstream.branch,
        commit=pull.upstream.commit,
        seen_at=pull.seen_at,
        view=view.signature,
    )


def _refuse_stranger(
    repository: Repository, pull: Pull, reached: Reached | None, base: str, tip: str
) -> None:
    """Another address may be the same course moved; a folder that it shares nothing with is not."""
    if reached is None or pull.address.same_repository(reached.url):
        return
    one, other = repository.tree(base), repository.tree(tip)
    if one and not {entry.blob for entry in one.values()} & {e.blob for e in other.values()}:
        raise _occupied_by(pull, reached.url)


def _origin(pull: Pull) -> str | None:
    """Of what the folder is a repository or a clone; None when it is neither."""
    if not (pull.target / ".git").exists():
        return None
    git = Git(pull.target, pull.env)
    origin = git.one("config", "--get", "remote.origin.url")
    if origin is None and git.one("rev-parse", "--verify", "-q", "HEAD^{commit}") is not None:
        return "a repository of your own"
    return origin


def _occupied_by(pull: Pull, shown: str) -> CourseError:
    what = shown if shown.startswith("a repository") else f"a copy of {shown}"
    return CourseError(
        "folder_occupied",
        f"The folder {pull.target.name} is {what}, not of {pull.address.shown}; "
        "nothing in it was changed.",
        "Rename the folder, then press Pull: the course comes fresh, and your files stay.",
    )


def _is_a_file(target: Path) -> CourseError:
    return CourseError(
        "folder_occupied",
        f"The folder {target.name} is a file; nothing in it was changed.",
        "Rename it, then press Pull: the course comes fresh, and your file stays.",
    )


def _held_note(held: frozenset[str]) -> str | None:
    if not held:
        return None
    first = min(held)
    more = f" and {len(held) - 1} more" if len(held) > 1 else ""
    return f"{first}{more} could not be updated now and will be tried again."
