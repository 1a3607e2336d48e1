"""How an application's process is started and made to end with the Jupyter server."""

from __future__ import annotations

import atexit
import logging
import os
from collections.abc import Sequence
from functools import partial

import psutil

from serverproxy.host import Host

log = logging.getLogger(__name__)

_promised: set[str] = set()


def ends_with_parent(command: Sequence[str], host: Host) -> list[str]:
    """The command, told to get SIGTERM when its parent dies; as it is without util-linux setpriv.

    setpriv execs the command, so the process id and signals stay the application's own. A Jupyter
    server that is killed for memory then leaves no application behind.
    """
    setpriv = host.which("setpriv")
    if setpriv is None or setpriv.resolve().name.startswith(("busybox", "toybox")):
        return list(command)  # those have no --pdeathsig
    return [str(setpriv), "--pdeathsig", "TERM", "--", *command]


def literal(command: Sequence[str]) -> list[str]:
    """The command with braces doubled, for jupyter-server-proxy passes it through `str.format`."""
    return [part.replace("{", "{{").replace("}", "}}") for part in command]


def stop_at_exit(marker: str, grace_seconds: float) -> None:
    """Once this process ends, stop its children whose command line contains `marker`, and wait.

    The supervisor of jupyter-server-proxy leaves at once: in a container the main process is then
    gone and the kernel kills an application that is still saving. Repeated calls are one promise.
    """
    if marker not in _promised:
        _promised.add(marker)
        atexit.register(partial(_stop_children, marker, grace_seconds, os.getpid()))


def _stop_children(marker: str, grace_seconds: float, owner: int) -> None:
    if os.getpid() != owner:  # a fork of the server has children of its own
        return
    children = []
    for child in psutil.Process().children():
        try:
            if any(marker in part for part in child.cmdline()):
                child.terminate()
                children.append(child)
        except psutil.Error:
            continue
    for child in psutil.wait_procs(children, timeout=grace_seconds)[1]:
        log.warning(
            "Process %d did not end within %g s after SIGTERM; killing it, what it had not saved "
            "is lost.",
            child.pid,
            grace_seconds,
        )
        try:
            child.kill()
        except psutil.Error:
            continue
