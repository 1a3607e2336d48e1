"""The agent of `soak`: started, stopped and killed, always with the same state folder and port."""

import contextlib
import subprocess
import sys
import time
from pathlib import Path

from .agent_cost import ROOT, node
from .jupyter import clean_environment, free_port
from .memory_ways import wait_for_lock

_HEALTHY_SECONDS = 60.0
_CALM_SECONDS = 6


class SoakAgent:
    """`samepage-agent run --mode tune` on loopback."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._port = free_port()
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def pid(self) -> int:
        """Of the running one."""
        assert self._process is not None
        return self._process.pid

    def alive(self) -> bool:
        """Whether it runs."""
        return self._process is not None and self._process.poll() is None

    def start(self) -> None:
        """Start it, until it is healthy. RuntimeError with its log."""
        wait_for_lock()
        command = [sys.executable, "-m", "nodeagent", "run", "--mode", "tune"]
        command += ["--listen", f"127.0.0.1:{self._port}"]
        command += ["--state-dir", str(self._folder / "state")]
        log = self._folder / "agent.log"
        with log.open("ab") as output:
            self._process = subprocess.Popen(
                command,
                cwd=ROOT,
                env=clean_environment(self._folder),
                stdout=output,
                stderr=output,
            )
        until = time.monotonic() + _HEALTHY_SECONDS
        while True:
            with contextlib.suppress(OSError):
                self.node()
                return
            if not self.alive() or time.monotonic() > until:
                raise RuntimeError(f"The agent did not become healthy:\n{log.read_text()}")
            time.sleep(0.2)

    def stop(self) -> None:
        """As its service manager stops it; safe when it does not run."""
        if self._process is not None and self.alive():
            self._process.terminate()
            self._process.wait(60)

    def kill(self) -> None:
        """As the OOM killer ends it: what it has set in KSM stays."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(60)

    def node(self) -> dict[str, object]:
        """What it says of KSM."""
        return node(f"http://127.0.0.1:{self._port}")

    def rest(self, at_most: float) -> None:
        """Wait until it has rested for a while."""
        until, calm = time.monotonic() + at_most, 0
        while time.monotonic() < until and calm < _CALM_SECONDS:
            calm = calm + 1 if self.node()["phase"] == "rest" else 0
            time.sleep(1)
