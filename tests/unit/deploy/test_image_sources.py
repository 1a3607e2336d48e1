"""Dockerfiles and scripts of the images, as their linters see them."""

from __future__ import annotations

import hashlib
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[3]
BIN = Path(sys.executable).parent
DOCKERFILES = sorted((ROOT / "images").glob("*/Dockerfile"))
SCRIPTS = sorted(
    path
    for path in (ROOT / "images").rglob("*")
    if path.is_file() and path.read_bytes()[:32].startswith((b"#!/bin/sh", b"#!/usr/bin/env bash"))
)


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


def test_the_stage_that_builds_the_wheel_is_the_same_in_all() -> None:
    """Then one build of it serves them all."""
    stages = [
        path.read_text().partition("# --- wheel:")[2].split("\n\n# ---")[0] for path in DOCKERFILES
    ]
    assert len(DOCKERFILES) == 4
    assert len(set(stages)) == 1
    assert "images/wheel/build.sh" in stages[0]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["singleuser"], "has no digest"),
        (["nodeagent", "--rstudio", "--allow-unpinned"], "--rstudio is for the singleuser image"),
        (["nodeagnet"], "there is no image 'nodeagnet'"),
        (["bundle", "--ca", "/dev/null/ca"], "cannot read /dev/null/ca (for ca)"),
        (["bundle", "--frob"], "unknown option '--frob'"),
    ],
)
def test_build_refuses_before_it_starts(words: list[str], message: str) -> None:
    done = subprocess.run(
        ["images/build.sh", *words, "--builder", "/bin/false"],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert message in done.stderr


def test_a_download_without_a_checksum_is_refused(tmp_path: Path) -> None:
    """The function that fetches RStudio and OpenRefine, on a server's file."""
    text = (ROOT / "images" / "singleuser" / "applications.sh").read_text()
    fetch = text[text.index("fetch() {") : text.index("\n}\n") + 3]
    served = tmp_path / "thing.deb"
    served.write_bytes(b"thing")

    def got(checksum: str, **environment: str) -> subprocess.CompletedProcess[str]:
        script = (
            f'set -euo pipefail\n{fetch}\nfetch "file://{served}" "{checksum}" "{tmp_path}/got"'
        )
        return subprocess.run(
            ["bash", "-c", script], env={"PATH": "/usr/bin:/bin", **environment},
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip

    right = hashlib.sha256(b"thing").hexdigest()
    assert got(right).returncode == 0
    assert got("0" * 64).returncode != 0
    (tmp_path / "got").unlink()
    unpinned = got("")
    assert unpinned.returncode == 1
    assert "No checksum for file://" in unpinned.stderr
    assert not (tmp_path / "got").exists()
    assert got("", ALLOW_UNPINNED="1").returncode == 0


def test_what_the_manifests_and_images_call_exists() -> None:
    """HEALTHCHECK and probes use options of the command line."""
    for words in (["status", "--quiet"], ["reader", "--check"]):
        done = subprocess.run(
            [sys.executable, "-m", "nodeagent", *words, "--help"],
            cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
        )  # fmt: skip
        assert words[1] in done.stdout
