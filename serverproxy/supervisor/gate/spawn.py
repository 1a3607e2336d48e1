"""Starts a command behind a gate."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

from serverproxy.supervisor.gate.report import Report

_ROOT = Path(__file__).resolve().parents[3]
# Without site-packages and the user's settings: starts in a few ms and stays small.
_PROGRAM = (
    "import sys; sys.path.insert(0, sys.argv[1]); "
    "from serverproxy.supervisor.gate.process import main; main(*map(int, sys.argv[2:4]))"
)
_PASSED = ("PATH", "LD_LIBRARY_PATH")
_REPORT_S = 15.0


def spawn_guarded(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None,
    output: int,
    mark: Mapping[str, str],
) -> tuple[subprocess.Popen[bytes], Report]:
    """Start the command as the grandchild of a process that leads its own session and group.

    That process ends as the command does. mark: variables by which its processes are known. Where
    no gate is possible the command runs without one. Blocks until it runs; OSError or ValueError
    as of subprocess when it cannot.
    """
    for text in (*argv, *env, *env.values()):
        if "\0" in text:
            raise ValueError("embedded null byte")
    order = json.dumps(
        {"argv": list(argv), "env": dict(env), "cwd": None if cwd is None else str(cwd)}
    ).encode()
    # A file in memory: no pipe can fill up, and no command line shows what is in it.
    order_out = os.memfd_create("samepage-gate", os.MFD_CLOEXEC)
    report_in, report_out = os.pipe2(os.O_CLOEXEC)
    try:
        with os.fdopen(os.dup(order_out), "wb") as file:
            file.write(order)
        os.lseek(order_out, 0, os.SEEK_SET)
        kept = {name: os.environ[name] for name in _PASSED if name in os.environ}
        process = subprocess.Popen(
            [
                sys.executable,
                "-I",
                "-S",
                "-c",
                _PROGRAM,
                str(_ROOT),
                str(order_out),
                str(report_out),
            ],
            env={**kept, **mark},
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
            pass_fds=(order_out, report_out),
            start_new_session=True,
        )
    except OSError:
        os.close(report_in)
        raise
    finally:
        os.close(order_out)
        os.close(report_out)
    with os.fdopen(report_in, "rb") as file:
        told = _read(file.fileno())
    if told is not None and told["errno"] is not None:
        with suppress(subprocess.TimeoutExpired):
            process.wait(2.0)
        number = int(told["errno"])
        raise OSError(number, os.strerror(number), told["filename"])
    if told is None:
        return process, Report(guarded=False, reason="the gate did not report")
    return process, Report(guarded=bool(told["gate"]), reason=told["reason"])


def _read(descriptor: int) -> dict[str, Any] | None:
    """The report; None when the process ended or hung without one."""
    poll = select.poll()
    poll.register(descriptor, select.POLLIN)
    if not poll.poll(_REPORT_S * 1000):
        return None
    text = b""
    while part := os.read(descriptor, 4096):
        text += part
    try:
        report: dict[str, Any] = json.loads(text)
    except ValueError:
        return None
    return report


def probe() -> Report:
    """Whether a gate works on this machine: starts one and ends it at once. Blocks; OSError."""
    with open(os.devnull, "wb") as nowhere:  # noqa: PTH123 - a descriptor is wanted
        process, report = spawn_guarded(
            ["true"], env=dict(os.environ), cwd=None, output=nowhere.fileno(), mark={}
        )
    with suppress(subprocess.TimeoutExpired):
        process.wait(5.0)
    return report
