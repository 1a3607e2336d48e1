"""Spare kernels of a Jupyter server: opened with it, closed with it."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from jupyter_server.serverapp import ServerApp

from labext.courses.errors import CourseError
from labext.courses.model import CourseSpec
from labext.courses.target import resolve
from labext.memory import read_server_memory

from .courses import CourseKernels
from .node_switch import node_switch
from .provisioner import SamepageProvisioner
from .spare import SpareKeeper, keeper
from .spare_policy import Surroundings
from .support import node_merges

_AFTER_START_SECONDS = 3.0


def kernels_of(specs: Iterable[CourseSpec], root: Path) -> tuple[CourseKernels, ...]:
    """What the courses of a server with this root folder say of kernels. Reads links."""
    found = []
    for spec in specs:
        try:
            folder = resolve(root, spec.target)
        except (CourseError, OSError):
            continue
        found.append(
            CourseKernels(folder=folder, preload=spec.preload, merge=spec.merge, align=spec.align)
        )
    return tuple(found)


def look() -> Surroundings:
    """What the policy needs, read now. Blocks for milliseconds."""
    memory = read_server_memory()
    return Surroundings(
        wanted=True,
        limit_bytes=memory.limit_bytes,
        used_bytes=memory.used_bytes,
        available_bytes=_available(),
        node_merges=node_merges() and not node_switch.known().forbids,
    )


def open_for(server: ServerApp, *, keeper: SpareKeeper = keeper) -> str | None:
    """Keep spares for this server, and prepare the first; None, or why there is none yet."""
    keeper.open(look)
    manager = server.kernel_spec_manager
    if manager is None:
        return "this server has no kernels"
    name = server.kernel_manager.default_kernel_name
    provisioner = SamepageProvisioner(
        kernel_id="spare", kernel_spec=manager.get_kernel_spec(name), parent=server
    )
    return provisioner.prepare_spare(os.environ, delay=_AFTER_START_SECONDS)


def _available() -> int | None:
    try:
        with open("/proc/meminfo", encoding="ascii") as rows:  # noqa: PTH123 - a short read
            return next(int(row.split()[1]) << 10 for row in rows if row.startswith("MemAvail"))
    except (OSError, StopIteration, ValueError):
        return None
