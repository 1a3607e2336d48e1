"""A docker daemon of our own, on a socket of our own, with a swarm of one node."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from demo.http import free_port

#: dockerd, where it is not on the PATH (Debian's docker.io, unpacked); containerd lies beside it.
DAEMON = os.environ.get("SAMEPAGE_DOCKERD") or shutil.which("dockerd")
PATIENCE = 120.0
#: A swarm makes it, and leaves it.
_BRIDGE = Path("/sys/class/net/docker_gwbridge")


def why_not() -> str | None:
    """Why no swarm can be made here; None when it can."""
    if os.geteuid() != 0:
        return "a docker daemon needs root"
    if shutil.which("docker") is None or DAEMON is None:
        return "no docker daemon here (sudo apt-get install docker.io)"
    return None


class Docker:
    """Speaks to the daemon: docker("service", "ls")."""

    def __init__(self, socket: Path) -> None:
        self.socket = socket

    def __call__(self, *words: str | Path, stdin: str | None = None, check: bool = True) -> str:
        done = subprocess.run(
            ["docker", "-H", f"unix://{self.socket}", *[str(word) for word in words]],
            input=stdin, capture_output=True, text=True, timeout=PATIENCE, check=False,
            env={**os.environ, "DOCKER_BUILDKIT": "0"},
        )  # fmt: skip
        assert not check or done.returncode == 0, f"docker {words}: {done.stderr[-2000:]}"
        return done.stdout


def wait_for(what: str, ready: Callable[[], bool], seconds: float = PATIENCE) -> None:
    deadline = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < deadline, f"{what} did not come within {seconds:g} s"
        time.sleep(0.5)


@contextmanager
def swarm(folder: Path) -> Iterator[Docker]:
    """One node, without a bridge and without rules in the firewall."""
    assert DAEMON is not None
    beside = Path(DAEMON).parent
    docker = Docker(folder / "docker.sock")
    had_bridge = _BRIDGE.exists()
    env = {**os.environ, "PATH": f"{beside}:{beside.parent / 'bin'}:{os.environ['PATH']}"}
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [
                DAEMON, "-H", f"unix://{docker.socket}", f"--data-root={folder / 'data'}",
                f"--exec-root={folder / 'exec'}", f"--pidfile={folder / 'pid'}",
                "--bridge=none", "--iptables=false", "--ip6tables=false",
                "--ip-forward=false",
            ],
            env=env, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True,
        )  # fmt: skip
    try:
        version = ("version", "-f", "{{.Server.Version}}")
        wait_for("the daemon", lambda: bool(docker(*version, check=False).strip()))
        port = free_port(None)
        docker(
            "swarm", "init", "--advertise-addr=127.0.0.1", f"--listen-addr=127.0.0.1:{port}"
        )  # fmt: skip
        yield docker
    finally:
        if process.poll() is None:
            docker("swarm", "leave", "--force", check=False)
        process.terminate()
        process.wait(60)
        for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines():
            # Networks' name spaces outlive the daemon.
            if line.split()[1].startswith(f"{folder}/"):
                subprocess.run(["umount", "-l", line.split()[1]], check=False)
        if _BRIDGE.exists() and not had_bridge:
            subprocess.run(["ip", "link", "delete", _BRIDGE.name], check=False)
