"""A class of students, each with a user, home, environment and kernel of its own."""

import contextlib
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from demo import dataset

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "demo" / "course"
FIRST_UID = 20_001
_NAMES = ("bo", "charlotte", "maximiliana-josephine", "yi", "an", "theodora", "x", "konstantin")


@dataclass(frozen=True, kw_only=True)
class Way:
    """How kernels start. `merge`: opt the stock kernel in; `settings`: traitlets of the manager."""

    provisioner: str = "local-provisioner"
    merge: bool = False
    settings: dict[str, Any] = field(default_factory=dict)


class StudentFailedError(Exception):
    """A student's process did not do what it was told."""


class Seat:
    """A student's process, as the benchmark sees it."""

    def __init__(self, number: int, way: Way, folder: Path) -> None:
        name = f"{_NAMES[number % len(_NAMES)]}{number}"
        self.uid = FIRST_UID + number
        self._home = home = folder / name
        shutil.copytree(folder / "course", home)
        for path in (home, *home.rglob("*")):
            os.chown(path, self.uid, self.uid)
        # Of equal length for all, as /tmp is; and gone with the benchmark.
        temporary = folder / f"tmp-{self.uid}"
        temporary.mkdir(exist_ok=True)
        os.chown(temporary, self.uid, self.uid)
        plan = {
            "provisioner": way.provisioner,
            "settings": way.settings,
            "merge": way.merge,
            "home": str(home),
        }
        env = {
            "HOME": str(home),
            "USER": name,
            "LOGNAME": name,
            "JUPYTERHUB_USER": name,
            "JUPYTERHUB_API_TOKEN": os.urandom(16).hex(),
            "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
            "LANG": "C.UTF-8",
            "TMPDIR": str(temporary),
            "JUPYTER_RUNTIME_DIR": str(home / ".runtime"),
            "MPLBACKEND": "module://matplotlib_inline.backend_inline",
        }
        self._log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory_student", json.dumps(plan)],
            cwd=ROOT,
            env=env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            user=self.uid,
            group=self.uid,
            extra_groups=[],
        )
        self.pid: int | None = None

    def tell(self, do: str, **more: Any) -> dict[str, Any]:
        """Have it done; blocks. StudentFailedError with what it said."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        with contextlib.suppress(BrokenPipeError):
            self._process.stdin.write(json.dumps({"do": do} | more).encode() + b"\n")
            self._process.stdin.flush()
        line = self._process.stdout.readline()
        answer: dict[str, Any] = json.loads(line) if line else {"failed": "it ended"}
        if "failed" in answer:
            raise StudentFailedError(f"{do}: {answer['failed']} (see {self._log.name})")
        self.pid = answer.get("pid", self.pid)
        return answer

    def leave(self) -> None:
        """End kernel and process; safe twice."""
        if self._process.poll() is None:
            with contextlib.suppress(StudentFailedError, ValueError):
                self.tell("stop")
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self._home, ignore_errors=True)
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()
        self.pid = None


def prepare(folder: Path, *, stations: int) -> None:
    """The course with its data, once; every student gets a copy."""
    folder.chmod(0o755)
    course = folder / "course"
    (course / "data").mkdir(parents=True)
    dataset.write(course / "data", stations=stations)
    for notebook in COURSE.glob("*.ipynb"):
        shutil.copy(notebook, course)


def cells(notebook: str) -> list[str]:
    """The code cells of one of the course's notebooks."""
    book = json.loads((COURSE / notebook).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    return [source for source in sources if source.strip()]


@contextlib.contextmanager
def seats(count: int, way: Way, folder: Path) -> Iterator[Sequence[Seat]]:
    """Students without kernels yet; all have left when this ends, and their homes are gone."""
    taken: list[Seat] = []
    try:
        for number in range(count):
            taken.append(Seat(number, way, folder))
        yield taken
    finally:
        with ThreadPoolExecutor(max_workers=max(len(taken), 1)) as pool:
            list(pool.map(Seat.leave, taken))


def everybody(students: Sequence[Seat], do: str, at_once: int = 2, **more: Any) -> list[Any]:
    """All do the same, `at_once` at a time."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(lambda seat: seat.tell(do, **more), students))
