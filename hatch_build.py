"""Compiles the memory of NumPy's big arrays (labext/kernels/native), for wheels and in place.

The library is optional: kernels without it work as with it, and big arrays of different students
merge less. So a build without a C compiler warns and goes on. The wheel stays `py3-none-any`: the
library is data for ctypes whose name says its machine (`arrays-x86_64.so`), with nothing of
Python's binary interface; elsewhere that file is never opened.

`SAMEPAGE_ARRAYS=require`: a build without it fails; `SAMEPAGE_ARRAYS=0`: it is not built.
`SAMEPAGE_ARRAYS_TARGETS="x86_64 aarch64"`: for these machines, by Zig (PyPI's `ziglang`), for
glibc 2.17 and newer. `python hatch_build.py` compiles in place what is older than its source, and
needs nothing but Python for it.
"""

from __future__ import annotations

import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE = Path("labext", "kernels", "native", "arrays.c")
FOLDER = Path("labext", "kernels", "aligned")
SWITCH = "SAMEPAGE_ARRAYS"
TARGETS = "SAMEPAGE_ARRAYS_TARGETS"
WITHOUT = "Without it everything works, but big NumPy arrays of different students merge less."
#: Machine, as uname names it, to Zig's name of it; the oldest glibc that has both.
ZIG_TARGETS = {
    "x86_64": "x86_64-linux-gnu.2.17",
    "aarch64": "aarch64-linux-gnu.2.17",
}
#: No build id, no symbols, no paths: the same source and compiler give the same bytes.
FLAGS = (
    *("-O2", "-std=c11", "-fPIC", "-shared", "-pthread", "-fvisibility=hidden"),
    *("-Wall", "-Wextra", "-Werror"),
    *(
        "-Wl,-z,relro",
        "-Wl,-z,nodelete",
        "-Wl,-z,now",
        "-Wl,-z,defs",
        "-Wl,--build-id=none",
        "-Wl,-s",
    ),
)
_SECONDS = 300


class ArraysError(Exception):
    """There is no library; the text says what was tried and what it answered."""


class Built(NamedTuple):
    """What a build gave."""

    files: tuple[Path, ...]
    #: One sentence for each machine that has no library.
    problems: tuple[str, ...]


def own_machine() -> str:
    """This machine's name, such as x86_64."""
    return os.uname().machine


def library_name(machine: str) -> str:
    """Name of the library's file, which kernels look for."""
    return f"arrays-{machine}.so"


def machines(environment: Mapping[str, str]) -> tuple[str, ...]:
    """For which machines a wheel gets the library. Errors: ArraysError for a bad setting."""
    setting = environment.get(SWITCH, "")
    if setting not in ("", "0", "1", "require"):
        raise ArraysError(f"{SWITCH} is {setting!r}. Give 0 (without the library) or require.")
    if setting == "0":
        return ()
    named = tuple(dict.fromkeys(environment.get(TARGETS, "").split()))
    unknown = [machine for machine in named if machine not in ZIG_TARGETS]
    if unknown:
        known = " ".join(ZIG_TARGETS)
        raise ArraysError(f"{TARGETS} names {', '.join(unknown)}. It may hold: {known}.")
    return named or (own_machine(),)


def compilers(machine: str, environment: Mapping[str, str]) -> list[list[str]]:
    """Commands that may compile for `machine`, the first choice first."""
    zig: list[list[str]] = []
    if machine in ZIG_TARGETS and importlib.util.find_spec("ziglang") is not None:
        zig = [[sys.executable, "-m", "ziglang", "cc", "-target", ZIG_TARGETS[machine]]]
    if machine in environment.get(TARGETS, "").split() or machine != own_machine():
        return zig
    chosen = shlex.split(environment.get("CC", ""))
    if chosen:
        return [chosen]
    path = environment.get("PATH", os.defpath)
    found = [shutil.which(name, path=path) for name in ("cc", "gcc", "clang")]
    return [*([command] for command in found if command is not None), *zig]


def compile_library(
    source: Path, target: Path, machine: str, environment: Mapping[str, str]
) -> None:
    """Compile `source` to `target`, whole or not at all. Errors: ArraysError."""
    tried: list[str] = []
    candidates = compilers(machine, environment)
    # Beside the target: one step puts it in the place of the one that kernels have open.
    draft = target.with_name(f"{target.name}.{os.getpid()}")
    try:
        for command in candidates:
            # A name without folders: the compiler's place and the tree's do not get in.
            line = [*command, *FLAGS, "-o", str(draft.resolve()), source.name]
            answer = _run(line, source.parent, environment) or _misfit(draft, machine)
            if answer is None:
                draft.chmod(0o644)
                draft.replace(target)
                return
            tried.append(f"{shlex.join(command)}: {answer}")
    except OSError as err:
        tried.append(f"{target.parent} cannot be written ({err})")
    finally:
        draft.unlink(missing_ok=True)
    if not candidates and machine in environment.get(TARGETS, "").split():
        tried.append(f"{TARGETS} needs Zig: pip install ziglang, for {sys.executable}")
    elif not candidates:
        tried.append(
            "no C compiler was found (looked for $CC, cc, gcc, clang and the Python package"
            " ziglang). On Debian or Ubuntu, type:  sudo apt-get install gcc libc6-dev"
        )
    raise ArraysError(f"{target.name} could not be compiled: {'; '.join(tried)}")


def build(root: Path, folder: Path, wanted: Sequence[str], environment: Mapping[str, str]) -> Built:
    """Compile the source of the tree `root` for the machines `wanted` into `folder`."""
    files: list[Path] = []
    problems: list[str] = []
    for machine in wanted:
        target = folder / library_name(machine)
        try:
            compile_library(root / SOURCE, target, machine, environment)
            files.append(target)
        except ArraysError as err:
            problems.append(str(err))
    return Built(files=tuple(files), problems=tuple(problems))


def build_in_place(root: Path, environment: Mapping[str, str]) -> Built:
    """Compile for this machine into the tree what is missing or older than its source.

    Errors: ArraysError for a bad setting.
    """
    target = root / FOLDER / library_name(own_machine())
    if not machines(environment) or _is_current(target, root):
        return Built(files=(), problems=())
    # What it is compiled for elsewhere is the wheel's business.
    here = {name: value for name, value in environment.items() if name != TARGETS}
    return build(root, target.parent, [own_machine()], here)


def get_build_hook() -> type[BuildHookInterface[Any]]:
    """Hatchling's hook; a function, so that this file needs no hatchling to compile in place."""
    from hatchling.builders.hooks.plugin.interface import BuildHookInterface

    class ArraysHook(BuildHookInterface[Any]):
        """Puts the library into wheels, or into the tree of an editable install."""

        _folder: tempfile.TemporaryDirectory[str] | None = None

        def initialize(self, version: str, build_data: dict[str, Any]) -> None:
            """Compile before the wheel is written."""
            root = Path(self.root)
            try:
                if version == "editable":
                    built = build_in_place(root, os.environ)
                else:
                    # Not into the tree: what lies there may be another build's, and in use.
                    self._folder = tempfile.TemporaryDirectory()
                    folder = Path(self._folder.name)
                    built = build(root, folder, machines(os.environ), os.environ)
                    for file in built.files:
                        build_data["force_include"][str(file)] = str(FOLDER / file.name)
            except ArraysError as err:
                self.app.abort(str(err))
                return
            if built.problems:
                self.app.display_warning("\n".join([*built.problems, WITHOUT]))
            if built.problems and os.environ.get(SWITCH) == "require":
                self.app.abort(f"{SWITCH}=require: there is no wheel without this library.")

        def finalize(self, version: str, build_data: dict[str, Any], artifact_path: str) -> None:
            """Remove what went into the wheel."""
            if self._folder is not None:
                self._folder.cleanup()

    return ArraysHook


def main() -> int:
    """Compile in place; 1 when that was required and failed."""
    root = Path(__file__).resolve().parent
    try:
        built = build_in_place(root, os.environ)
    except ArraysError as err:
        print(err, file=sys.stderr)
        return 1
    for file in built.files:
        print(f"compiled {file.relative_to(root)}")
    if built.problems:
        print(*built.problems, WITHOUT, sep="\n", file=sys.stderr)
    return 1 if built.problems and os.environ.get(SWITCH) == "require" else 0


def _is_current(target: Path, root: Path) -> bool:
    """Newer than its source and than this file, which holds the compiler's options."""
    try:
        made = target.stat().st_mtime_ns
    except OSError:
        return False
    sources = (root / SOURCE, root / Path(__file__).name)
    return all(made > source.stat().st_mtime_ns for source in sources)


def _run(line: Sequence[str], folder: Path, environment: Mapping[str, str]) -> str | None:
    """What went wrong; None when nothing did."""
    try:
        done = subprocess.run(
            line, cwd=folder, env={**environment, "LC_ALL": "C"}, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, errors="replace", timeout=_SECONDS, check=False,
        )  # fmt: skip
    except OSError as err:
        return f"cannot be run ({err.strerror})"
    except subprocess.TimeoutExpired:
        return f"no answer for {_SECONDS} seconds"
    if done.returncode == 0:
        return None
    said = (done.stderr or done.stdout).strip().splitlines()[:12]
    return "\n  ".join([f"ended with {done.returncode}", *said])


def _misfit(library: Path, machine: str) -> str | None:
    """Why this Python could not load it, by word size, byte order and machine in the ELF header.

    None: it could, or it is for another machine. A $CC may be a compiler for another one.
    """
    if not library.is_file():
        return "wrote nothing"
    if machine != own_machine():
        return None
    headers = []
    for path in (library, Path("/proc/self/exe")):
        with path.open("rb") as file:
            headers.append(file.read(20))
    own, python = ((header[:6], header[18:20]) for header in headers)
    return None if own == python else f"compiles for another machine than {machine}"


if __name__ == "__main__":
    sys.exit(main())
