"""Asks the git server what there is, before anything on disk is touched."""

from __future__ import annotations

import time
from dataclasses import dataclass

from labext.courses.address import Address
from labext.courses.errors import CourseError
from labext.courses.explain import remote_error, unreachable
from labext.courses.git import Git, GitError, GitTimeoutError
from labext.courses.throttle import seconds_asked, throttled, without_trace

_USUAL = ("main", "master")


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A branch (or tag) of the course's repository and the commit (or tag object) it is at.

    ref: its full name on the server; it may have another name than was asked for.
    """

    branch: str
    commit: str
    ref: str


def look(git: Git, address: Address, branch: str | None, timeout_seconds: float) -> Upstream:
    """Where the course is now. Blocks for up to `timeout_seconds`.

    branch None: the repository's default one. A branch that was renamed from `master` to `main`, or
    back, is followed; a tag is taken as a branch that stands still. Errors:
    CourseError, offline when the server does not answer.
    """
    wanted = [f"refs/heads/{name}" for name in _USUAL]
    if branch is None:
        wanted.append("HEAD")
    else:
        wanted += [f"refs/heads/{branch}", f"refs/tags/{branch}"]
    try:
        text = git.read(
            "ls-remote", "--symref", "--", address.remote, *wanted, timeout=timeout_seconds
        )
    except GitTimeoutError as err:
        raise unreachable(address, f"no answer within {timeout_seconds:g} s") from err
    except GitError as err:
        seconds = seconds_asked(err.text, time.time())
        if seconds is not None:
            raise throttled(address, seconds) from None
        # `from None`: the headers among git's words are nobody's business.
        raise remote_error(without_trace(err.text), address) from None
    return choose(text, address, branch)


def choose(text: str, address: Address, branch: str | None) -> Upstream:
    """The branch in the output of `git ls-remote --symref`. Errors: CourseError. Pure."""
    commits: dict[str, str] = {}
    default: str | None = None
    for line in text.splitlines():
        value, _, name = line.partition("\t")
        if value.startswith("ref: ") and name == "HEAD":
            default = value.removeprefix("ref: ").removeprefix("refs/heads/")
        else:
            commits[name] = value
    if branch is None and default is not None and "HEAD" in commits:
        return Upstream(branch=default, commit=commits["HEAD"], ref=f"refs/heads/{default}")
    names = [f"refs/heads/{branch}", f"refs/tags/{branch}"]
    if branch is None or branch in _USUAL:
        names += [f"refs/heads/{name}" for name in _USUAL]
    for name in names:
        if name in commits:
            short = name.removeprefix("refs/heads/").removeprefix("refs/tags/")
            return Upstream(branch=short, commit=commits[name], ref=name)
    if branch is None:
        raise CourseError(
            "no_default_branch",
            f"The repository {address.shown} has no default branch, or no commits yet.",
            "Ask your teacher to push the course, or your operator to name its branch.",
        )
    raise CourseError(
        "branch_not_found",
        f"The repository {address.shown} has no branch {branch!r}.",
        "Tell your teacher or operator: the branch may have been renamed.",
    )
