"""A JupyterLab server as a process, in a home of its own."""

import json
import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from . import readings

TOKEN = "benchmark"


@dataclass(frozen=True, kw_only=True)
class Server:
    """A started server.

    `ready_seconds`: from the start of the process to the first 200 of /lab. `ready_cpu_seconds`:
    CPU time that it and its children had used by then.
    """

    pid: int
    url: str
    ready_seconds: float
    ready_cpu_seconds: float

    def ask(self, path: str, *, method: str = "GET", timeout: float = 30) -> tuple[int, bytes]:
        """Status and body."""
        request = urllib.request.Request(
            self.url + path, method=method, headers={"Authorization": f"token {TOKEN}"}
        )
        try:
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                return answer.status, answer.read()
        except urllib.error.HTTPError as err:
            return err.code, err.read()

    def json(self, path: str) -> dict[str, object]:
        """A JSON object; RuntimeError when the answer is not 200."""
        status, body = self.ask(path)
        if status != 200:
            raise RuntimeError(f"GET {path} answered {status}: {body[:500]!r}")
        answer: dict[str, object] = json.loads(body)
        return answer


@contextmanager
def running(
    python: Path,
    home: Path,
    *arguments: str,
    environment: Mapping[str, str] | None = None,
    probe: bool = False,
) -> Iterator[Server]:
    """Start JupyterLab with a fresh home and stop it; `probe` loads `loop_probe` beside it."""
    work = home / "work"
    work.mkdir(parents=True)
    port = free_port()
    command = [str(python), "-m", "jupyterlab", "--no-browser", "--allow-root"]
    command += [
        f"--ServerApp.port={port}",
        "--ServerApp.port_retries=0",
        "--ServerApp.ip=127.0.0.1",
    ]
    command += [f"--IdentityProvider.token={TOKEN}", f"--ServerApp.root_dir={work}"]
    full = clean_environment(home) | dict(environment or {})
    if probe:
        modules = home / "modules"
        modules.mkdir()
        shutil.copy(Path(__file__).with_name("loop_probe.py"), modules)
        full["PYTHONPATH"] = str(modules)
        command.append("--ServerApp.jpserver_extensions=loop_probe=True")
    log = home / "server.log"
    with log.open("wb") as output:
        begun = time.monotonic()
        process = subprocess.Popen(
            [*command, *arguments], env=full, cwd=work, stdout=output, stderr=output
        )
    try:
        url = f"http://127.0.0.1:{port}/"
        wait_for_lab(url, process, log)
        ready = time.monotonic() - begun
        used = sum(readings.cpu_seconds(pid) or 0.0 for pid in readings.tree(process.pid))
        yield Server(pid=process.pid, url=url, ready_seconds=ready, ready_cpu_seconds=used)
    finally:
        stop(process)


def clean_environment(home: Path) -> dict[str, str]:
    """This environment without settings of Jupyter, Python or ours, and with its own home."""
    foreign = (
        "JUPYTER",
        "SAMEPAGE",
        "NODEAGENT",
        "PYTHON",
        "IPYTHON",
        "XDG_",
        "VIRTUAL_ENV",
        "JPY_",
    )
    kept = {name: text for name, text in os.environ.items() if not name.startswith(foreign)}
    return kept | {"HOME": str(home)}


def wait_for_lab(
    url: str, process: subprocess.Popen[bytes], log: Path, seconds: float = 120
) -> None:
    """Ask for /lab, with the token, until it answers 200."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise RuntimeError(f"JupyterLab ended with {process.returncode}:\n{log.read_text()}")
        try:
            with urllib.request.urlopen(f"{url}lab?token={TOKEN}", timeout=30) as answer:
                if answer.status == 200:
                    return
        except OSError:
            time.sleep(0.005)
    raise RuntimeError(f"No 200 of /lab within {seconds:.0f} s:\n{log.read_text()}")


def stop(process: subprocess.Popen[bytes]) -> None:
    """SIGTERM, then SIGKILL; its descendants too."""
    family = readings.tree(process.pid)
    process.terminate()
    try:
        process.wait(20)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    for pid in family[1:]:
        try:
            os.kill(pid, signal.SIGKILL)
        except ProcessLookupError:
            continue


def free_port() -> int:
    """A loopback port that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def settle(pid: int, *, quiet: float = 2.0, at_most: float = 12.0) -> readings.Memory:
    """Memory once the resident size has moved by less than 256 KiB for `quiet` seconds."""
    deadline = time.monotonic() + at_most
    steady, since = -1, time.monotonic()
    while True:
        now = readings.memory(pid)
        if now is None:
            raise RuntimeError(f"Process {pid} ended while its memory was read")
        if abs(now.resident - steady) > 256 * 1024:
            steady, since = now.resident, time.monotonic()
        if time.monotonic() - since >= quiet or time.monotonic() > deadline:
            return now
        time.sleep(0.2)
