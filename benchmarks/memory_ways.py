"""The ways to merge that `memory` compares: what is switched on, by whom."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path

from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.state import read_originals, restore
from nodeagent.ksm.sysfs import ADVISOR, KsmDir

from .agent_cost import agent
from .memory_students import ROOT, Way

#: Where scripts/setup.sh bench unpacks it.
UNPACKED = ROOT / ".cache" / "ksmtuned" / "usr" / "sbin" / "ksmtuned"
OFF = Way()
OPTED_IN = Way(merge=True)
NOT_ALIGNED = Way(
    provisioner="samepage-provisioner", settings={"SamepageProvisioner": {"aligned": False}}
)
SAMEPAGE = Way(provisioner="samepage-provisioner", spare=True)
NO_SPARE = Way(
    provisioner="samepage-provisioner", settings={"SamepageProvisioner": {"spare": False}}
)
KERNEL_DEFAULTS: dict[str, int | str] = {
    ADVISOR: "none",
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "smart_scan": 1,
    "use_zero_pages": 0,
}


def _no_news() -> None:
    return


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What runs beside the class.

    `pid`: of a program whose CPU counts, `url`: an agent's. `news`: tell it that a student came.
    """

    pid: int | None = None
    url: str | None = None
    news: Callable[[], None] = field(default=_no_news)


Tuner = Callable[[Path], AbstractContextManager[Tuned]]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One row. `merges`: whether there is anything to wait for."""

    letter: str
    name: str
    way: Way
    tuner: Tuner
    merges: bool = True
    tidies: bool = False
    """Its kernels give memory back when they have been quiet for a minute."""


class CannotRunError(Exception):
    """A way that this machine cannot show, in words."""


def wait_for_lock(seconds: float = 180) -> None:
    """Until nobody else steers KSM; after `seconds` taking the lock says who does."""
    until = time.monotonic() + seconds
    while KsmLock().held_elsewhere() and time.monotonic() < until:
        time.sleep(0.2)


@contextlib.contextmanager
def held(run: int, **values: int | str) -> Iterator[None]:
    """KSM set by hand and put back; the lock keeps agents out."""
    ksm = KsmDir()
    wait_for_lock()
    with KsmLock():
        before = read_originals(ksm)
        try:
            for name, value in (KERNEL_DEFAULTS | values).items():
                if ksm.read_word(name) is not None:
                    ksm.write(name, value)
            ksm.write("run", run)
            yield
        finally:
            ksm.write("run", 0)
            _, failed = restore(ksm, before)
            for err in failed:
                print(f"{err.message}. {err.fix}", file=sys.stderr)


def sweep(seconds: float = 20) -> None:
    """Have ksmd forget those who have left: it does so when it scans, and whoever is next pays."""
    ksm, until = KsmDir(), time.monotonic() + seconds
    known = ("pages_shared", "pages_sharing", "pages_unshared", "pages_volatile")
    with held(1, pages_to_scan=5000, sleep_millisecs=1):
        time.sleep(1)
        while any(ksm.read(name) for name in known) and time.monotonic() < until:
            time.sleep(0.1)


@contextlib.contextmanager
def nothing(folder: Path) -> Iterator[Tuned]:
    """KSM stands still."""
    with held(0):
        yield Tuned()


@contextlib.contextmanager
def defaults(folder: Path) -> Iterator[Tuned]:
    """run=1, all else as the kernel comes."""
    with held(1):
        yield Tuned()


@contextlib.contextmanager
def advisor(folder: Path) -> Iterator[Tuned]:
    """The kernel's own scan-time advisor."""
    ksm = KsmDir()
    if ksm.read_word(ADVISOR) is None:
        raise CannotRunError("this kernel has no scan-time advisor")
    with held(1):
        # After the rest: choosing it resets pages_to_scan, and it refuses later writes.
        ksm.write(ADVISOR, "scan-time")
        try:
            yield Tuned()
        finally:
            ksm.write(ADVISOR, "none")


def find_ksmtuned(script: Path | None) -> Path:
    """Debian's script. CannotRunError: it is not here."""
    found = shutil.which("ksmtuned")
    program = script or (Path(found) if found else UNPACKED)
    if not program.exists():
        raise CannotRunError(
            "ksmtuned is not here: scripts/setup.sh bench unpacks it, --ksmtuned names its script"
        )
    return program


@contextlib.contextmanager
def _ksmtuned(program: Path, folder: Path, **settings: str) -> Iterator[Tuned]:
    pid_file = folder / "ksmtuned.pid"
    pid_file.unlink(missing_ok=True)
    env = dict(os.environ) | {"PIDFILE": str(pid_file)} | settings
    process = subprocess.Popen(
        ["bash", str(program)], env=env, start_new_session=True, stderr=subprocess.DEVNULL
    )
    try:
        # The script leaves its loop behind and ends.
        process.wait(20)
        pid = int(pid_file.read_text())
        yield Tuned(pid=pid, news=lambda: os.kill(pid, signal.SIGUSR1))
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)


def ksmtuned(script: Path | None) -> Tuner:
    """Told that memory is short at any time (KSM_THRES_COEF=100), and of every student.

    Its manual asks for SIGUSR1 after each new machine; each raises its rate at once, where it would
    look once a minute by itself.
    """

    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[Tuned]:
        program = find_ksmtuned(script)
        with held(0), _ksmtuned(program, folder, KSM_THRES_COEF="100") as tuned:
            yield tuned

    return run


def ksmtuned_by_itself(script: Path | None, folder: Path, seconds: float = 5) -> bool:
    """Whether it starts KSM on this machine without being told anything."""
    with held(0), _ksmtuned(find_ksmtuned(script), folder, KSM_MONITOR_INTERVAL="1"):
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            time.sleep(0.5)
            if KsmDir().read("run"):
                return True
    return False


@contextlib.contextmanager
def samepage_agent(folder: Path) -> Iterator[Tuned]:
    """`samepage-agent run`, as it comes."""
    wait_for_lock()
    with agent("tune", folder) as (pid, url):
        yield Tuned(pid=pid, url=url)


def setups(script: Path | None) -> dict[str, Setup]:
    """All rows by their letter."""
    rows = [
        Setup(letter="a", name="Linux as it comes", way=OFF, tuner=nothing, merges=False),
        Setup(letter="b", name="KSM, kernel defaults", way=OPTED_IN, tuner=defaults),
        Setup(
            letter="c",
            name="ksmtuned, told memory is short",
            way=OPTED_IN,
            tuner=ksmtuned(script),
        ),
        Setup(letter="d", name="scan-time advisor", way=OPTED_IN, tuner=advisor),
        Setup(letter="e", name="Samepage without alignment", way=NOT_ALIGNED, tuner=samepage_agent),
        Setup(letter="f", name="Samepage", way=SAMEPAGE, tuner=samepage_agent, tidies=True),
    ]
    return {row.letter: row for row in rows}
