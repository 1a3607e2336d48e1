"""Dockerfiles and scripts of the images, as their linters see them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
SCRIPTS = sorted((ROOT / "images").rglob("*.sh"))


def said(*command: str | Path) -> str:
    done = subprocess.run(
        [str(word) for word in command], capture_output=True, text=True, timeout=120, check=False
    )
    return "" if done.returncode == 0 else done.stdout + done.stderr


@pytest.mark.parametrize("path", DOCKERFILES, ids=lambda path: path.parent.name)
def test_hadolint(path: Path) -> None:
    assert said(BIN / "hadolint", "--no-color", "--failure-threshold", "warning", path) == ""


def test_shellcheck() -> None:
    assert SCRIPTS
    assert said(BIN / "shellcheck", "-x", *SCRIPTS) == ""


def test_what_the_manifests_and_images_call_exists() -> None:
    """HEALTHCHECK and probes use options of the command line."""
    for words in (["status", "--quiet"], ["reader", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "nodeagent", *words, "--help"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert words[1] in done.stdout
