"""Asks the git server what there is, before anything on disk is touched."""

from __future__ import annotations

from dataclasses import dataclass

from labext.courses.address import Address
from labext.courses.errors import CourseError
from labext.courses.explain import remote_error, unreachable
from labext.courses.git import Git, GitError, GitTimeoutError


@dataclass(frozen=True, kw_only=True)
class Upstream:
    """A branch of the course's repository and the commit it is at."""

    branch: str
    commit: str


def look(git: Git, address: Address, branch: str | None, timeout_seconds: float) -> Upstream:
    """Where the course is now. Blocks for up to `timeout_seconds`.

    branch None: the repository's default one. Errors: CourseError, offline when the server does
    not answer.
    """
    wanted = ["HEAD"] if branch is None else [f"refs/heads/{branch}", f"refs/tags/{branch}"]
    try:
        text = git.read(
            "ls-remote", "--symref", "--", address.remote, *wanted, timeout=timeout_seconds
        )
    except GitTimeoutError as err:
        raise unreachable(address, f"no answer within {timeout_seconds:g} s") from err
    except GitError as err:
        raise remote_error(err.text, address) from err
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
    if branch is None:
        if default is not None and "HEAD" in commits:
            return Upstream(branch=default, commit=commits["HEAD"])
        raise CourseError(
            "no_default_branch",
            f"The repository {address.shown} has no default branch, or no commits yet.",
            "Ask your teacher to push the course, or your operator to name its branch.",
        )
    commit = commits.get(f"refs/heads/{branch}")
    if commit is not None:
        return Upstream(branch=branch, commit=commit)
    if f"refs/tags/{branch}" in commits:
        raise CourseError(
            "branch_is_tag",
            f"{branch!r} is a tag of {address.shown}; a course follows a branch.",
            "Ask your operator to name a branch for this course.",
        )
    raise CourseError(
        "branch_not_found",
        f"The repository {address.shown} has no branch {branch!r}.",
        "Tell your teacher or operator: the branch may have been renamed.",
    )
