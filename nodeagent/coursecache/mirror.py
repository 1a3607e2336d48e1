"""The mirror of one course: a bare repository that only grows, until what is old is pruned."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from nodeagent.coursecache import notice
from nodeagent.coursecache.folder import REPOSITORY, locked
from nodeagent.coursecache.gitrun import GitFailedError, GitRun, Running
from nodeagent.coursecache.notice import Notice
from nodeagent.coursecache.source import Source

KEEP = "refs/keep/"
_MOST_PACKS = 30
# Read by the git that serves a student, and by nobody else: ours has its settings by environment.
_SETTINGS = "[gc]\n\tauto = 0\n[uploadpack]\n\tallowFilter = true\n\tallowAnySHA1InWant = true\n"


@dataclass(frozen=True, kw_only=True)
class Fetched:
    """changed: there was something new. bytes: of objects that arrived."""

    changed: bool
    bytes: int


@dataclass(frozen=True, kw_only=True)
class Mirror:
    """The mirror of `source` in `folder`. env: the agent's. timeout: seconds for one fetch."""

    source: Source
    folder: Path
    env: Mapping[str, str]
    timeout: float = 600.0
    running: Running

    @property
    def repository(self) -> Path:
        """The bare repository."""
        return self.folder / REPOSITORY

    @property
    def _git(self) -> GitRun:
        return GitRun(folder=self.repository, env=self.env, running=self.running)

    def fetch(self, now: float, fresh_seconds: float, *, verify: bool = False) -> Fetched:
        """Ask the server once, and get what is new. Blocks.

        verify: first look whether all is there that should be; if not, it is fetched anew.
        Errors: GitFailedError, CacheBusyError, OSError; what was there before still is.
        """
        with locked(self.folder):
            self._prepare()
            if verify and not self._whole():
                self._set_aside()
                self._prepare()
            try:
                return self._fetch(now, fresh_seconds)
            except GitFailedError as err:
                if err.status is not None or _is_network(err.text) or self._whole():
                    raise
            self._set_aside()
            self._prepare()
            return self._fetch(now, fresh_seconds)

    def throttled(self, until: float) -> None:
        """Tell the notebooks that the server asked not to be asked before `until`."""
        known = notice.read(self.folder)
        if known is not None:
            notice.write(self.folder, replace(known, throttled_until=until))

    def prune(self, now: float, retention: float) -> int:
        """Forget tips that the server has not named for `retention` seconds; how many.

        Errors: GitFailedError, CacheBusyError, OSError.
        """
        with locked(self.folder):
            known = notice.read(self.folder)
            if known is None or not self.repository.is_dir():
                return 0
            current = set(known.refs.values())
            old = [
                tip
                for tip, seen in known.kept.items()
                if tip not in current and now - seen > retention
            ]
            if old:
                self._git.local(
                    "update-ref", "--stdin", text="".join(f"delete {KEEP}{tip}\n" for tip in old)
                )
                kept = {tip: seen for tip, seen in known.kept.items() if tip not in old}
                notice.write(self.folder, replace(known, kept=kept))
                self._repack()
            return len(old)

    def _fetch(self, now: float, fresh_seconds: float) -> Fetched:
        default, named = self._named()
        known = notice.read(self.folder)
        before = _packs(self.repository)
        changed = known is None or known.refs != named or self._refs() != named
        if changed:
            self._git.ask(
                self.source,
                "fetch",
                "--quiet",
                "--prune",
                "--force",
                "--no-tags",
                "--no-write-fetch-head",
                "--no-auto-maintenance",
                "--",
                self.source.remote,
                "+refs/heads/*:refs/heads/*",
                "+refs/tags/*:refs/tags/*",
                timeout=self.timeout,
            )
        after = _packs(self.repository)
        refs = self._refs()
        kept = {} if known is None else dict(known.kept)
        new = set(refs.values()) - kept.keys()
        kept |= dict.fromkeys(refs.values(), now)
        if changed or new:
            self._git.local(
                "update-ref",
                "--stdin",
                text="".join(f"update {KEEP}{tip} {tip}\n" for tip in sorted(kept)),
            )
            self._git.local("pack-refs", "--all")
        if len(after) > _MOST_PACKS:
            self._repack()
        notice.write(
            self.folder,
            Notice(
                url_hash=self.source.name,
                fetched_at=now,
                fresh_seconds=fresh_seconds,
                default=default,
                refs=refs,
                kept=kept,
            ),
        )
        came = sum(size for name, size in after.items() if name not in before)
        return Fetched(changed=changed, bytes=came)

    def _named(self) -> tuple[str | None, dict[str, str]]:
        """The default branch, and the branches and tags, as the server names them now."""
        text = self._git.ask(
            self.source,
            "ls-remote",
            "--symref",
            "--",
            self.source.remote,
            "HEAD",
            "refs/heads/*",
            "refs/tags/*",
            timeout=min(60.0, self.timeout),
        )
        default: str | None = None
        refs: dict[str, str] = {}
        for line in text.splitlines():
            value, _, name = line.partition("\t")
            if value.startswith("ref: ") and name == "HEAD":
                default = value.removeprefix("ref: ").removeprefix("refs/heads/")
            elif name.startswith(("refs/heads/", "refs/tags/")) and not name.endswith("^{}"):
                refs[name] = value
        return default, refs

    def _refs(self) -> dict[str, str]:
        text = self._git.local(
            "for-each-ref", "--format=%(objectname) %(refname)", "refs/heads/", "refs/tags/"
        )
        pairs = (line.split(" ", 1) for line in text.splitlines())
        return {name: commit for commit, name in pairs}

    def _prepare(self) -> None:
        """Make the repository if it is not there, and free of what a killed git left."""
        if not (self.repository / "HEAD").is_file():
            if os.path.lexists(self.repository):
                self._set_aside()
            fresh = self.folder / f"{REPOSITORY}.new"
            shutil.rmtree(fresh, ignore_errors=True)
            fresh.mkdir()
            fresh.chmod(0o755)
            GitRun(folder=fresh, env=self.env, running=self.running).local(
                "init", "-q", "--bare", "--template=", "--object-format=sha1"
            )
            with (fresh / "config").open("a") as stream:
                stream.write(_SETTINGS)
            fresh.rename(self.repository)
            return
        for lock in (*self.repository.glob("*.lock"), *(self.repository / "refs").rglob("*.lock")):
            lock.unlink(missing_ok=True)
        for left in (self.repository / "objects" / "pack").glob("tmp_*"):
            left.unlink(missing_ok=True)

    def _whole(self) -> bool:
        try:
            self._git.local("fsck", "--connectivity-only", "--no-dangling", "--no-progress")
        except GitFailedError:
            return False
        return True

    def _set_aside(self) -> None:
        aside = self.folder / f"{REPOSITORY}.damaged"
        shutil.rmtree(aside, ignore_errors=True)
        self.repository.rename(aside)
        (self.folder / notice.FILE).unlink(missing_ok=True)

    def _repack(self) -> None:
        """One pack of all that kept tips lead to. Who reads an old pack goes on reading."""
        self._git.local("repack", "-a", "-d", "-q", timeout=1800.0)


def _is_network(text: str) -> bool:
    """Only to spare the look at every object when it is plain that the server is the cause."""
    return any(sign in text for sign in ("unable to access", "no end within", "hung up", "ssh: "))


def _packs(repository: Path) -> dict[str, int]:
    return {pack.name: pack.stat().st_size for pack in (repository / "objects/pack").glob("*.pack")}
