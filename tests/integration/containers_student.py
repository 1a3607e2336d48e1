"""A student's container and what its browser would ask of it."""

from __future__ import annotations

import contextlib
import json
import socket
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from tests.integration.containers_engine import logs, podman

TOKEN = "student-test-token"
#: As a pod of Zero to JupyterHub in a `restricted` namespace.
PRIVILEGES = (
    "--user=1000:100",
    "--cap-drop=all",
    "--security-opt=no-new-privileges",
    "--read-only",
    "--read-only-tmpfs=false",
    "--tmpfs=/tmp",
)


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port: int = found.getsockname()[1]
        return port


def wait_for(
    asked: Callable[[], Any], *, seconds: float = 60, told: Callable[[], str] = lambda: ""
) -> Any:
    """The first answer that is true."""
    deadline = time.monotonic() + seconds
    while True:
        found = asked()
        if found:
            return found
        assert time.monotonic() < deadline, f"waited {seconds:g} s in vain\n{told()}"
        time.sleep(0.1)


@dataclass(kw_only=True)
class Student:
    """A running server in a container on this machine's network, with a home that stays."""

    name: str
    image: str
    environment: dict[str, str] = field(default_factory=dict)
    volumes: tuple[str, ...] = ()
    command: tuple[str, ...] = ("samepage-singleuser",)
    port: int = field(default_factory=free_port)
    id: str = ""

    @property
    def home(self) -> str:
        return f"samepage-test-home-{self.name}"

    def start(self) -> None:
        settings = {
            "JUPYTER_TOKEN": TOKEN,
            "SAMEPAGE_SINGLEUSER": "jupyter-lab",
            "SAMEPAGE_ALIGNED": "0",
            **self.environment,
        }
        self.id = podman(
            "run", "-d", "--name", f"samepage-test-{self.name}", "--network=host", *PRIVILEGES,
            "--memory=1500m", f"--volume={self.home}:/home/jovyan",
            *[f"--volume={volume}" for volume in self.volumes],
            *[f"--env={name}={value}" for name, value in settings.items()],
            self.image, *self.command,
            "--ip=127.0.0.1", f"--port={self.port}", "--no-browser",
        ).strip()  # fmt: skip
        wait_for(self.answers, told=self.log)

    def answers(self) -> bool:
        state = podman("inspect", "--format", "{{.State.Status}}", self.id).strip()
        assert state == "running", f"{self.name} is {state}: {self.log()}"
        with contextlib.suppress(OSError):
            return self.ask("api")[0] == 200
        return False

    def log(self) -> str:
        return logs(self.id)

    def ask(self, path: str, *, data: Any = None) -> tuple[int, Any]:
        """Status and answer (JSON where it is) of a request; POST with `data`."""
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}/{path}",
            headers={"Authorization": f"token {TOKEN}", "Content-Type": "application/json"},
            data=None if data is None else json.dumps(data).encode(),
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                status, body = answer.status, answer.read()
        except urllib.error.HTTPError as err:
            status, body = err.code, err.read()
            err.close()
        try:
            return status, json.loads(body)
        except ValueError:
            return status, body.decode(errors="replace")

    def kernel(self) -> str:
        """A new Python kernel; its id."""
        status, kernel = self.ask("api/kernels", data={"name": "python3"})
        assert status == 201, kernel
        return str(kernel["id"])

    def execute(self, kernel: str, code: str) -> str:
        """What the code prints in that kernel."""
        program = (
            "import sys; from jupyter_client import BlockingKernelClient as C; c = C(); "
            "c.load_connection_file(sys.argv[1]); c.start_channels(); "
            "c.wait_for_ready(timeout=60); "
            "c.execute_interactive(sys.argv[2], timeout=60); c.stop_channels()"
        )
        runtime = "/home/jovyan/.local/share/jupyter/runtime"
        return self.run("python", "-c", program, f"{runtime}/kernel-{kernel}.json", code)

    def run(self, *command: str) -> str:
        """Standard output of a command in the container."""
        return podman("exec", self.id, *command)

    def remove(self) -> None:
        podman("rm", "-f", "-t", "5", "-i", f"samepage-test-{self.name}", check=False)
        podman("volume", "rm", "-f", self.home, check=False)


@contextlib.contextmanager
def students(*given: Student) -> Iterator[tuple[Student, ...]]:
    """They run, and nothing is left of them afterwards."""
    for each in given:
        each.remove()
    try:
        for each in given:
            each.start()
        yield given
    finally:
        for each in given:
            each.remove()
