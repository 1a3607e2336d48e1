"""The repositories that a course is made of: its own, and those of its submodules."""

from __future__ import annotations

import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from urllib.parse import urlsplit

from labext.courses import gitenv
from labext.courses.access import may_have_secret
from labext.courses.address import Address, AddressError, parse
from labext.courses.engine import Pull, Report
from labext.courses.errors import CourseError
from labext.courses.git import GitError
from labext.courses.model import Progress
from labext.courses.sync.entry import LINK, Tree
from labext.courses.sync.fetch import get
from labext.courses.sync.partial import bring
from labext.courses.sync.repository import Repository

SUBMODULES = "refs/samepage/submodules/"
_DEEPEST = 5
_MOST = 50
_MODULES = ".gitmodules"


@dataclass(frozen=True, kw_only=True)
class Part:
    """The files of one repository, below `prefix` (empty, or ending in a slash) of the course.

    env: for git to talk to `address`. tree: paths as the course has them.
    """

    prefix: str
    address: Address
    env: dict[str, str]
    tree: Tree


@dataclass(kw_only=True)
class Parts:
    """found: the course's own part first. lacking: folder of a submodule -> why it is not there.

    again: whether another try may bring what lacks. used: references that are needed on.
    """

    found: list[Part]
    lacking: dict[str, str]
    again: bool = False
    used: set[str]


def collect(
    repository: Repository,
    pull: Pull,
    tip: str,
    wanted: Callable[[str], bool],
    report: Report,
) -> Parts:
    """`tip` with its submodules, as deep as they go; fetches what is not there.

    wanted: whether anything at or below a folder is asked for. Errors: GitError: our repository
    is damaged.
    """
    own = Part(prefix="", address=pull.address, env=pull.env, tree=repository.tree(tip))
    parts = Parts(found=[own], lacking={}, used=set())
    if pull.rules.submodules:
        _descend(repository, pull, parts, own, tip, wanted, report, depth=1)
        for name in _references(repository):
            if name not in parts.used:
                repository.forget(name)
    else:
        for path in repository.submodules(tip):
            if wanted(path):
                parts.lacking[path] = "another repository (a submodule)"
    return parts


def _descend(
    repository: Repository,
    pull: Pull,
    parts: Parts,
    within: Part,
    commit: str,
    wanted: Callable[[str], bool],
    report: Report,
    *,
    depth: int,
) -> None:
    links = [
        (path, pin) for path, pin in repository.gitlinks(commit) if wanted(within.prefix + path)
    ]
    if not links:
        return
    addresses = _addresses(repository, pull, within)
    for path, pin in links:
        place = within.prefix + path
        if depth > _DEEPEST or len(parts.used) >= _MOST:
            parts.lacking[place] = "submodules are nested too deeply, or too many"
            continue
        try:
            address = _address(pull, within.address, addresses.get(path))
            env = _env(pull, address)
            parts.used.add(f"{SUBMODULES}{pin}")
            _fetch(repository, pull, address, env, pin, report)
        except CourseError as err:
            parts.lacking[place] = err.message.rstrip(".")
            parts.again = True
            continue
        except AddressError as err:
            parts.lacking[place] = f"its address cannot be used: {err}"
            continue
        tree = {f"{place}/{name}": entry for name, entry in repository.tree(pin).items()}
        part = Part(prefix=f"{place}/", address=address, env=env, tree=tree)
        parts.found.append(part)
        _descend(repository, pull, parts, part, pin, wanted, report, depth=depth + 1)


def _addresses(repository: Repository, pull: Pull, part: Part) -> dict[str, str]:
    """The address of each path, as `.gitmodules` has it; none when it cannot be read."""
    entry = part.tree.get(f"{part.prefix}{_MODULES}")
    if entry is None or entry.mode == LINK:
        return {}
    try:
        bring(repository, pull, [entry.blob], _silent)
        listing = repository.git.read("config", "--blob", entry.blob, "--null", "--list")
    except (GitError, CourseError):
        return {}
    paths: dict[str, str] = {}
    urls: dict[str, str] = {}
    for item in listing.split("\0"):
        key, _, value = item.partition("\n")
        if key.startswith("submodule.") and key.endswith(".path"):
            paths[key[:-5]] = value
        elif key.startswith("submodule.") and key.endswith(".url"):
            urls[key[:-4]] = value
    return {path: urls[name] for name, path in paths.items() if name in urls}


def _silent(progress: Progress) -> None:
    pass


def _address(pull: Pull, within: Address, url: str | None) -> Address:
    """Errors: AddressError."""
    if url is None:
        raise AddressError("the course names none")
    address = parse(absolute(within.remote, url))
    if address.remote.startswith("file:") and not pull.address.remote.startswith("file:"):
        raise AddressError("it is a folder of this machine")
    if address.authorization is None and may_have_secret(pull.address, address, pull.rules.auth):
        address = replace(
            address, authorization=pull.address.authorization, secrets=pull.address.secrets
        )
    return address


def absolute(remote: str, url: str) -> str:
    """`url` of a submodule, which may be relative to the `remote` it is in. Pure."""
    if not url.startswith(("./", "../")):
        return url
    parts = urlsplit(remote)
    path = posixpath.normpath(posixpath.join(parts.path.rstrip("/") or "/", url))
    return parts._replace(path=path, query="").geturl() if parts.netloc else f"file://{path}"


def _env(pull: Pull, address: Address) -> dict[str, str]:
    allowed = may_have_secret(pull.address, address, pull.rules.auth)
    return gitenv.for_another(pull.env, address, pull.target, pull.rules.auth if allowed else None)


def _fetch(
    repository: Repository,
    pull: Pull,
    address: Address,
    env: dict[str, str],
    pin: str,
    report: Report,
) -> None:
    """Make the commit `pin` of a submodule be there. Errors: CourseError, GitError."""
    name = f"{SUBMODULES}{pin}"
    if repository.commit(name) == pin:
        return
    there = Repository(repository.path, env)
    asked = replace(pull, address=address, env=env)
    try:
        get(there, asked, report, f"+{pin}:{name}", "--depth=1")
    except CourseError as err:
        if err.code != "git_failed":
            raise
        # A server that gives out branches only.
        get(there, asked, report, f"+refs/heads/*:{SUBMODULES}{pin}-heads/*", "--no-filter")
        if not repository.git.succeeds("cat-file", "-e", f"{pin}^{{commit}}"):
            raise
        repository.point(name, pin)
        for head in _references(repository):
            if head.startswith(f"{SUBMODULES}{pin}-heads/"):
                repository.forget(head)


def _references(repository: Repository) -> Iterator[str]:
    text = repository.git.read("for-each-ref", "--format=%(refname)", SUBMODULES)
    yield from text.splitlines()
