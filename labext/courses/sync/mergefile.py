"""Runs `git merge-file`, which needs no repository."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

_NAMES = ("ours", "base", "theirs")


def merge_file(base: bytes, ours: bytes, theirs: bytes) -> tuple[bytes, bool]:
    """The merge, with the student's lines where both changed the same ones; whether they did."""
    with tempfile.TemporaryDirectory(prefix="samepage-merge-") as folder:
        for name, side in zip(_NAMES, (ours, base, theirs), strict=True):
            (Path(folder) / name).write_bytes(side)
        done = _run(folder)
        if done.returncode == 0:
            return done.stdout, False
        done = _run(folder, "--ours")
        # Not 0: git takes it for binary.
        return (done.stdout if done.returncode == 0 else ours), True


def _run(folder: str, *options: str) -> subprocess.CompletedProcess[bytes]:
    env = {
        "GIT_CEILING_DIRECTORIES": str(Path(folder).parent),
        "GIT_CONFIG_GLOBAL": "/dev/null",
        "GIT_CONFIG_NOSYSTEM": "1",
        "PATH": os.environ.get("PATH", os.defpath),
    }
    return subprocess.run(
        ["git", "merge-file", "-p", "-q", *options, *_NAMES],
        cwd=folder,
        env=env,
        capture_output=True,
    )
