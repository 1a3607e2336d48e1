"""A small process that outlives the server by as long as its applications need to be ended.

It waits for the end of the server (its end of a pipe closes, or the process is gone, even by
SIGKILL), reads the records in the runtime folder, and ends what they name: SIGTERM, grace, SIGKILL.
Signals meant for the server's group do not reach it. Run by `guard`, never by hand.
"""

from __future__ import annotations

import os
import select
import shutil
import signal
import sys
import time
from pathlib import Path

from serverproxy.supervisor.ending import end_all
from serverproxy.supervisor.registry import read_records, remove_record

_LOOK_S = 1000  # milliseconds between looks at the server where the kernel has no pidfd
_STEADY_S = 0.3


def wait_for_end(server: int, pipe: int) -> None:
    """Return once the server is gone: the pipe tells, or the process itself."""
    poll = select.poll()
    poll.register(pipe, select.POLLIN | select.POLLHUP)
    process: int | None = None
    try:
        process = os.pidfd_open(server)
        poll.register(process, select.POLLIN)
    except (OSError, AttributeError):
        process = None
    try:
        # Once it is gone we have another parent; a fork of the server may keep the pipe open.
        while os.getppid() == server:
            if poll.poll(None if process is not None else _LOOK_S):
                return
    finally:
        if process is not None:
            os.close(process)


def clear(folder: Path) -> None:
    """End everything that is recorded, also what is recorded meanwhile, and remove the folder."""
    while True:
        records = read_records(folder)
        if not records:
            break
        stuck = end_all(
            records, strict=False, on_gone=lambda record: remove_record(folder, record.mark)
        )
        if stuck:
            return  # the next server's sweep tries again
        time.sleep(_STEADY_S)
    shutil.rmtree(folder, ignore_errors=True)


def main(arguments: list[str]) -> None:
    """`guardian FOLDER SERVER_PID`, the pipe as standard input, the folder's lock inherited."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    folder, server = Path(arguments[0]), int(arguments[1])
    wait_for_end(server, sys.stdin.fileno())
    clear(folder)
