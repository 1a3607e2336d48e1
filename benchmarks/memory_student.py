"""One student: a process of its own user that starts one kernel and runs cells in it.

It stands for the student's Jupyter server: the kernel is started by jupyter_client, and where
Samepage is used a spare is kept as that server would. Run as a program with a JSON object:
{"provisioner", "settings", "merge", "spare", "home", "argv"}. Commands are JSON lines on standard
input: {"do": NAME}, where NAME is a method of Student; {"do": "run", "cells": [...]}. Each is
answered by one JSON line.
"""

import contextlib
import ctypes
import json
import os
import signal
import sys
import time
from importlib import import_module
from pathlib import Path
from typing import Any

import psutil
from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from traitlets.config import Config

_READY_SECONDS = 120.0
_CELL_SECONDS = 600.0
_SPARE_SECONDS = 120.0
SAMEPAGE = "samepage-provisioner"


def _opt_in() -> None:
    ctypes.CDLL(None).prctl(67, 1, 0, 0, 0)


class Student:
    """Owns the kernel."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._config = Config(plan["settings"])
        self._manager: KernelManager | None = None
        self._client: BlockingKernelClient | None = None

    def prepare(self) -> dict[str, Any]:
        """Import what is needed later, so that this process does not grow while it is watched."""
        if self._plan["provisioner"] == SAMEPAGE:
            import_module("labext.kernels.provisioner")
        return {}

    def open(self) -> dict[str, Any]:
        """What a Jupyter server does at its start: it prepares a spare, where it is to keep one."""
        if not self._plan["spare"]:
            return {}
        from labext.kernels.provisioner import SamepageProvisioner
        from labext.kernels.spare import keeper
        from labext.kernels.spare_policy import Surroundings
        from labext.kernels.support import node_merges

        def look() -> Surroundings:
            return Surroundings(
                wanted=True,
                limit_bytes=None,
                used_bytes=None,
                available_bytes=psutil.virtual_memory().available,
                node_merges=node_merges(),
            )

        keeper.open(look)
        provisioner = SamepageProvisioner(
            kernel_id="spare", kernel_spec=self._spec(), config=self._config
        )
        why_not = provisioner.prepare_spare(os.environ, delay=0)
        return {"why_not": why_not}

    def spare(self) -> dict[str, Any]:
        """Wait until the spare is ready; {"ready": False, "why"} when there is to be none."""
        if not self._plan["spare"]:
            return {"ready": False, "why": "none is wanted"}
        from labext.kernels.spare import keeper

        begun = time.monotonic()
        while not keeper.ready and time.monotonic() - begun < _SPARE_SECONDS:
            time.sleep(0.05)
        return {"ready": keeper.ready, "why": keeper.why, "seconds": time.monotonic() - begun}

    def start(self) -> dict[str, Any]:
        """Start the kernel; seconds until it answers."""
        begun = time.monotonic()
        manager = KernelManager(config=self._config, kernel_name="python3")
        manager._kernel_spec = self._spec()
        options = {"preexec_fn": _opt_in} if self._plan["merge"] else {}
        manager.start_kernel(**options)
        self._manager = manager
        self._connect()
        return {"seconds": time.monotonic() - begun, "pid": self._pid(), **self._alignment()}

    def run(self, cells: list[str]) -> dict[str, Any]:
        """Run cells one after the other; their seconds, and the errors they raised."""
        assert self._client is not None
        seconds, errors = [], []
        for code in cells:
            begun = time.monotonic()
            reply = self._client.execute_interactive(
                code, timeout=_CELL_SECONDS, output_hook=lambda message: None, store_history=True
            )
            seconds.append(time.monotonic() - begun)
            content = reply["content"]
            if content["status"] != "ok":
                errors.append(f"{content.get('ename')}: {content.get('evalue')}")
        return {"seconds": seconds, "errors": errors}

    def restart(self) -> dict[str, Any]:
        """Restart the kernel as a student does."""
        assert self._manager is not None
        begun = time.monotonic()
        self._disconnect()
        self._manager.restart_kernel(now=True)
        self._connect()
        return {"seconds": time.monotonic() - begun, "pid": self._pid(), **self._alignment()}

    def kill(self) -> dict[str, Any]:
        """Kill the kernel as the OOM killer does, behind its manager's back."""
        os.kill(self._pid(), signal.SIGKILL)
        return {}

    def tidied(self) -> dict[str, Any]:
        """What the kernel gave back when it was quiet, as it reported; {} when it has not yet."""
        from labext.kernels.alignment import report_file

        assert self._manager is not None
        with contextlib.suppress(OSError, ValueError):
            answer: dict[str, Any] = json.loads(
                report_file(str(self._manager.kernel_id)).read_text()
            )
            return answer
        return {}

    def stop(self) -> dict[str, Any]:
        """End the kernel; safe when none runs."""
        self._disconnect()
        if self._manager is not None:
            self._manager.shutdown_kernel(now=True)
            self._manager = None
        if self._plan["spare"]:
            from labext.kernels.spare import keeper

            keeper.close()
        return {"left": _runtime_files()}

    def _spec(self) -> KernelSpec:
        return KernelSpec(
            argv=self._plan["argv"]
            or [sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Benchmark",
            language="python" if self._plan["argv"] is None else "other",
            metadata={"kernel_provisioner": {"provisioner_name": self._plan["provisioner"]}},
        )

    def _alignment(self) -> dict[str, Any]:
        if self._plan["provisioner"] != SAMEPAGE:
            return {}
        from labext.kernels.ledger import ledger

        for record in ledger.records.values():
            if record.pid == self._pid() and record.alignment is not None:
                found = record.alignment
                return {"aligned": found.state, "why": found.reason, "spare": found.spare}
        return {"aligned": "no"}

    def _connect(self) -> None:
        assert self._manager is not None
        client = self._manager.client()
        assert isinstance(client, BlockingKernelClient)
        client.start_channels()
        client.wait_for_ready(timeout=_READY_SECONDS)
        self._client = client

    def _disconnect(self) -> None:
        if self._client is not None:
            self._client.stop_channels()
            self._client = None

    def _pid(self) -> int:
        assert self._manager is not None
        assert self._manager.provisioner is not None
        return int(getattr(self._manager.provisioner, "pid"))  # noqa: B009  # of local ones


def _runtime_files() -> list[str]:
    """Names of what lies in the runtime folder: nothing, once the kernel has ended."""
    folder = Path(os.environ["JUPYTER_RUNTIME_DIR"])
    return sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []


def main() -> None:
    """Obey until told to stop, or until nobody is there any more."""
    plan = json.loads(sys.argv[1])
    os.chdir(plan["home"])
    student = Student(plan)
    try:
        for line in sys.stdin:
            order = json.loads(line)
            do = order.pop("do")
            try:
                answer = getattr(student, do)(**order)
            except Exception as err:  # noqa: BLE001  # told to the benchmark, which fails
                answer = {"failed": f"{type(err).__name__}: {err}"}
            print(json.dumps(answer), flush=True)
            if do == "stop":
                return
    finally:
        student.stop()


if __name__ == "__main__":
    main()
