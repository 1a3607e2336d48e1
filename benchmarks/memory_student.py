"""One student: a process of its own user that starts one kernel and runs cells in it.

Run as a program with a JSON object: {"provisioner", "settings", "merge", "home"}. Commands are JSON
lines on standard input: {"do": "start"}, {"do": "run", "cells": [...]}, {"do": "restart"},
{"do": "kill"}, {"do": "stop"}. Each is answered by one JSON line.
"""

import ctypes
import json
import os
import signal
import sys
import time
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.kernelspec import KernelSpec
from jupyter_client.manager import KernelManager
from traitlets.config import Config

_READY_SECONDS = 120.0
_CELL_SECONDS = 600.0


def _opt_in() -> None:
    ctypes.CDLL(None).prctl(67, 1, 0, 0, 0)


class Student:
    """Owns the kernel."""

    def __init__(self, plan: dict[str, Any]) -> None:
        self._plan = plan
        self._manager: KernelManager | None = None
        self._client: BlockingKernelClient | None = None

    def start(self) -> dict[str, Any]:
        """Start the kernel; seconds until it answers."""
        begun = time.monotonic()
        manager = KernelManager(config=Config(self._plan["settings"]), kernel_name="python3")
        spec = KernelSpec(
            argv=[sys.executable, "-m", "ipykernel_launcher", "-f", "{connection_file}"],
            display_name="Python",
            language="python",
            metadata={"kernel_provisioner": {"provisioner_name": self._plan["provisioner"]}},
        )
        manager._kernel_spec = spec
        options = {"preexec_fn": _opt_in} if self._plan["merge"] else {}
        manager.start_kernel(**options)
        self._manager = manager
        self._connect()
        return {"seconds": time.monotonic() - begun, "pid": self._pid()}

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
        return {"seconds": time.monotonic() - begun, "pid": self._pid()}

    def kill(self) -> dict[str, Any]:
        """Kill the kernel as the OOM killer does, behind its manager's back."""
        os.kill(self._pid(), signal.SIGKILL)
        return {}

    def stop(self) -> dict[str, Any]:
        """End the kernel; safe when none runs."""
        self._disconnect()
        if self._manager is not None:
            self._manager.shutdown_kernel(now=True)
            self._manager = None
        return {}

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
