"""One run of an application: what exists of it while it lives, and how it is launched."""

from __future__ import annotations

import os
import secrets
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from serverproxy.supervisor.child import Child, spawn
from serverproxy.supervisor.gate.report import Report
from serverproxy.supervisor.oom import read_oom_kills
from serverproxy.supervisor.output_log import OutputLog
from serverproxy.supervisor.ports import Ports
from serverproxy.supervisor.registry import RunRecord, remove_record, write_record
from serverproxy.supervisor.runtime import Instance
from serverproxy.supervisor.spec import (
    UNIX_PATH_BYTES,
    Endpoint,
    EndpointChoice,
    LaunchSpec,
    TcpEndpoint,
    UnixEndpoint,
)
from serverproxy.supervisor.tracker import Tracker


@dataclass(kw_only=True)
class Run:
    """Filled in as the start goes on. began: steady seconds. mark: names its processes.

    socket_folder: made for this run and removed with it. background: the launched process has
    ended and others serve. oom_kills: count of the control group before the launch.
    """

    began: float
    mark: str
    instance: Instance | None = None
    socket_folder: Path | None = None
    spec: LaunchSpec | None = None
    tracker: Tracker | None = None
    child: Child | None = None
    background: bool = False
    oom_kills: int | None = None

    @classmethod
    def new(cls, began: float) -> Run:
        """A run with a mark that no other has."""
        return cls(began=began, mark=secrets.token_hex(16))

    def make_endpoint(self, name: str, choice: EndpointChoice, ports: Ports) -> Endpoint:
        """The endpoint; blocks, OSError when there is no port or folder to be had."""
        if isinstance(choice, TcpEndpoint | UnixEndpoint):
            return choice
        if choice == "tcp":
            return TcpEndpoint(port=ports.fresh())
        if self.instance is None:
            raise RuntimeError("A socket needs the runtime folder first.")
        self.socket_folder = self.instance.app_folder(name) / self.mark[:8]
        self.socket_folder.mkdir(mode=0o700)
        path = self.socket_folder / "s"
        if len(os.fsencode(path)) > UNIX_PATH_BYTES:
            raise OSError(f"{path} is too long for a unix socket; set a shorter runtime folder.")
        return UnixEndpoint(path=path)

    def launch(
        self, spec: LaunchSpec, record: RunRecord, log: OutputLog
    ) -> tuple[subprocess.Popen[bytes], Report | None]:
        """Record and start the process; blocks, OSError or ValueError when it cannot start.

        The report is that of its gate, None without one.
        """
        if self.instance is None:
            raise RuntimeError("A launch needs the runtime folder first.")
        self.spec = spec
        self.oom_kills = read_oom_kills()
        # Before there is a process: should the server die now, its mark still finds it.
        write_record(self.instance.folder, record)
        self.tracker = Tracker(record)
        output = log.open_new()
        try:
            return spawn(spec, self.mark, output)
        finally:
            os.close(output)

    def adopt(self, child: Child, record: RunRecord) -> None:
        """The process exists; `record` names it."""
        self.child = child
        self.tracker = Tracker(record)

    def oom_kills_since(self) -> int | None:
        """Processes the kernel killed for memory in our group since the launch; None: unknown."""
        now = read_oom_kills()
        return None if now is None or self.oom_kills is None else now - self.oom_kills

    def clear(self) -> None:
        """Forget a run of which nothing is left: its record and its socket. Blocks."""
        if self.instance is not None:
            remove_record(self.instance.folder, self.mark)
        if self.socket_folder is not None:
            shutil.rmtree(self.socket_folder, ignore_errors=True)
