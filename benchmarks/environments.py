"""Two equal virtual environments that differ in one installed wheel: ours.

"Plain" must not hold anything of ours: not the entry points that jupyter-server-proxy and
jupyter_client load, not the configuration that enables us. Switching us off by configuration
would leave those. So the environment of the benchmark is copied twice (hard links, seconds), our
distribution removed from both and the wheel installed into one, exactly as a user would.
"""

import argparse
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

DISTRIBUTION = "jupyter-samepage"
ROOT = Path(__file__).resolve().parents[1]


@dataclass(frozen=True, kw_only=True)
class Environments:
    """The interpreters of both."""

    plain: Path
    bundle: Path


def add_option(parser: argparse.ArgumentParser) -> None:
    """`--wheel FILE`: measure this wheel instead of building the tree."""
    parser.add_argument(
        "--wheel", type=Path, help="wheel to measure (default: build one from this tree)"
    )


def make(folder: Path, wheel: Path | None) -> Environments:
    """Make both below `folder`; needs this interpreter to run in a virtual environment."""
    if sys.prefix == sys.base_prefix:
        raise SystemExit("Run this from the project's virtual environment (make setup).")
    built = wheel or build_wheel(folder / "dist")
    plain = _copy(folder / "plain")
    bundle = _copy(folder / "bundle")
    _pip(bundle, "install", "--no-deps", "--no-index", str(built.resolve()))
    for python in (plain, bundle):
        # Files compiled on first import would count against whoever comes first.
        subprocess.run([python, "-m", "compileall", "-q", "-j0", _site(python)], check=False)
    return Environments(plain=plain, bundle=bundle)


def build_wheel(folder: Path) -> Path:
    """Build this tree's wheel (needs Node for the lab extension, and a C compiler)."""
    command = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    # Without its library there would be nothing to measure of big arrays.
    environment = {**os.environ, "SAMEPAGE_ARRAYS": "require"}
    subprocess.run([*command, "--outdir", str(folder), str(ROOT)], env=environment, check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def _copy(target: Path) -> Path:
    # Links only: pip and Python replace files, they never write into one.
    shutil.copytree(sys.prefix, target, symlinks=True, copy_function=_link)
    python = target / "bin" / "python"
    _pip(python, "uninstall", "--yes", DISTRIBUTION)
    return python


def _link(source: str, target: str) -> str:
    try:
        Path(target).hardlink_to(source)
    except OSError:  # another file system
        shutil.copy2(source, target, follow_symlinks=False)
    return target


def _pip(python: Path, *arguments: str) -> None:
    command = [str(python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
    subprocess.run(
        [*command, "--root-user-action=ignore"] if arguments[0] == "install" else command,
        check=True,
        stderr=None if arguments[0] == "install" else subprocess.DEVNULL,
    )


def _site(python: Path) -> str:
    (site,) = python.parents[1].glob("lib/python3*/site-packages")
    return str(site)
