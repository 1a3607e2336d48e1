"""Replaces this process by a fresh one of the same command line, environment and layout."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import NoReturn

from . import layout, streams


def begin_again(plan: str, stack: tuple[int, int] | None) -> NoReturn:
    """With `plan` as its last argument. `stack`: the limit to start with, and the usual one.

    Not as Python sees them: it may have changed both. Errors: OSError, ValueError.
    """
    command = Path("/proc/self/cmdline").read_bytes().split(b"\0")[:-1]
    entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    environment = dict(entry.partition(b"=")[::2] for entry in entries if b"=" in entry)
    streams.keep_over_exec()
    if stack is not None:
        layout.set_stack_limit(stack[0])
    os.execve(sys.executable, [*command[:-1], plan.encode()], environment)
