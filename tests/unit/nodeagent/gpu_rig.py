"""A GPU monitor on the stand-in library, with a procfs and clocks that a test makes.

Real are pynvml, the child process and everything behind it; a stand-in is the driver.
"""

import asyncio
import atexit
import os
import shutil
import subprocess
import time
from collections.abc import Awaitable, Callable
from functools import lru_cache
from pathlib import Path
from tempfile import mkdtemp
from typing import Any

import pytest

from nodeagent.gpu.desk import Desk
from nodeagent.gpu.flags.ladder import LadderRules
from nodeagent.gpu.flags.live import FlagWatch
from nodeagent.gpu.flags.miner import MinerRules
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.reader import NvmlLink
from nodeagent.gpu.roster import Roster, RosterSource
from nodeagent.gpu.sharing.policy import Policy
from nodeagent.gpu.snapshot import GpuFacts, ProcessFacts, Snapshot

STANDIN = Path(__file__).parents[2] / "standins/nvml"
SCENARIOS = STANDIN / "scenarios"
CC = shutil.which("cc")
needs_cc = pytest.mark.skipif(CC is None, reason="the stand-in library needs a C compiler")

BOOT = 1_700_000_000
WALL = 1_800_000_000.0
TICKS = os.sysconf("SC_CLK_TCK")
POD = "0a1b2c3d-1111-2222-3333-444455556666"
CONTAINER = "ab" * 32


@lru_cache(maxsize=2)
def library(*defines: str) -> Path:
    """The folder of the built stand-in."""
    folder = Path(mkdtemp(prefix="nvml-standin-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    target = folder / "libnvidia-ml.so.1"
    source = STANDIN / "nvml_standin.c"
    command = [str(CC), "-shared", "-fPIC", "-Wall", "-Wextra", "-Werror", "-O1", *defines]
    subprocess.run([*command, "-o", str(target), str(source)], check=True)
    return folder


def scenario(name: str) -> str:
    return (SCENARIOS / f"{name}.txt").read_text()


class Proc:
    """A procfs folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        (folder / "stat").write_text(f"cpu  1 2 3\nbtime {BOOT}\n")
        (folder / "meminfo").write_text("MemTotal: 131072000 kB\nMemAvailable: 65536000 kB\n")

    def add(
        self,
        pid: int,
        *,
        cgroup: str = "/user.slice",
        name: str = "python3",
        state: str = "S",
        started: int = 100_000,
        command: str = "python3 -m ipykernel_launcher -f /x/kernel-11112222-aaaa.json",
        parent: int = 1,
        cpu: int = 0,
        inner: int | None = None,
        uid: int = 0,
    ) -> None:
        place = self.folder / str(pid)
        place.mkdir(exist_ok=True)
        fields = [state, str(parent), *["0"] * 9, str(cpu), "0", *["0"] * 6, str(started), "0"]
        (place / "stat").write_text(f"{pid} ({name}) {' '.join(fields)}\n")
        (place / "cgroup").write_text(f"0::{cgroup}\n")
        (place / "cmdline").write_text(command.replace(" ", "\0"))
        ids = f"Uid:\t{uid}\t0\t0\t0\nNSpid:\t{pid}\t{inner or pid}\n"
        (place / "status").write_text(f"Name:\t{name}\n{ids}")
        (place / "io").write_text("read_bytes: 0\nwrite_bytes: 0\n")

    def end(self, pid: int) -> None:
        shutil.rmtree(self.folder / str(pid))


def pod_cgroup(uid: str = POD, container: str = CONTAINER) -> str:
    slice_ = f"kubepods-burstable-pod{uid.replace('-', '_')}.slice"
    return f"/kubepods.slice/kubepods-burstable.slice/{slice_}/cri-containerd-{container}.scope"


class FixedRoster(RosterSource):
    """Answers what the test gave."""

    def __init__(self, roster: Roster) -> None:
        super().__init__(node="n1", api=lambda: None, pod_resources=Path("/nonexistent"))
        self.roster = roster

    async def read(self) -> Roster:
        return self.roster


class Rig:
    """`now`: monotonic seconds of everything but deadlines."""

    def __init__(self, folder: Path) -> None:
        self.state = folder / "nvml.txt"
        self.proc = Proc(folder / "proc")
        self.now = 1000.0
        self.skew = 0.0
        self.roster = Roster()
        self.defines: tuple[str, ...] = ()
        self.timeout = 20.0
        self.has_library = True
        self.sees_host = True
        self.host_pids = True
        self.policy = Policy()
        self.ladder = LadderRules()
        self.miner = MinerRules()
        for pid in range(1000, 1200):
            self.proc.add(pid)

    def write(self, text: str, *more: str) -> None:
        """The driver's state; later lines win. Replaced at once, as the library may be reading."""
        fresh = self.state.with_suffix(".new")
        fresh.write_text("\n".join([text.rstrip(), *more, ""]))
        fresh.replace(self.state)

    @property
    def wall(self) -> float:
        return WALL + self.now + self.skew

    def microseconds(self, ago: float = 0.5) -> int:
        return int((self.wall - ago) * 1e6)

    def monitor(self) -> GpuMonitor:
        env = os.environ | {
            "LD_LIBRARY_PATH": str(library(*self.defines)),
            "SAMEPAGE_NVML_STANDIN": str(self.state),
        }
        sys_root = self.state.parent / "sys"
        return GpuMonitor(
            link=NvmlLink(
                timeout=self.timeout,
                clock=time.monotonic,
                env=env,
                has_library=lambda: self.has_library,
                retry_first=0.0,
            ),
            roster=FixedRoster(self.roster),
            desk=Desk(self.policy, clock=lambda: self.wall),
            watch=FlagWatch(ladder=self.ladder, miner=self.miner),
            node="n1",
            tick=5.0,
            proc=self.proc.folder,
            sys_root=sys_root,
            clock=lambda: self.now,
            wall_clock=lambda: self.wall,
            sees_host=self.sees_host,
            host_pids=self.host_pids,
        )

    def run(self, script: Callable[[GpuMonitor], Awaitable[Any]]) -> Any:
        async def whole() -> Any:
            monitor = self.monitor()
            try:
                return await script(monitor)
            finally:
                await monitor.close()

        return asyncio.run(whole())

    def read(self) -> Snapshot:
        """One tick of a new monitor."""

        async def once(monitor: GpuMonitor) -> Snapshot:
            return await self.tick(monitor)

        return self.run(once)  # type: ignore[no-any-return]  # what once gives

    async def tick(self, monitor: GpuMonitor, times: int = 1, **changes: Any) -> Snapshot:
        """`times` ticks of 5 s. `changes`: of the roster's source."""
        for _ in range(times):
            self.now += 5.0
            await monitor.tick()
        assert monitor.snapshot is not None
        return monitor.snapshot


def card(snapshot: Snapshot, uuid: str) -> GpuFacts:
    return next(gpu for gpu in snapshot.gpus if gpu.uuid == uuid)


def listed(gpu: GpuFacts, pid: int) -> ProcessFacts:
    return next(each for each in gpu.processes.value or () if each.pid == pid)
