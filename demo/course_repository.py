"""The demo's course as a bare git repository, and the teacher's updates to it.

Everything is written with `git fast-import`: no work tree, one compressed pack, and, with fixed
names and dates, the same commit ids on every machine.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from demo import dataset

NAME = "answers-from-data"
TITLE = "Answers from data"
BRANCH = "main"
COURSE_FOLDER = Path(__file__).parent / "course"

TEACHER = "Course Team <courses@example.org>"
FIRST_DATE = 1_788_249_600  # 2026-09-01 08:00 UTC
UPDATE_STEP = 7 * 86_400  # updates are dated a week apart
DIGEST_KEY = "samepage.digest"
READ_BYTES = 1 << 20

UPDATED_NOTEBOOK = "03-pandas.ipynb"
NEWS = "NEWS.md"
CLEARER_CELL = "pandas-14"
CLEARER = "# Your code here: the three hours, each with its mean, as a table\n"
QUESTIONS = (
    (
        "Which station is the **busiest at night**, from 22:00 to 4:00?",
        "Select the hours first, then group by `name`.",
    ),
    (
        "On which **weekday** do the fewest bicycles pass, for each kind of street?",
        "`dt.day_name()` gives weekdays as words; group by two columns.",
    ),
    (
        "How many **dry hours in a row** were there at most, at station `S01`?",
        "`(rain != rain.shift()).cumsum()` numbers the spells.",
    ),
    (
        "Does a **wide lane** attract more bicycles? Compare stations by `lane_width_m`.",
        "`pd.cut` makes classes of a number. Mind the kind of street.",
    ),
    (
        "In which **month** does the temperature differ most between 5:00 and 15:00?",
        "A pivot table with months as rows and the two hours as columns.",
    ),
)


class CourseError(Exception):
    """The repository cannot be made or changed; the message says what git answered."""


@dataclass(frozen=True, kw_only=True)
class Course:
    """A ready repository: `commit` is the tip of its branch, `built` whether this call made it."""

    path: Path
    commit: str
    built: bool


@dataclass(frozen=True, kw_only=True)
class Update:
    """A published update: which one (from 1), its commit, and the files it touched."""

    number: int
    commit: str
    files: tuple[str, ...]


def ensure(root: Path, *, stations: int = dataset.STATIONS) -> Course:
    """Make `root/answers-from-data.git` if it is not there; bring it up to this checkout's course.

    The first call generates the data (some seconds). A changed course becomes a new commit, as a
    teacher would make it, so that students' clones go on. Errors: CourseError.
    """
    path, digest = root / f"{NAME}.git", _digest(stations)
    if path.is_dir():
        if _git(path, "config", "--get", DIGEST_KEY, may_fail=True) == digest:
            return Course(path=path, commit=_tip(path), built=False)
        _import_course(path, stations, "Revise the course", parent=_tip(path))
        _git(path, "config", DIGEST_KEY, digest)
        return Course(path=path, commit=_tip(path), built=True)
    root.mkdir(parents=True, exist_ok=True)
    for left in root.glob(f".{NAME}.*"):  # of a start that was killed
        shutil.rmtree(left, ignore_errors=True)
    # Under another name until it is complete: the folder's existence means a usable repository.
    with tempfile.TemporaryDirectory(dir=root, prefix=f".{NAME}.") as folder:
        new = Path(folder) / "new.git"
        _git(None, "init", "--quiet", "--bare", f"--initial-branch={BRANCH}", str(new))
        _import_course(new, stations, "Five notebooks and their data", parent=None)
        _git(new, "config", DIGEST_KEY, digest)
        new.rename(path)
    return Course(path=path, commit=_tip(path), built=True)


def publish_update(root: Path) -> Update:
    """Commit the teacher's next change: an exercise in the pandas notebook, a line in NEWS.md.

    The first one also makes an exercise clearer in its answer cell, where students have written
    meanwhile: they see how their answer stays, and the teacher's cell comes below.

    Works while the demo runs: "Pull now" then brings it. Errors: CourseError.
    """
    path = root / f"{NAME}.git"
    if not path.is_dir():
        raise CourseError(f"There is no course at {path} yet. Start the demo once: make demo")
    parent = _tip(path)
    news = _git(path, "show", f"{parent}:{NEWS}", may_fail=True) or "# News\n"
    number = news.count("\n## ") + 1
    question, hint = QUESTIONS[(number - 1) % len(QUESTIONS)]
    notebook = with_exercise(
        _git(path, "show", f"{parent}:{UPDATED_NOTEBOOK}"), number, question, hint
    )
    if number == 1:
        notebook = with_clearer_exercise(notebook)
    news = f"{news.rstrip()}\n\n## Week {number}\n\nA new exercise at the end of "
    news += f"[notebook 3]({UPDATED_NOTEBOOK}): {question}\n"
    files = {UPDATED_NOTEBOOK: notebook.encode(), NEWS: news.encode()}
    _fast_import(
        path,
        _commit(
            f"Week {number}: a new exercise",
            FIRST_DATE + number * UPDATE_STEP,
            parent,
            [(name, _inline(content)) for name, content in files.items()],
        ),
    )
    return Update(number=number, commit=_tip(path), files=tuple(files))


def with_exercise(notebook: str, number: int, question: str, hint: str) -> str:
    """The notebook (JSON) with two cells more at its end: a question, and room for the answer."""
    content = json.loads(notebook)
    text = f"## ✏️ Exercise of week {number}\n\n{question}\n\n*Hint:* {hint}"
    content["cells"] += [
        {
            "cell_type": "markdown",
            "id": f"week-{number:02d}-question",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        },
        {
            "cell_type": "code",
            "execution_count": None,
            "id": f"week-{number:02d}-answer",
            "metadata": {},
            "outputs": [],
            "source": ["# Your code here\n"],
        },
    ]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def with_clearer_exercise(notebook: str) -> str:
    """The notebook (JSON) with another comment in the cell that is to be answered."""
    content = json.loads(notebook)
    for cell in content["cells"]:
        if cell["id"] == CLEARER_CELL:
            cell["source"] = [CLEARER]
    return json.dumps(content, indent=1, ensure_ascii=False) + "\n"


def course_files() -> list[Path]:
    """The course's own files in this checkout, without the generated data."""
    return sorted(
        path
        for path in COURSE_FOLDER.iterdir()
        if path.suffix in {".ipynb", ".md"} and path.is_file()
    )


def _digest(stations: int) -> str:
    """Changes when the course or the program that makes its data does."""
    hasher = hashlib.sha256(f"{stations}".encode())
    for path in [*course_files(), Path(dataset.__file__)]:
        hasher.update(f"{path.name}\0{path.stat().st_size}\0".encode())
        hasher.update(path.read_bytes())
    return hasher.hexdigest()


def _import_course(repository: Path, stations: int, message: str, parent: str | None) -> None:
    with tempfile.TemporaryDirectory(dir=repository.parent, prefix=f".{NAME}.") as folder:
        counts, places = dataset.write(Path(folder), stations)
        files = [(path.name, _from_file(path)) for path in course_files()]
        files += [(f"data/{path.name}", _from_file(path)) for path in (counts, places)]
        files.append((".gitignore", _inline(b".ipynb_checkpoints/\n")))
        date = FIRST_DATE
        if parent is not None:
            date = _date(repository, parent) + 60
            news = _git(repository, "show", f"{parent}:{NEWS}", may_fail=True)
            if news:  # what is published stays published
                files.append((NEWS, _inline(f"{news}\n".encode())))
        _fast_import(repository, _commit(message, date, parent, files, replace=True))


def _date(repository: Path, commit: str) -> int:
    return int(_git(repository, "show", "--no-patch", "--format=%ct", commit))


def _commit(
    message: str,
    date: int,
    parent: str | None,
    files: Iterable[tuple[str, Iterator[bytes]]],
    *,
    replace: bool = False,
) -> Iterator[bytes]:
    """A commit in the language of git-fast-import(1); `files` join or replace the parent's."""
    yield f"commit refs/heads/{BRANCH}\n".encode()
    yield f"author {TEACHER} {date} +0000\ncommitter {TEACHER} {date} +0000\n".encode()
    yield from _inline(f"{message}\n".encode())
    if parent is not None:
        yield f"from {parent}\n".encode()
    if replace:
        yield b"deleteall\n"
    for name, content in files:
        yield f"M 100644 inline {name}\n".encode()
        yield from content
    yield b"done\n"


def _inline(content: bytes) -> Iterator[bytes]:
    yield b"data %d\n" % len(content)
    yield content
    yield b"\n"


def _from_file(path: Path) -> Iterator[bytes]:
    yield b"data %d\n" % path.stat().st_size
    with path.open("rb") as file:
        while piece := file.read(READ_BYTES):
            yield piece
    yield b"\n"


def _fast_import(repository: Path, stream: Iterable[bytes]) -> None:
    # A pack at once: loose files would be compressed anew for every clone. Level 3 halves the
    # time, and a class on one machine has no slow line.
    command = ["git", "-c", "fastimport.unpackLimit=0", "-c", "core.compression=3", "fast-import"]
    with tempfile.TemporaryFile() as errors:
        with subprocess.Popen(
            [*command, "--quiet", "--done"],
            cwd=repository,
            env=_environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=errors,
            start_new_session=True,  # Ctrl-C in the terminal is not for it
        ) as process:
            assert process.stdin is not None
            try:
                for piece in stream:
                    process.stdin.write(piece)
                process.stdin.close()
            except BrokenPipeError:
                pass  # the exit status and stderr say why
        if process.returncode:
            errors.seek(0)
            answer = errors.read().decode(errors="replace").strip()
            raise CourseError(f"git fast-import into {repository} failed: {answer}")


def _tip(repository: Path) -> str:
    return _git(repository, "rev-parse", "--verify", f"refs/heads/{BRANCH}").strip()


def _git(repository: Path | None, *arguments: str, may_fail: bool = False) -> str:
    """What git prints, trimmed at the end; empty where it fails and may."""
    done = subprocess.run(
        ["git", *arguments], cwd=repository, env=_environment(), capture_output=True, check=False
    )
    if done.returncode and not may_fail:
        answer = done.stderr.decode(errors="replace").strip()
        raise CourseError(f"git {' '.join(arguments)} in {repository} failed: {answer}")
    return "" if done.returncode else done.stdout.decode().rstrip("\n")


def _environment() -> dict[str, str]:
    """The user's git settings (signing, hooks, object format) are not for this repository."""
    env = {name: text for name, text in os.environ.items() if not name.startswith("GIT_")}
    return env | {
        "GIT_CONFIG_GLOBAL": os.devnull,
        "GIT_CONFIG_NOSYSTEM": "1",
        "GIT_CONFIG_COUNT": "1",
        "GIT_CONFIG_KEY_0": "safe.directory",
        "GIT_CONFIG_VALUE_0": "*",
    }
