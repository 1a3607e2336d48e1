"""Later pulls: nbgitpuller's merge, on a history that always has a common ancestor."""

from __future__ import annotations

import contextlib
import subprocess
from collections.abc import Iterator
from pathlib import Path

from nbgitpuller.pull import GitPuller

from labext.courses.changes import classify, parse_name_status
from labext.courses.clone import DELIVERED
from labext.courses.engine import Delivery, Pull, Report
from labext.courses.errors import CourseError
from labext.courses.explain import last_words, no_space, remote_error
from labext.courses.git import Git, GitError
from labext.courses.model import Change, Progress
from labext.courses.progress import parse

_IDENTITY = {
    f"GIT_{role}_{part}": value
    for role in ("AUTHOR", "COMMITTER")
    for part, value in (("NAME", "samepage"), ("EMAIL", "samepage@localhost"))
}


def later_pull(pull: Pull, report: Report, proc: Path = Path("/proc")) -> Delivery:
    """Fetch, then merge as nbgitpuller does. Errors: CourseError, GitError.

    nbgitpuller's rules: the student's lines win over the teacher's, deleted files come back, a
    student's untracked file in the way of a new one is renamed.
    """
    git = Git(pull.target, pull.env)
    _clear_locks(pull.target, proc)
    head = git.one("rev-parse", "--verify", "-q", "HEAD^{commit}")
    if head is None:
        raise _damaged(pull.target)
    before = _last_delivered(git, pull.upstream.branch, head)
    tip = _fetch(git, pull, report)
    base, goal = _goal(git, pull, before, head, tip)
    tracking = f"refs/remotes/origin/{pull.upstream.branch}"
    git.read("update-ref", tracking, goal)
    missing = git.names("ls-files", "-z", "--deleted")
    report(Progress(phase="Merging with your files", percent=None))
    puller = _Puller(pull)
    try:
        renamed = puller.run()
    except (subprocess.CalledProcessError, OSError, ValueError) as err:
        raise _merge_failed(git, pull, puller, err) from err
    finally:
        with contextlib.suppress(GitError):
            git.read("update-ref", tracking, tip)
    git.read("update-ref", DELIVERED, goal)
    return Delivery(first=False, changes=_changes(git, base, goal, puller, missing, renamed))


def _last_delivered(git: Git, branch: str, head: str) -> str | None:
    """The upstream commit that the student's work is based on; None when there is none known."""
    for name in (DELIVERED, f"refs/remotes/origin/{branch}"):
        commit = git.one("rev-parse", "--verify", "-q", f"{name}^{{commit}}")
        if commit is not None and git.succeeds("merge-base", "--is-ancestor", commit, head):
            return commit
    return None


def _fetch(git: Git, pull: Pull, report: Report) -> str:
    """Get the branch, also when it was rewritten or is another one than before; its commit."""

    def on_line(line: str) -> None:
        progress = parse(line)
        if progress is not None:
            report(progress)

    fetched = "refs/samepage/fetched"
    try:
        git.follow(
            "fetch",
            "--progress",
            "--no-tags",
            "--no-write-fetch-head",
            "--",
            pull.address.remote,
            f"+refs/heads/{pull.upstream.branch}:{fetched}",
            on_line=on_line,
        )
    except GitError as err:
        raise remote_error(err.text, pull.address) from err
    return git.read("rev-parse", fetched).strip()


def _goal(git: Git, pull: Pull, before: str | None, head: str, tip: str) -> tuple[str, str]:
    """What to merge, and the commit whose files it is to be compared with.

    A teacher who amends and pushes by force leaves no common history, or one that is too old: git
    then refuses, or takes every old line for the student's. So a commit is put between: the new
    files, as the child of both what was delivered last and the new history.
    """
    if before is None:
        common = git.one("merge-base", head, tip)
        if common is None:
            raise CourseError(
                "unrelated_history",
                f"The folder {pull.target.name} and the course have no common history any more; "
                "nothing in it was changed.",
                "Rename the folder, then press Pull: the course comes fresh, and your files stay.",
            )
        return common, tip
    tree = git.read("rev-parse", f"{tip}^{{tree}}").strip()
    if tree == git.read("rev-parse", f"{before}^{{tree}}").strip():
        return before, before
    if git.succeeds("merge-base", "--is-ancestor", before, tip):
        return before, tip
    bridge = Git(pull.target, {**pull.env, **_IDENTITY}).read(
        "commit-tree", tree, "-p", before, "-p", tip, "-m", "Course history was rewritten"
    )
    return before, bridge.strip()


class _Puller(GitPuller):  # type: ignore[misc]  # nbgitpuller has no types
    """nbgitpuller without its own questions to the server: they were asked, with a time limit."""

    def __init__(self, pull: Pull) -> None:
        self._git = Git(pull.target, pull.env)
        self._folder = f"{pull.target}/"
        self.said: list[str] = []
        self.ours: str | None = None
        super().__init__(
            pull.address.remote,
            str(pull.target),
            branch=pull.upstream.branch,
            depth=pull.depth,
        )

    def branch_exists(self, branch: str) -> None:
        """Known already."""

    def update_remotes(self) -> Iterator[str]:
        """Done already, with progress."""
        yield from ()

    def merge(self) -> Iterator[str]:
        """Notes the student's state right before, to tell later what came from whom."""
        self.ours = self._git.one("rev-parse", "HEAD")
        yield from super().merge()

    def run(self) -> list[str]:
        """Pull; the new names of the student's files that were in the way."""
        renamed = []
        for line in self.pull():
            self.said = [*self.said[-30:], line.rstrip("\n")]
            name = self._new_name(line)
            if name is not None:
                renamed.append(name)
        return renamed

    def _new_name(self, line: str) -> str | None:
        start, end = f"Renamed {self._folder}", " to avoid conflict with upstream"
        if not (line.startswith(start) and line.endswith(end)):
            return None
        return line.removesuffix(end).rpartition(f" to {self._folder}")[2]


def _changes(
    git: Git, base: str, goal: str, puller: _Puller, missing: list[str], renamed: list[str]
) -> tuple[Change, ...]:
    def differing(one: str, other: str) -> frozenset[str]:
        return frozenset(git.names("diff", "-z", "--name-only", "--no-renames", one, other))

    taught = parse_name_status(git.names("diff", "-z", "--name-status", "-M", base, goal))
    changes = classify(
        taught,
        merged=differing(puller.ours or base, "HEAD"),
        still_different=differing(goal, "HEAD"),
    )
    told = {change.path for change in changes}
    restored = [
        Change(path=path, kind="new")
        for path in missing
        if path not in told and git.succeeds("cat-file", "-e", f"HEAD:{path}")
    ]
    moved = [Change(path=path, kind="renamed") for path in renamed]
    return (*changes, *restored, *moved)


def _clear_locks(target: Path, proc: Path) -> None:
    """Remove git's lock files, left by a killed server; ours is the only pull.

    Errors: CourseError when a git of the student's is at work in the folder.
    """
    folder = target / ".git"
    locks = [
        *(folder / name for name in ("index.lock", "HEAD.lock", "shallow.lock", "config.lock")),
        folder / "packed-refs.lock",
        *(folder / "refs").rglob("*.lock"),
    ]
    held = [lock for lock in locks if lock.is_file()]
    if held and _git_at_work(target, proc):
        raise CourseError(
            "git_at_work",
            f"git is running in the folder {target.name}, perhaps in one of your terminals.",
            "Finish it there, then press Pull.",
        )
    for lock in held:
        lock.unlink(missing_ok=True)
    index = folder / "index"
    # A machine that lost power can leave it empty; git makes a new one, but does not read this.
    if index.is_file() and index.stat().st_size == 0:
        index.unlink()


def _git_at_work(target: Path, proc: Path) -> bool:
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        with contextlib.suppress(OSError):
            if (entry / "comm").read_text().strip().startswith("git"):
                place = (entry / "cwd").readlink()
                if place == target or place.is_relative_to(target):
                    return True
    return False


def _merge_failed(git: Git, pull: Pull, puller: _Puller, error: Exception) -> CourseError:
    # What the student wrote was committed right before the merge: going back loses nothing.
    if (pull.target / ".git" / "MERGE_HEAD").exists():
        with contextlib.suppress(GitError):
            git.read("merge", "--abort")
    text = "\n".join(puller.said)
    if "no space left on device" in text.lower() or "disk quota exceeded" in text.lower():
        return no_space()
    conflicts = [line for line in puller.said if line.startswith("CONFLICT")]
    said = conflicts[0] if conflicts else last_words(text, pull.address)
    if isinstance(error, OSError):
        said = pull.address.redact(f"{error.strerror or error}: {error.filename}")
    return CourseError(
        "merge_failed",
        f"The course's changes could not be merged with your files in {pull.target.name}; "
        f"your files were kept ({said}).",
        "Rename the folder, then press Pull: the course comes fresh, and your files stay.",
    )


def _damaged(target: Path) -> CourseError:
    return CourseError(
        "damaged_clone",
        f"The git data of the folder {target.name} is damaged; your files were not changed.",
        "Rename the folder, then press Pull: the course comes fresh, and your files stay.",
    )
