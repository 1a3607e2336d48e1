"""Random histories of a teacher and a student, and the promise checked after every pull.

    python -m benchmarks.course_fuzz --histories 10000
    python -m benchmarks.course_fuzz --seed 77 --histories 1 --whole 1

Each history is made from its seed alone. Every line and cell that somebody writes is unique, so
that it can be looked for afterwards. Exit code 1 and the seed when the promise was broken.

One history in `--whole` goes the whole way, with a repository of the teacher's, `git ls-remote` and
`git fetch`. In the others the teacher's commits are written where a fetch would have put them; all
that comes after it is the same, and several times as many histories fit in an hour.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import json
import multiprocessing
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol
from unittest import mock

import nbformat

from labext.courses import gitenv, preflight, quick, task
from labext.courses.asking import Answer
from labext.courses.engine import Pull, Report
from labext.courses.git import GitError
from labext.courses.protocol import Job, Result
from labext.courses.sync import engine as sync_engine
from labext.courses.sync.engine import StateEngine, repository_of
from labext.courses.sync.entry import FILE
from labext.courses.sync.repository import UPSTREAM, Repository

NAMES = ("a.txt", "b.py", "ü.md", "d/c.csv", "d/e/f.R", "d", "a.txt/x")
NOTEBOOKS = ("lab.ipynb", "d/hw.ipynb")
_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "t@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}


class BrokenPromiseError(AssertionError):
    """What was not kept, in words."""


@dataclass(kw_only=True)
class Side:
    """Someone's files, and what was written in them that is still there.

    delivered: the teacher's texts that have reached the student once.
    """

    folder: Path
    who: str
    chance: random.Random
    count: int = 0
    texts: set[str] = field(default_factory=set)
    delivered: set[str] = field(default_factory=set)

    def mark(self) -> str:
        self.count += 1
        return f"{self.who}{self.count}q"

    def edit(self) -> None:
        """One random change."""
        if self.chance.random() < 0.5:
            self._edit_notebook(self.folder / self.chance.choice(NOTEBOOKS))
        else:
            self._edit_text(self.folder / self.chance.choice(NAMES))

    def _room_for(self, file: Path) -> bool:
        for parent in file.relative_to(self.folder).parents:
            place = self.folder / parent
            if place.is_file():
                if self.chance.random() < 0.7:
                    return False
                place.unlink()
        if file.is_dir():
            if self.chance.random() < 0.8:
                return False
            shutil.rmtree(file)
        file.parent.mkdir(parents=True, exist_ok=True)
        return True

    def _edit_text(self, file: Path) -> None:
        if not self._room_for(file):
            return
        act = self.chance.random()
        if file.exists() and act < 0.12:
            file.unlink()
            return
        if file.exists() and act < 0.2:
            other = self.folder / f"r{self.chance.randrange(4)}.txt"
            if not other.exists():
                file.rename(other)
            return
        lines = file.read_text().splitlines(keepends=True) if file.exists() else []
        if not lines:
            lines = [f"{self.mark()}\n" for _ in range(self.chance.randrange(1, 12))]
        place = self.chance.randrange(len(lines) + 1)
        if act < 0.6 or place == len(lines):
            lines.insert(place, f"{self.mark()}\n")
        elif act < 0.85:
            lines[place] = f"{self.mark()}\n"
        else:
            lines.pop(place)
        file.write_text("".join(lines))

    def _edit_notebook(self, file: Path) -> None:
        if not self._room_for(file):
            return
        if file.exists() and self.chance.random() < 0.04:
            file.unlink()
            return
        try:
            content: dict[str, Any] = json.loads(file.read_text())
        except (OSError, ValueError):
            content = {"cells": [], "metadata": {}, "nbformat": 4, "nbformat_minor": 5}
            content["cells"] = [self._cell() for _ in range(self.chance.randrange(1, 5))]
        cells = content["cells"]
        for _ in range(self.chance.randrange(1, 4)):
            place = self.chance.randrange(len(cells) + 1)
            act = self.chance.choice("iiaaeeeedmcor")
            if act == "i" or not cells or place == len(cells):
                cells.insert(place, self._cell())
            elif act == "a":
                cells.append(self._cell())
            elif act == "e":
                cells[place]["source"] = [*cells[place]["source"], f"{self.mark()}\n"]
            elif act == "r":
                cells[place]["source"] = [f"{self.mark()}\n"]
            elif act == "d":
                cells.pop(place)
            elif act == "m":
                cells.insert(self.chance.randrange(len(cells)), cells.pop(place))
            elif act == "c":
                cells.insert(place, {**json.loads(json.dumps(cells[place])), "id": self._id()})
            elif cells[place]["cell_type"] == "code":
                cells[place]["execution_count"] = self.chance.randrange(99)
        seen: set[str] = set()
        for cell in cells:
            while cell["id"] in seen:
                cell["id"] = self._id()
            seen.add(cell["id"])
        indent = self.chance.choice([1, 1, 1, 2, None])
        file.write_text(json.dumps(content, indent=indent))

    def _id(self) -> str:
        return f"c{self.chance.randrange(40)}"

    def _cell(self) -> dict[str, Any]:
        cell: dict[str, Any] = {"id": self._id(), "metadata": {}, "source": [f"{self.mark()}\n"]}
        if self.chance.random() < 0.4:
            return {"cell_type": "markdown", **cell}
        return {"cell_type": "code", "execution_count": None, "outputs": [], **cell}

    def note(self) -> None:
        """Remember what is there of this one's hand."""
        words = _words(self.folder)
        self.texts = {word for word in words if word.startswith(self.who)}


def _words(folder: Path) -> set[str]:
    found: set[str] = set()
    for path in folder.rglob("*"):
        if ".git" in path.relative_to(folder).parts or not path.is_file():
            continue
        found.update(re.findall(r"[st]\d+q", path.read_text()))
    return found


class Upstream(Protocol):
    """Where the teacher publishes."""

    def publish(self, *, amend: bool) -> Answer | None:
        """Commit what is in the teacher's folder. What a pull is told; None: it has to ask."""


class Served:
    """A repository in the teacher's folder, to be asked and fetched from."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._git("init", "-q", "-b", "main")

    def publish(self, *, amend: bool) -> Answer | None:
        self._git("add", "-A")
        extra = ["--amend"] if amend else []
        self._git("-c", "gc.auto=0", "commit", "-q", "--allow-empty", "-m", "x", *extra)
        return None

    def _git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", *arguments], cwd=self._folder, env=_ENV, check=True, capture_output=True
        )


class Written:
    """Commits go straight to where a fetch of the student's would have put them."""

    def __init__(self, folder: Path, repository: Path) -> None:
        self._folder = folder
        self._repository = Repository(repository, _ENV)
        self._repository.prepare()
        self._count = 0

    def publish(self, *, amend: bool) -> Answer | None:
        self._count += 1  # amended or not: a shallow fetch brings one commit, with all its files
        files = [
            (str(path.relative_to(self._folder)), FILE, path.read_bytes())
            for path in sorted(self._folder.rglob("*"))
            if path.is_file()
        ]
        ref = self._repository.path / UPSTREAM
        ref.unlink(missing_ok=True)
        self._repository.record(UPSTREAM, fresh=files, message=f"lesson {self._count}")
        commit = ref.read_text().strip()
        upstream = preflight.Upstream(branch="main", commit=commit, ref="refs/heads/main")
        return Answer(upstream=upstream, seen_at=float(self._count))


def _written(repository: Repository, pull: Pull, report: Report) -> str:
    return pull.upstream.commit


def one(seed: int, base: Path, pulls: int = 4, *, whole: bool = True) -> dict[str, int]:
    """One history; how often each kind of change was told. Errors: BrokenPromiseError."""
    chance = random.Random(seed)
    upstream, home = base / "course", base / "home"
    upstream.mkdir(parents=True)
    home.mkdir()
    counts: Counter[str] = Counter()
    teacher = Side(folder=upstream, who="t", chance=chance)
    student = Side(folder=home / "course", who="s", chance=chance)
    if chance.random() < 0.2:
        student.folder.mkdir()
        student.edit()
        whole = True  # such a folder is looked for in the course's history
    published: Upstream = (
        Served(upstream)
        if whole
        else Written(upstream, repository_of(base / "state", student.folder.resolve()))
    )
    for number in range(pulls):
        for _ in range(chance.randrange(1 if number == 0 else 0, 5)):
            teacher.edit()
        answer = published.publish(amend=number > 0 and chance.random() < 0.3)
        if student.folder.exists():
            for _ in range(chance.randrange(0, 4)):
                student.edit()
            student.note()
        teacher.note()
        begun = time.time()
        result = _pull(base, home, upstream, answer)
        counts["pulls"] += 2
        if result.history is not None and (result.history.last_change or 0) > begun:
            counts.update(change.kind for change in result.history.changes)
        _check(teacher, student)
        before = _state(student.folder)
        _pull_again(base, home, upstream, answer)
        if _state(student.folder) != before:
            raise BrokenPromiseError("a pull with nothing new changed something")
    return counts


def _pull_again(base: Path, home: Path, upstream: Path, answer: Answer | None) -> None:
    """A pull with nothing new, as the server does it."""
    if answer is None:
        _pull(base, home, upstream, answer)
        return
    with mock.patch.object(quick, "ask", return_value=answer):
        result = quick.nothing_new(_job(base, home, upstream, answer), _ENV, time.time())
    if not isinstance(result, Result):
        _pull(base, home, upstream, answer)


def _job(base: Path, home: Path, upstream: Path, answer: Answer | None) -> Job:
    return Job(
        url=upstream.as_uri(),
        branch=None,
        depth=1,
        root=str(home),
        target="course",
        state_dir=str(base / "state"),
        timeout_seconds=60.0,
        connect_timeout_seconds=20.0,
        answer=None if answer is None else answer.to_json(),
    )


def _pull(base: Path, home: Path, upstream: Path, answer: Answer | None) -> Result:
    job = _job(base, home, upstream, answer)
    engine = StateEngine(base / "state")
    with contextlib.ExitStack() as stack:
        if answer is not None:
            stack.enter_context(mock.patch.object(sync_engine, "fetch", _written))
            stack.enter_context(mock.patch.object(gitenv, "without_broken_files", _as_it_is))
        result = task.run(job, engine, lambda _: None, dict(_ENV), time.time)
    if result.state != "up_to_date":
        raise BrokenPromiseError(f"the pull failed: {result.code} {result.message}")
    return result


def _as_it_is(env: dict[str, str]) -> dict[str, str]:
    return env


def _check(teacher: Side, student: Side) -> None:
    words = _words(student.folder)
    lost = student.texts - words
    if lost:
        raise BrokenPromiseError(f"the student's text is lost: {sorted(lost)}")
    # What was delivered before may be gone: the student can have removed it.
    missing = teacher.texts - teacher.delivered - words
    if missing:
        raise BrokenPromiseError(f"the course's text did not arrive: {sorted(missing)}")
    teacher.delivered |= teacher.texts
    for path in student.folder.rglob("*"):
        if not path.is_file():
            continue
        text = path.read_text()
        if "<<<<<<<" in text or ">>>>>>>" in text:
            raise BrokenPromiseError(f"markers in {path.name}")
        if path.suffix == ".ipynb":
            content = json.loads(text)
            nbformat.validate(content)
            ids = [cell["id"] for cell in content["cells"]]
            if len(set(ids)) != len(ids):
                raise BrokenPromiseError(f"an id twice in {path.name}")
        if path.name.startswith(".samepage"):
            raise BrokenPromiseError(f"left over: {path.name}")


def _state(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def main(arguments: list[str] | None = None) -> int:
    """0: the promise was kept in every history."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.course_fuzz", description=__doc__)
    parser.add_argument("--histories", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0, help="of the first history")
    parser.add_argument("--whole", type=int, default=10, help="one in so many; default 10")
    parser.add_argument("--jobs", type=int, default=1, help="processes; default 1")
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    broken = 0
    counts: Counter[str] = Counter()
    seeds = range(options.seed, options.seed + options.histories)
    with multiprocessing.get_context("spawn").Pool(options.jobs) as pool:
        work = functools.partial(_one_of_many, options.whole)
        for number, (problem, found) in enumerate(pool.imap(work, seeds, chunksize=4), start=1):
            counts.update(found)
            if problem is not None:
                broken += 1
                print(problem, flush=True)
            if number % 500 == 0:
                seconds = time.monotonic() - begun
                print(f"{number} histories, {broken} broken, {seconds:.0f} s", flush=True)
    seconds = time.monotonic() - begun
    print(f"{options.histories} histories, {broken} broke the promise, {seconds:.0f} s")
    print(", ".join(f"{kind}: {count}" for kind, count in sorted(counts.items())))
    return 1 if broken else 0


def _one_of_many(whole: int, seed: int) -> tuple[str | None, dict[str, int]]:
    folder = Path(tempfile.mkdtemp(prefix="course-fuzz-"))
    try:
        return None, one(seed, folder, whole=seed % whole == 0)
    except (BrokenPromiseError, ValueError, OSError, GitError) as err:
        return f"seed {seed}: {type(err).__name__}: {err}", {}
    finally:
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
