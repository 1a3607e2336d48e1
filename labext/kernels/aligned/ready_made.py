"""What a preload reads from its cache folder, made by processes of their own when it is not there.

Making it takes seconds and leaves a heap unlike one that read it from the file.
"""

from __future__ import annotations

import contextlib
import subprocess
import time
from collections.abc import Iterable, Sequence

from . import descriptions, fonts


def missing(modules: Iterable[str]) -> list[list[str]]:
    """Commands that make what a preload of `modules` would read and is not there."""
    wanted = set(modules)
    found = [
        fonts.command() if "matplotlib.pyplot" in wanted else None,
        descriptions.command() if "jedi" in wanted else None,
    ]
    return [command for command in found if command is not None]


def make(commands: Sequence[list[str]], seconds: float) -> None:
    """Run them side by side; when one fails, the preload sees for itself."""
    running = []
    for command in commands:
        with contextlib.suppress(OSError):
            running.append(
                subprocess.Popen(
                    command,
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.DEVNULL,
                    stderr=subprocess.DEVNULL,
                )
            )
    end = time.monotonic() + seconds
    for process in running:
        try:
            process.wait(max(0.0, end - time.monotonic()))
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
