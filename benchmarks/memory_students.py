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

from . import readings

ROOT = Path(__file__).resolve().parents[1]
COURSE = ROOT / "demo" / "course"
FIRST_UID = 20_001
_NAMES = ("bo", "charlotte", "maximiliana-josephine", "yi", "an", "theodora", "x", "konstantin")
#: What an earlier session leaves in a home, besides the files that the kernel itself makes.
_KEEPSAKES = {
    ".ipython/profile_default/startup/10-mine.py": "import math as my_math\n",
    ".config/matplotlib/matplotlibrc": "figure.dpi: 90\n",
    f".local/lib/python{sys.version_info[0]}.{sys.version_info[1]}/site-packages/my_helpers.py": (
        "def twice(value):\n    return 2 * value\n"
    ),
    "project/notes.md": "# Notes\n",
}


@dataclass(frozen=True, kw_only=True)
class Way:
    """How kernels start.

    `merge`: opt the stock kernel in; `settings`: traitlets; `spare`: the student's server keeps
    one kernel ready. `argv`: of a kernelspec, when it is not IPython's.
    """

    provisioner: str = "local-provisioner"
    merge: bool = False
    spare: bool = False
    settings: dict[str, Any] = field(default_factory=dict)
    argv: tuple[str, ...] | None = None


class StudentFailedError(Exception):
    """A student's process did not do what it was told."""


class Seat:
    """A student's process, as the benchmark sees it. Every second home is one already lived in."""

    def __init__(
        self, number: int, way: Way, folder: Path, *, old: bool | None = None, prefix: str = ""
    ) -> None:
        name = f"{prefix}{_NAMES[number % len(_NAMES)]}{number}"
        self.number = number
        self.uid = FIRST_UID + number
        self.home = home = folder / name
        shutil.copytree(folder / "course", home)
        lived_in = folder / "old-home"
        if (number % 2 == 1 if old is None else old) and lived_in.exists():
            shutil.copytree(lived_in, home, symlinks=True, dirs_exist_ok=True)
        # Of equal length for all, as /tmp is; and gone with the benchmark.
        self.temporary = folder / f"tmp-{self.uid}"
        self.temporary.mkdir(exist_ok=True)
        for path in (home, *home.rglob("*"), self.temporary, *self.temporary.rglob("*")):
            os.chown(path, self.uid, self.uid, follow_symlinks=False)
        plan = {
            "provisioner": way.provisioner,
            "settings": way.settings,
            "merge": way.merge,
            "spare": way.spare,
            "home": str(home),
            "argv": way.argv,
        }
        self._log = (folder / f"{name}.log").open("wb")
        self._process = subprocess.Popen(
            [sys.executable, "-m", "benchmarks.memory_student", json.dumps(plan)],
            cwd=ROOT,
            env=environment(name, home, self.temporary),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
            user=self.uid,
            group=self.uid,
            extra_groups=[],
        )
        self.pid: int | None = None
        """Of the kernel."""

    @property
    def server_pid(self) -> int:
        """Of the process that stands for the student's Jupyter server."""
        return self._process.pid

    def others(self) -> list[int]:
        """What the student has besides the kernel and the server, such as a spare."""
        return [
            pid
            for pid in readings.tree(self._process.pid)
            if pid not in (self._process.pid, self.pid)
        ]

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
        if do in ("start", "restart"):
            self.pid = answer["pid"]
        return answer

    def leave(self) -> list[str]:
        """End kernel and process; safe twice. What was left in the runtime folder."""
        left: list[str] = []
        if self._process.poll() is None:
            with contextlib.suppress(StudentFailedError, ValueError):
                left = self.tell("stop").get("left", [])
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(20)
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()
        shutil.rmtree(self.home, ignore_errors=True)
        shutil.rmtree(self.temporary, ignore_errors=True)
        for pipe in (self._process.stdin, self._process.stdout, self._log):
            if pipe is not None:
                pipe.close()
        self.pid = None
        return left


def environment(name: str, home: Path, temporary: Path) -> dict[str, str]:
    """As a hub gives it: names, paths and tokens that are this student's."""
    return {
        "HOME": str(home),
        "USER": name,
        "LOGNAME": name,
        "JUPYTERHUB_USER": name,
        "JUPYTERHUB_SERVICE_PREFIX": f"/user/{name}/",
        "JUPYTERHUB_API_TOKEN": os.urandom(16).hex(),
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "LANG": "C.UTF-8",
        "TMPDIR": str(temporary),
        "JUPYTER_RUNTIME_DIR": str(home / ".runtime"),
        "MPLBACKEND": "module://matplotlib_inline.backend_inline",
    }


def prepare(folder: Path, *, stations: int) -> None:
    """The course with its data, once; every student gets a copy."""
    folder.chmod(0o755)
    course = folder / "course"
    (course / "data").mkdir(parents=True)
    dataset.write(course / "data", stations=stations)
    for notebook in COURSE.glob("*.ipynb"):
        shutil.copy(notebook, course)


def live_in(folder: Path, notebooks: Sequence[str]) -> None:
    """Make the home of somebody who was here before: one whole session of a stock kernel.

    It warms the machine's file cache as well, so that no way pays for being the first.
    """
    seat = Seat(900, Way(), folder, old=False)
    try:
        seat.tell("start")
        for notebook in notebooks:
            seat.tell("run", cells=cells(notebook))
        kept = folder / "old-home"
        shutil.copytree(
            seat.home,
            kept,
            symlinks=True,
            ignore=lambda at, names: {"data", ".runtime"} & set(names),
        )
        for name, text in _KEEPSAKES.items():
            file = kept / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
    finally:
        seat.leave()


def cells(notebook: str) -> list[str]:
    """The code cells of one of the course's notebooks."""
    book = json.loads((COURSE / notebook).read_text(encoding="utf-8"))
    sources = ["".join(cell["source"]) for cell in book["cells"] if cell["cell_type"] == "code"]
    return [source for source in sources if source.strip()]


@contextlib.contextmanager
def seats(
    count: int, way: Way, folder: Path, *, first: int = 0, old: bool | None = None, prefix: str = ""
) -> Iterator[list[Seat]]:
    """Students without kernels yet; all have left when this ends, and their homes are gone."""
    taken: list[Seat] = []
    try:
        for number in range(first, first + count):
            taken.append(Seat(number, way, folder, old=old, prefix=prefix))
        yield taken
    finally:
        with ThreadPoolExecutor(max_workers=max(len(taken), 1)) as pool:
            list(pool.map(Seat.leave, taken))


def everybody(students: Sequence[Seat], do: str, at_once: int = 2, **more: Any) -> list[Any]:
    """All do the same, `at_once` at a time."""
    with ThreadPoolExecutor(max_workers=at_once) as pool:
        return list(pool.map(lambda seat: seat.tell(do, **more), students))
