"""Finds out from which version of the course a folder came that we did not deliver."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from labext.courses.engine import Pull, Report
from labext.courses.errors import CourseError
from labext.courses.git import Git, GitError
from labext.courses.sync.disk import Disk
from labext.courses.sync.entry import Entry, Tree, entry_of
from labext.courses.sync.fetch import get
from labext.courses.sync.repository import Repository

ADOPTED = "refs/samepage/adopted"
_HISTORY = "refs/samepage/history"
_MOST_COMMITS = 300


def of_clone(
    repository: Repository, target: Path, branch: str, env: Mapping[str, str]
) -> str | None:
    """The course's commit that a clone at `target` was merged with last, now in `repository`.

    Only reads the clone. None: it is none, its git data is damaged, or there is no telling.
    """
    if not (target / ".git").exists():
        return None
    clone = Git(target, {**env, "GIT_CONFIG_GLOBAL": "/dev/null", "GIT_CONFIG_NOSYSTEM": "1"})
    commit = _merged_last(clone, branch)
    if commit is None:
        return None
    try:
        _copy(clone, commit, target, repository, env)
    except (GitError, OSError):
        return None
    return repository.commit(ADOPTED)


def _merged_last(clone: Git, branch: str) -> str | None:
    if clone.one("rev-parse", "--verify", "-q", "HEAD^{commit}") is None:
        return None
    tracking = f"refs/remotes/origin/{branch}"
    heads = ["refs/samepage/delivered", tracking]
    with contextlib.suppress(GitError):
        heads += clone.read("rev-list", "-g", "-n", "100", tracking).split()
    for head in heads:
        commit = clone.one("rev-parse", "--verify", "-q", f"{head}^{{commit}}")
        if commit is not None and clone.succeeds("merge-base", "--is-ancestor", commit, "HEAD"):
            return commit
    return clone.one("merge-base", tracking, "HEAD")


def _copy(
    clone: Git, commit: str, target: Path, repository: Repository, env: Mapping[str, str]
) -> None:
    """Only the files of the one commit: the history of a shallow clone may have holes."""
    names = clone.read("ls-tree", "-r", "-t", "-z", "--full-tree", commit).split("\0")
    blobs = {name.split()[2] for name in names if name and name.split()[1] in ("blob", "tree")}
    wanted = [clone.read("rev-parse", f"{commit}^{{tree}}").strip(), *sorted(blobs)]
    packed = subprocess.run(
        ["git", "pack-objects", "--stdout", "-q"],
        cwd=target,
        env=dict(env),
        input="\n".join(wanted).encode(),
        capture_output=True,
    )
    if packed.returncode != 0:
        raise GitError("pack-objects", packed.returncode, packed.stderr.decode("utf-8", "replace"))
    stored = subprocess.run(
        ["git", "unpack-objects", "-q"],
        cwd=repository.path,
        env={**env, "GIT_DIR": str(repository.path)},
        input=packed.stdout,
        capture_output=True,
    )
    if stored.returncode != 0:
        raise GitError(
            "unpack-objects", stored.returncode, stored.stderr.decode("utf-8", "replace")
        )
    files = repository.tree(wanted[0])
    repository.record(ADOPTED, known=files.items(), message="Found in the student's clone")


@dataclass(frozen=True, kw_only=True)
class Likeness:
    """commit: the course's that the folder has most files of; None: it has not a single one.

    same: how many files are exactly those of `commit`. present: files that have the name of one of
    the newest commit's.
    """

    commit: str | None
    same: int
    present: int


def by_likeness(repository: Repository, pull: Pull, tip: str, report: Report) -> Likeness:
    """Compare the folder with the course's history, by names and hashes only.

    When the server gives no history, with the newest commit only.
    """
    disk = Disk(pull.target)
    tree = repository.tree(tip)
    mine = _files(disk, tree)
    same = _score(mine, tree)
    best = tip if same else None
    # One file of an older version, or none at all, is worth a look further back.
    if same < len(mine) or not mine:
        commit, score = _in_history(repository, pull, disk, report, same)
        if commit is not None:
            best, same = commit, score
    return Likeness(commit=best, same=same, present=len(mine))


def _in_history(
    repository: Repository, pull: Pull, disk: Disk, report: Report, most: int
) -> tuple[str | None, int]:
    past = Repository(repository.path.with_name(f"{repository.path.name}.history"), pull.env)
    try:
        past.set_aside()
        past.prepare()
        options = (f"--depth={_MOST_COMMITS}", "--filter=blob:none")
        get(past, pull, report, f"+{pull.upstream.ref}:{_HISTORY}", *options)
        best = None
        seen: dict[str, Entry | None] = {}
        for commit in past.git.read("rev-list", _HISTORY).split():
            tree = past.tree(commit)
            for path in tree:
                if path not in seen:
                    seen[path] = _entry(disk, path)
            score = _score({p: e for p, e in seen.items() if e is not None}, tree)
            if score > most:
                best, most = commit, score
        if best is None:
            return None, 0
        get(repository, pull, report, f"+{best}:{ADOPTED}", "--depth=1")
        return repository.commit(ADOPTED), most
    except (CourseError, GitError, OSError):
        return None, 0
    finally:
        for left in (past.path, past.path.with_name(f"{past.path.name}.damaged")):
            shutil.rmtree(left, ignore_errors=True)


def _files(disk: Disk, tree: Tree) -> Tree:
    found = {path: _entry(disk, path) for path in tree}
    return {path: entry for path, entry in found.items() if entry is not None}


def _entry(disk: Disk, path: str) -> Entry | None:
    try:
        return entry_of(disk.place(path)) if disk.blocker(path) is None else None
    except OSError:
        return None


def _score(mine: Tree, tree: Tree) -> int:
    return sum(1 for path, entry in tree.items() if path in mine and mine[path].blob == entry.blob)
