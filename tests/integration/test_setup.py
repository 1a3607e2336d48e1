"""scripts/setup.sh on machines that lack something: a sentence that says what to type."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TOOLS = (
    "bash", "cat", "dirname", "env", "find", "git", "grep", "id", "ln", "mkdir", "readlink", "rm",
    "sed", "sort", "tail", "tr", "uname",
)  # fmt: skip


class Machine:
    """A checkout with the set-up script, and a PATH that holds only what is put there."""

    def __init__(self, folder: Path) -> None:
        self.checkout = folder / "checkout"
        (self.checkout / "scripts").mkdir(parents=True)
        shutil.copy(ROOT / "scripts" / "setup.sh", self.checkout / "scripts")
        (self.checkout / "labext" / "lab").mkdir(parents=True)
        for name in ("package.json", "package-lock.json"):
            shutil.copy(ROOT / "labext" / "lab" / name, self.checkout / "labext" / "lab")
        for name in ("pyproject.toml", "hatch_build.py"):
            shutil.copy(ROOT / name, self.checkout)
        library = Path("labext", "kernels", "native", "arrays.c")
        (self.checkout / library).parent.mkdir(parents=True)
        shutil.copy(ROOT / library, self.checkout / library)
        self.bin = folder / "bin"
        self.bin.mkdir()
        for tool in TOOLS:
            self.has(tool)

    def has(self, tool: str, program: str | None = None) -> None:
        """Put `tool` on PATH: the real one, or a shell script."""
        path = self.bin / tool
        if program is not None:
            path.write_text(f"#!/bin/sh\n{program}\n")
            path.chmod(0o755)
        elif (found := shutil.which(tool)) is not None:
            path.symlink_to(found)

    def setup(self, goal: str = "demo") -> subprocess.CompletedProcess[str]:
        """Run the script; nothing may be installed from outside."""
        return subprocess.run(
            ["/bin/bash", self.checkout / "scripts" / "setup.sh", goal],
            env={
                "PATH": str(self.bin),
                "HOME": str(self.checkout),
                "SAMEPAGE_NO_APT": "1",
                "PIP_CONFIG_FILE": os.devnull,
                "PIP_NO_INDEX": "1",
            },
            capture_output=True,
            text=True,
            timeout=120,
        )


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    return Machine(tmp_path)


def test_without_git(machine: Machine) -> None:
    (machine.bin / "git").unlink()
    done = machine.setup()
    assert done.returncode == 1
    assert "'git' is missing and could not be installed from here." in done.stderr
    assert "sudo apt-get install git" in done.stderr


def test_without_python_or_with_an_old_one(machine: Machine) -> None:
    machine.has("python3", "exit 1")
    done = machine.setup()
    assert done.returncode == 1
    assert "Python 3.11 or newer was not found" in done.stderr
    assert "make demo PYTHON=" in done.stderr
    assert not (machine.checkout / ".venv").exists()


def test_without_venv_module(machine: Machine) -> None:
    machine.has("python3.11", 'case "$2" in *ensurepip*) exit 1;; *print*) echo 3.11;; esac')
    done = machine.setup()
    assert done.returncode == 1
    assert "cannot make virtual environments" in done.stderr
    assert "sudo apt-get install python3.11-venv" in done.stderr


@pytest.mark.parametrize("node", [None, "exit 1"], ids=["no Node", "old Node"])
def test_without_node_and_without_openrefine(machine: Machine, node: str | None) -> None:
    machine.has("python3", f'exec {sys.executable} "$@"')
    if node is not None:
        machine.has("node", node)
    done = machine.setup()
    assert done.returncode == 1
    assert "Node.js 20 or newer is needed to build the JupyterLab extension" in done.stderr
    assert "https://nodejs.org" in done.stderr
    # The missing application is no reason to stop: its card will say the same.
    assert "OpenRefine is not installed. On Debian or Ubuntu, type:" in done.stdout
