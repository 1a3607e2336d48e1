"""The private git repository of one course folder: outside it, and nobody else's business."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from labext.courses.git import Git, GitError
from labext.courses.sync.entry import EXECUTABLE, FILE, LINK, Entry, Tree

BASE = "refs/samepage/base"
UPSTREAM = "refs/samepage/upstream"
SNAPSHOTS = "refs/samepage/snapshots/"
# What had been delivered when a snapshot was made: nothing else may lead to it any more.
BASES = "refs/samepage/bases/"
_MOST_PACKS = 40
_MOST_LISTINGS = 4
_OBJECT = re.compile(r"[0-9a-f]{40}")
# Highest of all attribute files: no line end, filter or merge driver of a course's own counts.
_ATTRIBUTES = "* -text -ident -filter -working-tree-encoding -merge -diff -export-subst\n"
_WHO = "Samepage <samepage@localhost>"


@dataclass(frozen=True, kw_only=True)
class Renamed:
    """A file that the course gave another name."""

    old: str
    new: str


class Repository:
    """Bare, at `path`; `env` is git's environment for a course (see gitenv)."""

    def __init__(self, path: Path, env: Mapping[str, str]) -> None:
        self.path = path
        private = {
            **env,
            "GIT_DIR": str(path),
            "GIT_NO_REPLACE_OBJECTS": "1",
        }
        self.network_env = private
        self.network = Git(path, private)
        # No transport: of a partial clone git would fetch what is missing, whenever it likes.
        self._env = {
            **private,
            "GIT_ALLOW_PROTOCOL": "none",
            "GIT_CONFIG_GLOBAL": "/dev/null",
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_NO_LAZY_FETCH": "1",
        }
        self.local_env = self._env
        self.git = Git(path, self._env)
        self._listings: dict[str, list[str]] = {}

    def prepare(self) -> None:
        """Make it if it is not there, and free of what a killed git left. We hold the lock."""
        if not all(_has_content(self.path / name) for name in ("HEAD", "config")):
            self.set_aside()
            fresh = self.path.with_name(f"{self.path.name}.new")
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir(parents=True, mode=0o700)
            Git(fresh, {**self._env, "GIT_DIR": str(fresh)}).read(
                "init", "-q", "--bare", "--template=", "--object-format=sha1"
            )
            (fresh / "info").mkdir(exist_ok=True)
            (fresh / "info" / "attributes").write_text(_ATTRIBUTES)
            fresh.rename(self.path)
            return
        for lock in [*self.path.glob("*.lock"), *(self.path / "refs").rglob("*.lock")]:
            lock.unlink(missing_ok=True)
        for left in (self.path / "objects").glob("pack/tmp_*"):
            left.unlink(missing_ok=True)

    def set_aside(self) -> None:
        """Keep a repository that cannot be used, one of them, for whoever wants to look."""
        if os.path.lexists(self.path):
            aside = self.path.with_name(f"{self.path.name}.damaged")
            shutil.rmtree(aside, ignore_errors=True)
            self.path.rename(aside)

    def commit(self, name: str) -> str | None:
        """The commit that `name` leads to; None: there is none."""
        return self.git.one("rev-parse", "--verify", "-q", f"{name}^{{commit}}")

    def same_files(self, one: str, other: str) -> bool:
        """Whether two commits have the same tree."""
        trees = self.git.read("rev-parse", f"{one}^{{tree}}", f"{other}^{{tree}}").split()
        return trees[0] == trees[1]

    def tree(self, commit: str) -> Tree:
        """The files and links of `commit` that may be put on a disk."""
        found: Tree = {}
        for line in self._listing(commit):
            facts, _, path = line.partition("\t")
            mode, _, blob = facts.split(" ")
            if mode in (FILE, EXECUTABLE, LINK, "100664") and is_safe(path):
                found[path] = Entry(mode=FILE if mode == "100664" else mode, blob=blob)
        return found

    def _listing(self, commit: str) -> list[str]:
        """What is in `commit`, a line each. A commit never changes; a reference is read again."""
        known = self._listings.get(commit)
        if known is None:
            known = self.git.names("ls-tree", "-r", "-z", "--full-tree", commit)
            if _OBJECT.fullmatch(commit):
                for old in list(self._listings)[: 1 - _MOST_LISTINGS]:
                    del self._listings[old]
                self._listings[commit] = known
        return known

    def is_sound(self) -> bool:
        """Whether every object in it is what it should be. Takes a while: for a case of doubt."""
        return self.git.succeeds("fsck", "--no-dangling", "--no-progress")

    def is_partial(self) -> bool:
        """Whether files may be missing in it, as they were not asked for."""
        return any((self.path / "objects" / "pack").glob("*.promisor"))

    def gitlinks(self, commit: str) -> list[tuple[str, str]]:
        """Paths of other repositories that `commit` points to, with the commits of those."""
        found = []
        for line in self._listing(commit):
            facts, _, path = line.partition("\t")
            if facts.startswith("160000 ") and is_safe(path):
                found.append((path, facts.split(" ")[2]))
        return found

    def submodules(self, commit: str) -> list[str]:
        """Paths of other repositories that `commit` points to."""
        return [
            line.partition("\t")[2] for line in self._listing(commit) if line.startswith("160000 ")
        ]

    def renamed(self, one: str, other: str) -> list[Renamed]:
        """What git takes for renamed between two commits."""
        fields = self.git.names(
            "diff-tree", "-r", "-z", "-M", "--diff-filter=R", "--name-status", one, other
        )
        return [
            Renamed(old=fields[place + 1], new=fields[place + 2])
            for place in range(0, len(fields), 3)
        ]

    @contextlib.contextmanager
    def blobs(self) -> Iterator[Callable[[str], bytes]]:
        """A function that reads blobs by name. Errors of it: GitError.

        One git for all of them, started with the first: most pulls read none.
        """
        started: list[subprocess.Popen[bytes]] = []

        def read(blob: str) -> bytes:
            if not started:
                started.append(self._batch())
            asked, answer = started[0].stdin, started[0].stdout
            assert asked is not None
            assert answer is not None
            try:
                asked.write(f"{blob}\n".encode())
                asked.flush()
                head = answer.readline().split()
                if len(head) != 3 or head[1] != b"blob":
                    raise GitError("cat-file", 1, f"fatal: {blob} is missing")
                content = answer.read(int(head[2]) + 1)
            except BrokenPipeError as err:
                raise GitError("cat-file", 1, f"fatal: {blob} is damaged") from err
            if len(content) != int(head[2]) + 1:
                raise GitError("cat-file", 1, f"fatal: {blob} is damaged")
            return content[:-1]

        try:
            yield read
        finally:
            for process in started:
                with contextlib.suppress(BrokenPipeError):
                    if process.stdin is not None:
                        process.stdin.close()
                if process.stdout is not None:
                    process.stdout.close()
                process.wait()

    def _batch(self) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            ["git", "cat-file", "--batch"],
            cwd=self.path,
            env=self._env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
        )

    def record(
        self,
        ref: str,
        *,
        known: Iterable[tuple[str, Entry]] = (),
        fresh: Iterable[tuple[str, str, bytes]] = (),
        parent: str | None = None,
        gone: Iterable[str] = (),
        message: str = "",
    ) -> None:
        """Make `ref` a new commit: `parent`'s files but `gone`, and `known` and `fresh` ones.

        fresh: path, mode, content. known: blobs that the repository has. Errors: GitError.
        """
        stream: list[bytes] = [
            f"commit {ref}\ncommitter {_WHO} {int(time.time())} +0000\n".encode(),
            _data(message.encode()),
        ]
        if parent is not None:
            stream.append(f"from {parent}\n".encode())
        stream.extend(b"D %b\n" % _quoted(path) for path in gone)
        stream.extend(
            b"M %b %b %b\n" % (entry.mode.encode(), entry.blob.encode(), _quoted(path))
            for path, entry in known
        )
        for path, mode, content in fresh:
            stream.append(b"M %b inline %b\n" % (mode.encode(), _quoted(path)))
            stream.append(_data(content))
        stream.append(b"done\n")
        done = subprocess.run(
            ["git", "fast-import", "--quiet", "--force", "--done", "--date-format=raw"],
            cwd=self.path,
            env=self._env,
            input=b"".join(stream),
            capture_output=True,
        )
        if done.returncode != 0:
            for report in self.path.glob("fast_import_crash_*"):
                report.unlink(missing_ok=True)
            raise GitError(
                "fast-import", done.returncode, done.stderr.decode("utf-8", "replace").strip()
            )

    def point(self, ref: str, commit: str) -> None:
        """Make `ref` lead to `commit`."""
        self.git.read("update-ref", ref, commit)

    def forget(self, ref: str) -> None:
        """Remove `ref`."""
        self.git.read("update-ref", "-d", ref)

    def snapshots(self) -> list[str]:
        """Names of what can be undone, oldest first."""
        text = self.git.read("for-each-ref", "--format=%(refname)", SNAPSHOTS)
        return [line.removeprefix(SNAPSHOTS) for line in text.splitlines()]

    def messages(self) -> dict[str, str]:
        """The messages of all snapshots by name, oldest first; one git for all of them."""
        fields = self.git.read(
            "for-each-ref", "--format=%(refname)%00%(contents)%00", SNAPSHOTS
        ).split("\0")
        names = (name.strip().removeprefix(SNAPSHOTS) for name in fields[0:-1:2])
        return dict(zip(names, fields[1::2], strict=True))

    def size(self, blob: str) -> int:
        """Bytes of a blob. Errors: GitError when it is not there."""
        return int(self.git.read("cat-file", "-s", blob))

    def message(self, commit: str) -> str:
        """The message of a commit."""
        return self.git.read("log", "-1", "--format=%B", commit)

    def check_out(self, files: Tree, folder: Path) -> None:
        """Write `files` into the empty `folder`, byte for byte. Errors: GitError."""
        listing = b"".join(
            f"{entry.mode} {entry.blob}\t".encode() + os.fsencode(path) + b"\0"
            for path, entry in files.items()
        )
        index = self.path / "samepage-index"
        index.unlink(missing_ok=True)
        env = {**self._env, "GIT_INDEX_FILE": str(index), "GIT_WORK_TREE": str(folder)}
        for arguments in (
            ("update-index", "-z", "--index-info"),
            ("checkout-index", "--all", "--quiet"),
        ):
            done = subprocess.run(
                ["git", *arguments], cwd=folder, env=env, input=listing, capture_output=True
            )
            if done.returncode != 0:
                text = done.stderr.decode("utf-8", "replace").strip()
                raise GitError(arguments[0], done.returncode, text)
        index.unlink(missing_ok=True)

    def tidy(self) -> None:
        """Put many small packs into one, dropping what nothing leads to."""
        if len(list((self.path / "objects" / "pack").glob("*.pack"))) > _MOST_PACKS:
            with contextlib.suppress(GitError):
                self.git.read("gc", "--quiet", "--prune=now")


def _has_content(file: Path) -> bool:
    return file.is_file() and file.stat().st_size > 0


def is_safe(path: str) -> bool:
    """Whether a file of this path stays below the folder and out of a `.git` of the student's."""
    return not any(
        part in ("", ".", "..") or part.lower() in (".git", "git~1") or part.startswith(".samepage")
        for part in path.split("/")
    )


def _quoted(path: str) -> bytes:
    raw = os.fsencode(path)
    raw = raw.replace(b"\\", b"\\\\").replace(b'"', b'\\"').replace(b"\n", b"\\n")
    return b'"%b"' % raw


def _data(content: bytes) -> bytes:
    return b"data %d\n%b\n" % (len(content), content)
