"""Git LFS: the content that a pointer in the repository stands for, through git-lfs."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import shutil
import subprocess
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from labext.courses import gitenv
from labext.courses.engine import Report
from labext.courses.errors import CourseError
from labext.courses.explain import last_words, no_space
from labext.courses.git import GitError
from labext.courses.model import Progress
from labext.courses.sync.entry import LINK, Entry, Tree
from labext.courses.sync.journal import write_whole
from labext.courses.sync.parts import Part
from labext.courses.sync.repository import Repository

_MEMORY = "samepage-lfs.json"
_LONGEST_POINTER = 1024
_POINTER = re.compile(
    rb"version https://(?:git-lfs\.github\.com|hawser\.github\.com)/spec/v1\n"
    rb"(?:ext-\d[^\n]*\n)*oid sha256:(?P<oid>[0-9a-f]{64})\nsize (?P<size>\d{1,15})\n?"
)
_CHUNK = 1 << 20
# Its own patience, of minutes, is at the cost of the other files; the next pull tries again.
_LFS = {"lfs.transfer.maxretries": "2", "lfs.transfer.maxretrydelay": "1"}


@dataclass(frozen=True, kw_only=True)
class Pointer:
    """oid: SHA-256 of the content. size: its bytes."""

    oid: str
    size: int


@dataclass(frozen=True, kw_only=True)
class Contents:
    """tree: the contents' entries by path. lacking: path -> why its content is not there.

    again: whether another try may bring them.
    """

    tree: Tree
    lacking: dict[str, str]
    again: bool = False


def pointer_of(content: bytes) -> Pointer | None:
    """The pointer in a file's content; None: it is an ordinary file. Pure. Source: LFS spec v1."""
    found = _POINTER.fullmatch(content)
    return None if found is None else Pointer(oid=found["oid"].decode(), size=int(found["size"]))


def available() -> bool:
    """Whether git-lfs is installed."""
    return shutil.which("git-lfs") is not None


def contents(
    repository: Repository, part: Part, tree: Tree, *, ask: bool, report: Report
) -> Contents:
    """What the pointers among the files of `tree`, all of `part`, stand for.

    ask: whether git-lfs may be used. Errors: CourseError when the disk is full, GitError.
    """
    pointers = _pointers(repository, part, tree)
    if not pointers:
        return Contents(tree={}, lacking={})
    known = _recall(repository, {entry.blob for entry in tree.values()})
    found: Tree = {}
    lacking: dict[str, str] = {}
    again = False
    if sum(p.size for path, p in pointers.items() if tree[path].blob not in known) > _room(
        repository.path
    ):
        raise no_space()
    try:
        for number, (path, pointer) in enumerate(pointers.items()):
            entry = tree[path]
            if entry.blob not in known:
                if not ask:
                    lacking[path] = "a large file, which needs git-lfs on this server"
                    continue
                percent = 100 * number // len(pointers)
                report(Progress(phase="Getting large files", percent=percent))
                try:
                    known[entry.blob] = _download(repository, part, entry.blob, pointer)
                except CourseError as err:
                    lacking[path] = err.message
                    again = True
                    continue
            found[path] = Entry(mode=entry.mode, blob=known[entry.blob])
    finally:
        shutil.rmtree(repository.path / "lfs", ignore_errors=True)
        _remember(repository, {tree[path].blob: known[tree[path].blob] for path in found})
    return Contents(tree=found, lacking=lacking, again=again)


def _pointers(repository: Repository, part: Part, tree: Tree) -> dict[str, Pointer]:
    with repository.blobs() as read:
        if not _uses_lfs(part.tree, read):
            return {}
        small = _small(repository, {e.blob for e in tree.values() if e.mode != LINK})
        found = {
            path: pointer_of(read(entry.blob))
            for path, entry in tree.items()
            if entry.mode != LINK and entry.blob in small
        }
    return {path: pointer for path, pointer in found.items() if pointer is not None}


def _uses_lfs(tree: Tree, read: Callable[[str], bytes]) -> bool:
    for path, entry in tree.items():
        if path.rpartition("/")[2] == ".gitattributes" and entry.mode != LINK:
            with contextlib.suppress(GitError):
                if b"filter=lfs" in read(entry.blob):
                    return True
    return False


def _small(repository: Repository, blobs: set[str]) -> set[str]:
    sizes = _check(repository, blobs, "%(objectname) %(objectsize)")
    return {line[0] for line in sizes if len(line) == 2 and int(line[1]) <= _LONGEST_POINTER}


def _check(repository: Repository, blobs: Iterable[str], form: str) -> list[list[str]]:
    done = subprocess.run(
        ["git", "cat-file", f"--batch-check={form}", "--buffer"],
        cwd=repository.path,
        env=repository.local_env,
        input="".join(f"{blob}\n" for blob in blobs).encode(),
        capture_output=True,
    )
    if done.returncode != 0:
        raise GitError("cat-file", done.returncode, done.stderr.decode("utf-8", "replace").strip())
    return [
        line.split() for line in done.stdout.decode().splitlines() if not line.endswith("missing")
    ]


def _room(folder: Path) -> int:
    # It is there twice: as git-lfs brings it, and as git keeps it.
    return shutil.disk_usage(folder).free // 2


def _download(repository: Repository, part: Part, blob: str, pointer: Pointer) -> str:
    """The blob of the content. Errors: CourseError, GitError."""
    with repository.blobs() as read:
        text = read(blob)
    env = gitenv.with_config(part.env, {"remote.origin.url": part.address.remote, **_LFS})
    fresh = repository.path / "samepage-large.new"
    try:
        with fresh.open("wb") as stream:
            done = subprocess.run(
                ["git", "lfs", "smudge"],
                cwd=repository.path,
                env={**env, "GIT_DIR": str(repository.path)},
                input=text,
                stdout=stream,
                stderr=subprocess.PIPE,
            )
        if done.returncode != 0 or not _is(fresh, pointer):
            said = done.stderr.decode("utf-8", "replace")
            if "no space left" in said.lower() or "quota exceeded" in said.lower():
                raise no_space()
            words = last_words(said, part.address) if said.strip() else "its content is not right"
            raise CourseError("large_file", f"a large file, which could not be fetched ({words})")
        return repository.git.read("hash-object", "-w", "--no-filters", "--", str(fresh)).strip()
    finally:
        fresh.unlink(missing_ok=True)


def _is(file: Path, pointer: Pointer) -> bool:
    if file.stat().st_size != pointer.size:
        return False
    digest = hashlib.sha256()
    with file.open("rb") as stream:
        while chunk := stream.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest() == pointer.oid


def _recall(repository: Repository, blobs: set[str]) -> dict[str, str]:
    """Content by pointer, both blobs, of what is still there."""
    try:
        value = json.loads((repository.path / _MEMORY).read_text())
        pairs = {str(old): str(new) for old, new in value.items() if old in blobs}
    except (OSError, ValueError, AttributeError):
        return {}
    there = {line[0] for line in _check(repository, pairs.values(), "%(objectname)")}
    return {old: new for old, new in pairs.items() if new in there}


def _remember(repository: Repository, pairs: dict[str, str]) -> None:
    file = repository.path / _MEMORY
    old: dict[str, str] = {}
    with contextlib.suppress(OSError, ValueError, AttributeError):
        old = dict(json.loads(file.read_text()).items())
    if not pairs.items() <= old.items():
        with contextlib.suppress(OSError):
            write_whole(file, json.dumps({**old, **pairs}))
