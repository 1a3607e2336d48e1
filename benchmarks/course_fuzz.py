"""Random histories of a teacher and a student, and the promise checked after every pull.

    python -m benchmarks.course_fuzz --histories 10000
    python -m benchmarks.course_fuzz --seed 77 --histories 1

Each history is made from its seed alone. Every line and cell that somebody writes is unique, so
that it can be looked for afterwards. Exit code 1 and the seed when the promise was broken.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import nbformat

from labext.courses import task
from labext.courses.protocol import Job
from labext.courses.sync.engine import StateEngine

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


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, env=_ENV, check=True, capture_output=True)


def one(seed: int, base: Path, pulls: int = 4) -> None:
    """One history. Errors: BrokenPromiseError."""
    chance = random.Random(seed)
    upstream, home = base / "course", base / "home"
    upstream.mkdir(parents=True)
    home.mkdir()
    _git(upstream, "init", "-q", "-b", "main")
    teacher = Side(folder=upstream, who="t", chance=chance)
    student = Side(folder=home / "course", who="s", chance=chance)
    if chance.random() < 0.2:
        student.folder.mkdir()
        student.edit()
    for number in range(pulls):
        for _ in range(chance.randrange(1 if number == 0 else 0, 5)):
            teacher.edit()
        _git(upstream, "add", "-A")
        amend = ["--amend"] if number and chance.random() < 0.3 else []
        _git(upstream, "commit", "-q", "--allow-empty", "-m", "x", *amend)
        if student.folder.exists():
            for _ in range(chance.randrange(0, 4)):
                student.edit()
            student.note()
        teacher.note()
        _pull(base, home, upstream)
        _check(teacher, student)
        before = _state(student.folder)
        _pull(base, home, upstream)
        if _state(student.folder) != before:
            raise BrokenPromiseError("a pull with nothing new changed something")


def _pull(base: Path, home: Path, upstream: Path) -> None:
    job = Job(
        url=upstream.as_uri(),
        branch=None,
        depth=1,
        root=str(home),
        target="course",
        state_dir=str(base / "state"),
        timeout_seconds=60.0,
        connect_timeout_seconds=20.0,
    )
    engine = StateEngine(base / "state")
    result = task.run(job, engine, lambda _: None, dict(_ENV), time.time)
    if result.state != "up_to_date":
        raise BrokenPromiseError(f"the pull failed: {result.code} {result.message}")


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
    options = parser.parse_args(arguments)
    begun = time.monotonic()
    broken = 0
    for seed in range(options.seed, options.seed + options.histories):
        folder = Path(tempfile.mkdtemp(prefix="course-fuzz-"))
        try:
            one(seed, folder)
        except (BrokenPromiseError, ValueError, OSError) as err:
            broken += 1
            print(f"seed {seed}: {err}", flush=True)
        finally:
            shutil.rmtree(folder, ignore_errors=True)
    seconds = time.monotonic() - begun
    print(f"{options.histories} histories, {broken} broke the promise, {seconds:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
