"""Which processes an estimate looks at, and to whom they belong."""

import os
import re
from dataclasses import dataclass
from pathlib import Path

from nodeagent.ksm.processes import real_uid
from nodeagent.workloads.cgroup import parse_cgroup
from nodeagent.workloads.owner import Owner, owner_of

KERNELS = r"ipykernel|IRkernel|IJulia|xeus|jupyterhub-singleuser|jupyter-lab|jupyter-server"


@dataclass(frozen=True, kw_only=True)
class Chosen:
    """One process. `private_bytes`: about what will have to be read."""

    pid: int
    owner: Owner
    private_bytes: int


def choose(
    proc: Path,
    *,
    pids: tuple[int, ...] = (),
    command: str | None = None,
    cgroup: str | None = None,
) -> list[Chosen]:
    """By process id, or by patterns in command line and cgroup; without any: notebook kernels."""
    if not pids and command is None and cgroup is None:
        command = KERNELS
    found = []
    for name in os.listdir(proc):  # noqa: PTH208  # thousands of entries
        if not name.isdigit() or int(name) == os.getpid():
            continue
        if pids and int(name) not in pids:
            continue
        folder = proc / name
        try:
            line = (folder / "cmdline").read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
            groups = (folder / "cgroup").read_text(encoding="utf-8", errors="replace")
            statm = (folder / "statm").read_text(encoding="ascii").split()
            uid = real_uid((folder / "status").read_text(encoding="utf-8", errors="replace"))
        except OSError:
            continue
        if uid is None:
            continue
        if command is not None and not re.search(command, line):
            continue
        if cgroup is not None and not re.search(cgroup, groups):
            continue
        private = (int(statm[1]) - int(statm[2])) * os.sysconf("SC_PAGESIZE")
        if private > 0:
            owner = owner_of(parse_cgroup(groups), uid)
            found.append(Chosen(pid=int(name), owner=owner, private_bytes=private))
    return sorted(found, key=lambda each: each.pid)
