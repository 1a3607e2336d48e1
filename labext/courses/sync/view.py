"""The files of a course that a student gets now: by what the operator asked for, and the time."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from labext.courses.engine import Pull, Report
from labext.courses.rules import Rules, Window, below
from labext.courses.sync import large
from labext.courses.sync.entry import LINK, Entry, Tree, blob_name
from labext.courses.sync.partial import bring
from labext.courses.sync.parts import Part, collect
from labext.courses.sync.repository import Repository

COURSE = "refs/samepage/course"
_INCOMPLETE = "incomplete"
_NO_LFS = " without git-lfs"


@dataclass(frozen=True, kw_only=True)
class View:
    """commit: whose files are delivered. note: a sentence on what is not among them.

    signature: remembered with what was reached: another one, and it has to be looked at again.
    """

    commit: str
    signature: str
    note: str | None = None


def is_current(signature: str, rules: Rules, now: float) -> bool:
    """Whether of the same commit the same files would be delivered again."""
    plain = rules.signature(now)
    return signature == plain or (signature == f"{plain}{_NO_LFS}" and not large.available())


def make_view(
    repository: Repository, pull: Pull, tip: str, delivered: Tree, report: Report
) -> View:
    """What to deliver of `tip` to a folder that has `delivered`. Fetches what that needs.

    Errors: CourseError, GitError.
    """
    rules = pull.rules
    parts = collect(repository, pull, tip, lambda path: _touches(rules.include, path), report)
    raw = parts.found[0].tree
    chosen = [_chosen(part, rules, pull.now) for part in parts.found]
    # Of submodules everything is there.
    bring(repository, pull, [entry.blob for entry in chosen[0].values()], report)
    files: Tree = {}
    lacking = dict(parts.lacking)
    again = parts.again
    able, without_lfs = large.available(), False
    for part, tree in zip(parts.found, chosen, strict=True):
        files.update(tree)
        if not rules.lfs:
            continue
        found = large.contents(repository, part, tree, ask=able, report=report)
        files.update(found.tree)
        for path in found.lacking:
            del files[path]
        lacking.update(found.lacking)
        again = again or found.again
        without_lfs = without_lfs or (bool(found.lacking) and not able)
    links = {
        item.path: item.link
        for item in rules.readonly
        if item.link is not None and not _frozen(item.path, rules.release, pull.now)
    }
    files = {p: e for p, e in files.items() if not any(below(p, folder) for folder in links)}
    kept = {
        path: entry
        for path, entry in delivered.items()
        if path not in files and _stays(path, rules, pull.now, lacking, links)
    }
    files.update(kept)
    told = _Told(lacking=lacking, again=again, without_lfs=without_lfs)
    return _recorded(repository, pull, tip, raw, files, links, told)


@dataclass(frozen=True, kw_only=True)
class _Told:
    lacking: dict[str, str]
    again: bool
    without_lfs: bool

    def note(self) -> str | None:
        if not self.lacking:
            return None
        first = min(self.lacking)
        more = f" and {len(self.lacking) - 1} more" if len(self.lacking) > 1 else ""
        return f"Not included: {first}{more}: {self.lacking[first]}."

    def signature(self, plain: str) -> str:
        if self.again:
            return _INCOMPLETE
        return f"{plain}{_NO_LFS}" if self.without_lfs else plain


def _recorded(
    repository: Repository,
    pull: Pull,
    tip: str,
    raw: Tree,
    files: Tree,
    links: dict[str, str],
    told: _Told,
) -> View:
    commit = tip
    fresh = {path: Entry(mode=LINK, blob=blob_name(to.encode())) for path, to in links.items()}
    if {**files, **fresh} != raw:
        repository.record(
            COURSE,
            known=sorted(files.items()),
            fresh=[(path, LINK, to.encode()) for path, to in links.items()],
            message=f"What is delivered of {tip}",
        )
        commit = repository.commit(COURSE) or tip
    return View(
        commit=commit,
        signature=told.signature(pull.rules.signature(pull.now)),
        note=told.note(),
    )


def _chosen(part: Part, rules: Rules, now: float) -> Tree:
    """The files of a part that are included and may be updated now."""
    return {
        path: entry
        for path, entry in part.tree.items()
        if _included(rules.include, path) and not _frozen(path, rules.release, now)
    }


def _stays(
    path: str, rules: Rules, now: float, lacking: dict[str, str], links: dict[str, str]
) -> bool:
    """Whether a delivered file, which is not in what is delivered now, is not taken away."""
    if not _included(rules.include, path) or any(below(path, folder) for folder in links):
        return False
    return _frozen(path, rules.release, now) or any(below(path, folder) for folder in lacking)


def _included(include: Sequence[str], path: str) -> bool:
    return not include or any(below(path, wanted) for wanted in include)


def _touches(include: Sequence[str], folder: str) -> bool:
    """Whether something at, below or above `folder` is included."""
    return not include or any(below(folder, path) or below(path, folder) for path in include)


def _frozen(path: str, windows: Sequence[Window], now: float) -> bool:
    """Whether `path` is not updated now: the longest of the windows that it is in decides."""
    inside = [window for window in windows if below(path, window.path)]
    if not inside:
        return False
    longest = max(len(window.path) for window in inside)
    return not any(w.is_open(now) for w in inside if len(w.path) == longest)
