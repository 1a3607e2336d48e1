"""The ways to merge that `memory` compares: what is switched on, by whom."""

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path

from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.state import read_originals, restore
from nodeagent.ksm.sysfs import ADVISOR, KsmDir

from .agent_cost import agent
from .memory_students import Way

OFF = Way()
OPTED_IN = Way(merge=True)
SAMEPAGE = Way(provisioner="samepage-provisioner")
KERNEL_DEFAULTS: dict[str, int | str] = {
    ADVISOR: "none",
    "pages_to_scan": 100,
    "sleep_millisecs": 20,
    "smart_scan": 1,
    "use_zero_pages": 0,
}


@dataclass(frozen=True, kw_only=True)
class Tuned:
    """What runs beside the class; `pid`: of an agent whose CPU counts."""

    pid: int | None = None


Tuner = Callable[[Path], AbstractContextManager[Tuned]]


@dataclass(frozen=True, kw_only=True)
class Setup:
    """One row. `aligned`: kernels of one layout, so the row is left out where that is missing."""

    letter: str
    name: str
    way: Way
    tuner: Tuner


class CannotRunError(Exception):
    """A way that this machine cannot show, in words."""


@contextlib.contextmanager
def _held(run: int, **values: int | str) -> Iterator[None]:
    """KSM set by hand and put back; the lock keeps agents out."""
    ksm = KsmDir()
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


@contextlib.contextmanager
def nothing(folder: Path) -> Iterator[Tuned]:
    """KSM stands still."""
    with _held(0):
        yield Tuned()


@contextlib.contextmanager
def defaults(folder: Path) -> Iterator[Tuned]:
    """run=1, all else as the kernel comes."""
    with _held(1):
        yield Tuned()


@contextlib.contextmanager
def advisor(folder: Path) -> Iterator[Tuned]:
    """The kernel's own scan-time advisor."""
    ksm = KsmDir()
    if ksm.read_word(ADVISOR) is None:
        raise CannotRunError("this kernel has no scan-time advisor")
    with _held(1):
        # After the rest: choosing it resets pages_to_scan, and it refuses later writes.
        ksm.write(ADVISOR, "scan-time")
        try:
            yield Tuned()
        finally:
            ksm.write(ADVISOR, "none")


def ksmtuned(script: Path | None, *, forced: bool) -> Tuner:
    """Debian's script. `forced`: told that memory is short at any time (KSM_THRES_COEF=100)."""

    @contextlib.contextmanager
    def run(folder: Path) -> Iterator[Tuned]:
        program = script or next(
            (Path(found) for name in ("ksmtuned",) if (found := shutil.which(name))), None
        )
        if program is None or not program.exists():
            raise CannotRunError("ksmtuned is not installed (--ksmtuned gives its script)")
        env = dict(os.environ) | {"PIDFILE": str(folder / "ksmtuned.pid")}
        if forced:
            env["KSM_THRES_COEF"] = "100"
        with _held(0):
            process = subprocess.Popen(
                ["bash", str(program)], env=env, start_new_session=True, stderr=subprocess.DEVNULL
            )
            try:
                yield Tuned()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()

    return run


@contextlib.contextmanager
def samepage_agent(folder: Path) -> Iterator[Tuned]:
    """`samepage-agent run`, as it comes."""
    with agent("tune", folder) as (pid, _):
        yield Tuned(pid=pid)


def setups(script: Path | None) -> list[Setup]:
    """All rows, in order."""
    return [
        Setup(letter="a", name="Linux as it comes", way=OFF, tuner=nothing),
        Setup(letter="b", name="KSM, kernel defaults", way=OPTED_IN, tuner=defaults),
        Setup(
            letter="c",
            name="ksmtuned, as installed",
            way=OPTED_IN,
            tuner=ksmtuned(script, forced=False),
        ),
        Setup(
            letter="c2",
            name="ksmtuned, told memory is short",
            way=OPTED_IN,
            tuner=ksmtuned(script, forced=True),
        ),
        Setup(letter="d", name="scan-time advisor", way=OPTED_IN, tuner=advisor),
        Setup(letter="e", name="Samepage agent, stock kernels", way=OPTED_IN, tuner=samepage_agent),
        Setup(letter="f", name="Samepage", way=SAMEPAGE, tuner=samepage_agent),
    ]
