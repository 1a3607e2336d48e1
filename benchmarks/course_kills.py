"""kill -9 in the middle of pulls, at points spread evenly over all they do; the promise after it.

    python -m benchmarks.course_kills --points 500

A pull merges, sets aside, renames, deletes and brings back files. First it is run once to count the
calls that reach the disk or start a git; then it is run again for each point, in a process group
of its own, and killed with everything it started just before that call; every other kill comes a
moment later, in the middle of what the call does. After each kill: every file of the student's
is whole, old or new; the next pull, without a network, brings it to its end; the one after
it, with a network, gives the same files as a pull that was never killed, and finds nothing left.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from labext.courses import task
from labext.courses.protocol import Job, Result
from labext.courses.sync import apply as applying
from labext.courses.sync.engine import StateEngine, repository_of

_ENV = {
    "PATH": os.environ["PATH"],
    "HOME": "/nonexistent",
    "GIT_CONFIG_NOSYSTEM": "1",
    **{f"GIT_{who}_{what}": "t@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")},
}
# What reaches the disk, starts a process or ends one: audit events of the interpreter. The others
# of the interest are calls of ctypes (renameat2) and of fsync, which has none.
_EVENTS = frozenset(
    {
        "open",
        "os.chmod",
        "os.link",
        "os.mkdir",
        "os.remove",
        "os.rename",
        "os.rmdir",
        "os.symlink",
        "os.truncate",
        "shutil.rmtree",
        "subprocess.Popen",
        "tempfile.mkdtemp",
        "fcntl.flock",
    }
)
_LINES = 40


class BrokenPromiseError(AssertionError):
    """What was not kept, in words."""


class Points:
    """Counts what a pull does, and ends it at one of the points."""

    def __init__(self, stop_at: int | None, late: bool) -> None:
        self.count = 0
        self._stop_at = stop_at
        self._late = late
        self._on = False

    def begin(self) -> None:
        """Count from here on. It cannot be taken back: for a process that ends soon."""
        self._on = True
        sys.addaudithook(self._hook)
        real: Callable[[Path, Path], bool] = vars(applying)["exchange"]

        def exchange(one: Path, other: Path) -> bool:
            self._reach()
            done = real(one, other)
            self._reach()
            return done

        sync = os.fsync

        def fsync(fd: Any) -> None:
            self._reach()
            sync(fd)

        vars(applying)["exchange"] = exchange
        vars(os)["fsync"] = fsync

    def _hook(self, event: str, arguments: tuple[Any, ...]) -> None:
        if self._on and event in _EVENTS:
            self._reach()

    def _reach(self) -> None:
        self.count += 1
        if self.count != self._stop_at:
            return
        self._on = False
        if not self._late:
            os.killpg(0, signal.SIGKILL)
        # A little later: in the middle of a git, or of a write. The kernel ends this process as it
        # does for SIGKILL, without a word to Python; the group follows from outside.
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        seconds = random.Random(self.count).uniform(0.0005, 0.008)
        signal.setitimer(signal.ITIMER_REAL, seconds)


class Room:
    """A teacher's repository and a student's folder, made alike each time."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.upstream, self.home = base / "course", base / "home"
        self.course, self.state = self.home / "course", base / "state"

    def prepare(self) -> None:
        """First pull, then both change everything in every way."""
        self.upstream.mkdir(parents=True)
        self.home.mkdir()
        self._git("init", "-q", "-b", "main")
        text = [f"line {number}\n" for number in range(_LINES)]
        self._write(self.upstream, {f"t{n}.txt": "".join(text) for n in range(12)})
        self._write(self.upstream, {f"d/{n}.csv": f"{n},{n}\n" * 20 for n in range(6)})
        self._write(self.upstream, {f"n{n}.ipynb": _notebook(n, 4) for n in range(4)})
        self._write(self.upstream, {"old.txt": "o\n" * 30, "gone.txt": "g\n", "swap": "file\n"})
        self._publish()
        result = self.pull()
        if result.state != "up_to_date":
            raise BrokenPromiseError(f"the first pull: {result.message}")
        for number in range(0, 12, 2):
            mine = "".join([f"mine {number}\n", *text])
            self._write(self.course, {f"t{number}.txt": mine})
        self._write(self.course, {"t11.txt": "".join(["my first\n", *text[1:]])})
        self._write(self.course, {"n1.ipynb": _notebook(1, 5, "mine"), "new.txt": "my new\n"})
        self._write(self.course, {"old.txt": "mine\n" + "o\n" * 30, "block": "in the way\n"})
        (self.course / "d/1.csv").unlink()
        self._write(self.upstream, {f"t{n}.txt": "".join([*text, f"c {n}\n"]) for n in range(12)})
        self._write(self.upstream, {"t11.txt": "".join(["course's first\n", *text[1:]])})
        self._write(self.upstream, {f"n{n}.ipynb": _notebook(n, 4, "course") for n in range(3)})
        self._write(self.upstream, {"new.txt": "course's new\n", "block/a.txt": "a\n"})
        (self.upstream / "gone.txt").unlink()
        (self.upstream / "swap").unlink()
        self._write(self.upstream, {"swap/inner.txt": "inner\n"})
        (self.upstream / "old.txt").rename(self.upstream / "renamed.txt")
        self._publish()

    def pull(self, url: str | None = None) -> Result:
        """In this process."""
        job = Job(
            url=url or self.upstream.as_uri(),
            branch=None,
            depth=1,
            root=str(self.home),
            target="course",
            state_dir=str(self.state),
            timeout_seconds=60.0,
            connect_timeout_seconds=20.0,
        )
        return task.run(job, StateEngine(self.state), lambda _: None, dict(_ENV), lambda: 1e9)

    def files(self) -> dict[str, str]:
        """Every file of the student's folder."""
        return {
            str(path.relative_to(self.course)): path.read_text()
            for path in sorted(self.course.rglob("*"))
            if path.is_file()
        }

    def pull_in_child(self, points: Points) -> int:
        """In a process group of its own; how many points it passed, -1: it was killed."""
        receiver, sender = os.pipe()
        child = os.fork()
        if child == 0:
            code = 1
            try:
                os.setpgid(0, 0)
                points.begin()
                result = self.pull()
                os.write(sender, str(points.count).encode())
                code = 0 if result.state == "up_to_date" else 3
            finally:
                os._exit(code)
        os.close(sender)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child, signal.SIGKILL)
        with os.fdopen(receiver) as stream:
            said = stream.read()
        if os.WIFSIGNALED(status):
            return -1
        if os.WEXITSTATUS(status) != 0:
            raise BrokenPromiseError(f"the pull failed by itself with {os.WEXITSTATUS(status)}")
        return int(said)

    def check(self, before: dict[str, str], after: dict[str, str]) -> None:
        """After a kill: every file is as before or as after, and none of the student's is gone."""
        for path, content in self.files().items():
            if path.startswith(".samepage-") or "/.samepage-" in path:
                continue
            if content not in (before.get(path), after.get(path)):
                raise BrokenPromiseError(f"{path} is neither the old nor the new one")
        everything = "".join(self.files().values())
        for text in ("mine 0\n", "my first", "my new", "in the way", "mine"):
            if text not in everything:
                raise BrokenPromiseError(f"the student's {text!r} is not there")

    def heal(self, after: dict[str, str], *, offline: bool) -> None:
        """The next pulls bring it to its end."""
        if offline:
            result = self.pull("http://127.0.0.1:1/course.git")
            if result.state != "offline":
                raise BrokenPromiseError(f"offline after a kill: {result.code} {result.message}")
        result = self.pull()
        if result.state != "up_to_date":
            raise BrokenPromiseError(f"the next pull: {result.code} {result.message}")
        found = self.files()
        if found != after:
            names = sorted(set(found) ^ set(after)) or [p for p in after if found[p] != after[p]]
            raise BrokenPromiseError(f"not as without a kill: {names}")
        left = [*self.home.rglob(".samepage-*")]
        left += repository_of(self.state, self.course.resolve()).glob("samepage-journal*")
        if left:
            raise BrokenPromiseError(f"left over: {left}")

    def _write(self, folder: Path, files: dict[str, str]) -> None:
        for name, content in files.items():
            file = folder / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(content)

    def _publish(self) -> None:
        self._git("add", "-A")
        self._git("-c", "gc.auto=0", "commit", "-qm", "x")

    def _git(self, *arguments: str) -> None:
        subprocess.run(
            ["git", *arguments], cwd=self.upstream, env=_ENV, check=True, capture_output=True
        )


def _notebook(number: int, cells: int, who: str = "") -> str:
    content = {
        "cells": [
            {
                "cell_type": "markdown",
                "id": f"c{number}-{place}",
                "metadata": {},
                "source": [f"cell {place} {who if place in (0, 4) and who else ''}\n"],
            }
            for place in range(cells)
        ],
        "metadata": {},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(content, indent=1) + "\n"


def _copied(room: Room, base: Path) -> Room:
    """The same again elsewhere would be another folder to us: it is put back in its place."""
    shutil.rmtree(room.base)
    subprocess.run(["cp", "-a", str(base), str(room.base)], check=True)
    return room


def run(points: int, base: Path) -> tuple[Counter[str], list[str]]:
    """How the points were spread, and what was broken."""
    room = Room(base / "room")
    room.prepare()
    kept = base / "kept"
    subprocess.run(["cp", "-a", str(room.base), str(kept)], check=True)
    before = room.files()
    room.pull()  # in this process: what is imported on the way is imported then, and not counted
    after = room.files()
    _copied(room, kept)
    total = room.pull_in_child(Points(None, late=False))
    if total <= 0 or before == after or room.files() != after:
        raise BrokenPromiseError("the pull that is to be killed does nothing")
    counts: Counter[str] = Counter({"calls in one pull": total})
    broken = []
    for number in range(points):
        stop_at = 1 + number * total // points
        late = number % 2 == 1
        _copied(room, kept)
        try:
            ended = room.pull_in_child(Points(stop_at, late=late))
            counts["killed" if ended == -1 else "had ended"] += 1
            if (
                repository_of(room.state, room.course.resolve()) / "samepage-journal.json"
            ).exists():
                counts["with a journal"] += 1
            room.check(before, after)
            room.heal(after, offline=number % 3 == 0)
        except (BrokenPromiseError, OSError, ValueError) as err:
            broken.append(f"point {stop_at}{' late' if late else ''}: {err}")
            print(broken[-1], flush=True)
        if (number + 1) % 50 == 0:
            print(f"{number + 1} points, {len(broken)} broken", flush=True)
    return counts, broken


def main(arguments: list[str] | None = None) -> int:
    """0: the promise was kept at every point."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.course_kills", description=__doc__)
    parser.add_argument("--points", type=int, default=500)
    options = parser.parse_args(arguments)
    folder = Path(tempfile.mkdtemp(prefix="course-kills-"))
    begun = time.monotonic()
    try:
        counts, broken = run(options.points, folder)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    print(", ".join(f"{what}: {count}" for what, count in counts.items()))
    seconds = time.monotonic() - begun
    print(f"{options.points} points, {len(broken)} broke the promise, {seconds:.0f} s")
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
