"""An agent in a container: cgroup paths and pids as the host has them.

From within a cgroup namespace every path in /proc/PID/cgroup is relative to the container's own
cgroup (`/../../pod.../...`), and cgroup.procs leaves out the processes of other pid namespaces.
"""

import os
import posixpath
from pathlib import Path

from nodeagent.workloads.cgroup import parse_cgroup

_MOST_FOLDERS = 50_000


def namespace_root(cgroups: Path, own: Path) -> str | None:
    """Where below `cgroups` (the host's hierarchy) this process's cgroup namespace begins.

    `own`: the same hierarchy as this process has it mounted; both show one folder under different
    names, so they are told by device and inode. `/` outside a namespace; None: not to be found.
    """
    try:
        wanted = own.stat()
        if os.path.samestat(wanted, cgroups.stat()):
            return "/"
    except OSError:
        return None
    looked = 0
    waiting = [str(cgroups)]
    while waiting and looked < _MOST_FOLDERS:
        folder = waiting.pop()
        looked += 1
        try:
            with os.scandir(folder) as entries:
                inside = [entry for entry in entries if entry.is_dir(follow_symlinks=False)]
            for entry in inside:
                if os.path.samestat(entry.stat(follow_symlinks=False), wanted):
                    return "/" + os.path.relpath(entry.path, cgroups)
        except OSError:
            continue  # removed meanwhile
        waiting += [entry.path for entry in inside]
    return None


def from_root(path: str, root: str) -> str:
    """`path`, relative to the namespace that begins at `root`, as the host has it. Pure."""
    return posixpath.normpath(f"{root.rstrip('/')}/{path.lstrip('/')}")


def is_namespaced(proc: Path) -> bool:
    """Whether paths in /proc/PID/cgroup are relative: init, near the top, is then seen above."""
    try:
        text = (proc / "1/cgroup").read_text(encoding="utf-8")
    except OSError:
        return False
    return (parse_cgroup(text).memory_path or "/").startswith("/..")


class Lodgers:
    """The processes of each memory cgroup from procfs alone; `renew` before asking."""

    def __init__(self, proc: Path, root: str) -> None:
        self._proc = proc
        self._root = root
        self._paths: list[tuple[str, int]] = []

    def renew(self) -> None:
        """Read the cgroup of every process."""
        self._paths = []
        for name in os.listdir(self._proc):  # noqa: PTH208  # cost
            if not name[0].isdigit():
                continue
            try:
                text = (self._proc / name / "cgroup").read_text(encoding="utf-8")
            except OSError:
                continue
            path = parse_cgroup(text).memory_path
            if path is not None:
                self._paths.append((from_root(path, self._root) + "/", int(name)))

    def within(self, level: str) -> list[int]:
        """Processes in `level` and below."""
        start = level.rstrip("/") + "/"
        return [pid for path, pid in self._paths if path.startswith(start)]
