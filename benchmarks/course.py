"""A course repository of a given size behind a real git server, in a process of its own."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def make_repository(folder: Path, *, megabytes: int, name: str = "course") -> Path:
    """A bare repository `folder`/`name`.git with one file of random bytes per megabyte."""
    source = folder / "source"
    source.mkdir(parents=True)
    noise = random.Random(7)  # the same bytes, hence the same work, in every run
    for number in range(megabytes):
        (source / f"data-{number:03}.bin").write_bytes(noise.randbytes(1_000_000))
    (source / "README.md").write_text("A course for measurements.\n")
    _git(source, "init", "--quiet", "--initial-branch=main")
    _git(source, "add", ".")
    who = ["-c", "user.name=Benchmark", "-c", "user.email=benchmark@example.org"]
    _git(source, *who, "commit", "--quiet", "--message=Course")
    served = folder / "served"
    served.mkdir()
    _git(folder, "clone", "--quiet", "--bare", str(source), str(served / f"{name}.git"))
    return served


@contextmanager
def serving(folder: Path) -> Iterator[str]:
    """Serve the bare repository in `folder` over smart HTTP; its address."""
    command = [sys.executable, "-m", "demo.git_server", "--root", str(folder)]
    process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
        if not line.startswith("serving "):
            raise RuntimeError(f"The git server did not start: {line!r}")
        yield line.split()[1]
    finally:
        process.terminate()
        process.wait(20)
        if process.stdout is not None:
            process.stdout.close()


def _git(folder: Path, *arguments: str) -> None:
    subprocess.run(["git", *arguments], cwd=folder, check=True)
