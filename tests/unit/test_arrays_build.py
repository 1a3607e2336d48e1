"""hatch_build: the C library is compiled where it can be, and a build says where it cannot."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import hatch_build

ROOT = Path(__file__).parents[2]
MACHINE = os.uname().machine
HERE = {key: value for key, value in os.environ.items() if not key.startswith("SAMEPAGE")}
COMPILER = shutil.which("cc")

needs_compiler = pytest.mark.skipif(COMPILER is None, reason="no C compiler here")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of what the build reads."""
    root = tmp_path / "tree"
    (root / hatch_build.FOLDER).mkdir(parents=True)
    (root / hatch_build.SOURCE).parent.mkdir()
    shutil.copy(ROOT / hatch_build.SOURCE, root / hatch_build.SOURCE)
    shutil.copy(ROOT / "hatch_build.py", root)
    return root


@pytest.fixture
def no_zig(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)


def program(folder: Path, name: str, body: str) -> Path:
    path = folder / name
    path.write_text(f"#!{sys.executable}\n{body}\n")
    path.chmod(0o755)
    return path


@needs_compiler
def test_two_builds_give_the_same_bytes_which_load_and_export_only_what_is_meant(
    tree: Path, tmp_path: Path
) -> None:
    other = tmp_path / "elsewhere" / "deeper"
    shutil.copytree(tree, other)
    libraries = []
    for root in (tree, other):
        built = hatch_build.build(root, root, [MACHINE], HERE)
        assert built.problems == ()
        libraries.append(root / f"arrays-{MACHINE}.so")
        assert built.files == (libraries[-1],)
    assert libraries[0].read_bytes() == libraries[1].read_bytes()
    assert str(tmp_path).encode() not in libraries[0].read_bytes()
    assert libraries[0].stat().st_mode & 0o777 == 0o644
    loaded = ctypes.CDLL(str(libraries[0]))
    assert loaded.samepage_arrays_release() == 0
    assert not hasattr(loaded, "array_malloc")


@needs_compiler
def test_in_place_it_is_compiled_when_missing_or_older_than_its_source(tree: Path) -> None:
    def run() -> str:
        done = subprocess.run(
            [sys.executable, "-S", tree / "hatch_build.py"],
            env=HERE, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        return done.stdout + done.stderr

    library = tree / hatch_build.FOLDER / f"arrays-{MACHINE}.so"
    line = f"compiled labext/kernels/aligned/{library.name}\n"
    assert run() == line
    first = library.stat()
    assert run() == ""
    source = tree / hatch_build.SOURCE
    os.utime(source, ns=(first.st_mtime_ns, first.st_mtime_ns + 1))
    assert run() == line
    # A new file in its place: whoever has the old one open keeps it.
    assert library.stat().st_ino != first.st_ino
    assert [path.name for path in library.parent.iterdir()] == [library.name]


@needs_compiler
def test_source_that_does_not_compile_leaves_the_library_that_is_there(tree: Path) -> None:
    library = tree / hatch_build.FOLDER / f"arrays-{MACHINE}.so"
    library.write_bytes(b"earlier")
    (tree / hatch_build.SOURCE).write_text("int broken(void) { return nothing; }\n")
    os.utime(library, (0, 0))
    built = hatch_build.build_in_place(tree, HERE)
    assert built.files == ()
    (problem,) = built.problems
    assert problem.startswith(f"arrays-{MACHINE}.so could not be compiled: ")
    assert "arrays.c:1" in problem
    assert library.read_bytes() == b"earlier"
    assert [path.name for path in library.parent.iterdir()] == [library.name]


@needs_compiler
def test_a_function_that_no_library_has_fails_the_build_not_a_kernel(tree: Path) -> None:
    (tree / hatch_build.SOURCE).write_text(
        "int nowhere(void);\nint f(void) { return nowhere(); }\n"
    )
    built = hatch_build.build(tree, tree, [MACHINE], HERE)
    assert built.files == ()
    assert "undefined" in built.problems[0]


@needs_compiler
def test_a_compiler_that_fails_is_followed_by_the_next(
    tree: Path, tmp_path: Path, no_zig: None
) -> None:
    program(tmp_path, "cc", "raise SystemExit('cc has no headers')")
    (tmp_path / "gcc").symlink_to(str(COMPILER))
    # Its assembler and linker.
    path = f"{tmp_path}:{HERE['PATH']}"
    environment = {**{k: v for k, v in HERE.items() if k != "CC"}, "PATH": path}
    assert hatch_build.build(tree, tree, [MACHINE], environment).problems == ()
    (tmp_path / "gcc").unlink()
    (tmp_path / "gcc").symlink_to("/nonexistent")
    environment["PATH"] = str(tmp_path)
    (problem,) = hatch_build.build(tree, tree, [MACHINE], environment).problems
    assert f"{tmp_path}/cc: ended with 1\n  cc has no headers" in problem


def test_chosen_compiler_is_the_only_one(tree: Path, tmp_path: Path) -> None:
    chosen = program(tmp_path, "my cc", "raise SystemExit('not today')")
    command = f"{shlex.quote(str(chosen))} -m64"
    assert hatch_build.compilers(MACHINE, {**HERE, "CC": command}) == [[str(chosen), "-m64"]]
    (problem,) = hatch_build.build(tree, tree, [MACHINE], {**HERE, "CC": command}).problems
    assert "not today" in problem
    (problem,) = hatch_build.build(tree, tree, [MACHINE], {**HERE, "CC": "nocc"}).problems
    assert "nocc: cannot be run (No such file or directory)" in problem
    (problem,) = hatch_build.build(tree, tree, [MACHINE], {**HERE, "CC": "true"}).problems
    assert problem.endswith("true: wrote nothing")


def test_a_compiler_for_another_machine_is_noticed(tree: Path, tmp_path: Path) -> None:
    foreign = program(
        tmp_path,
        "cc",
        "import pathlib, sys\n"
        "out = pathlib.Path(sys.argv[sys.argv.index('-o') + 1])\n"
        "out.write_bytes(b'\\x7fELF\\x02\\x01' + bytes(12) + b'\\xf7\\x00')",
    )
    (problem,) = hatch_build.build(tree, tree, [MACHINE], {**HERE, "CC": str(foreign)}).problems
    assert f"compiles for another machine than {MACHINE}" in problem


def test_targets_are_zigs(tree: Path, no_zig: None) -> None:
    environment = {**HERE, "SAMEPAGE_ARRAYS_TARGETS": "x86_64 aarch64 x86_64"}
    wanted = hatch_build.machines(environment)
    assert wanted == ("x86_64", "aarch64")
    problems = hatch_build.build(tree, tree, wanted, environment).problems
    assert [problem.partition(" ")[0] for problem in problems] == [
        "arrays-x86_64.so",
        "arrays-aarch64.so",
    ]
    assert all(
        "SAMEPAGE_ARRAYS_TARGETS needs Zig: pip install ziglang" in text for text in problems
    )


def test_zig_is_asked_for_an_old_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: object())
    monkeypatch.setattr(hatch_build, "own_machine", lambda: "x86_64")
    zig = [sys.executable, "-m", "ziglang", "cc", "-target"]
    empty = {"PATH": "/nonexistent"}
    assert hatch_build.compilers("x86_64", empty) == [[*zig, "x86_64-linux-gnu.2.17"]]
    assert hatch_build.compilers("riscv64", empty) == []
    # Named: also before a $CC, which compiles for this machine's glibc.
    named = {"CC": "gcc", "SAMEPAGE_ARRAYS_TARGETS": "x86_64"}
    assert hatch_build.compilers("x86_64", named) == [[*zig, "x86_64-linux-gnu.2.17"]]


def test_switch() -> None:
    assert hatch_build.machines({}) == (MACHINE,)
    assert hatch_build.machines({"SAMEPAGE_ARRAYS": "require"}) == (MACHINE,)
    assert hatch_build.machines({"SAMEPAGE_ARRAYS": "0"}) == ()
    with pytest.raises(hatch_build.ArraysError, match=r"'maybe'\. Give 0"):
        hatch_build.machines({"SAMEPAGE_ARRAYS": "maybe"})
    with pytest.raises(hatch_build.ArraysError, match=r"names pdp11\. It may hold: x86_64 aarch64"):
        hatch_build.machines({"SAMEPAGE_ARRAYS_TARGETS": "x86_64 pdp11"})


def test_switched_off_in_place_compiles_nothing(tree: Path) -> None:
    assert hatch_build.build_in_place(tree, {**HERE, "SAMEPAGE_ARRAYS": "0"}) == ((), ())
    assert list((tree / hatch_build.FOLDER).iterdir()) == []


def test_required_in_place_fails_with_a_sentence(tree: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", tree / "hatch_build.py"],
        env={**HERE, "CC": "/nonexistent/cc", "SAMEPAGE_ARRAYS": "require"},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "/nonexistent/cc: cannot be run" in done.stderr
    assert done.stderr.splitlines()[-1] == hatch_build.WITHOUT
