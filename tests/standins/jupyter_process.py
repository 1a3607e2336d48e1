"""A real Jupyter server in its own process, with a home and a configuration of its own."""

from __future__ import annotations

import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import psutil
import requests

REPOSITORY = Path(__file__).parents[2]
BASE_URL = "/user/alice/"

_CONFIG = """
import sys
sys.path.insert(0, {repository!r})
from serverproxy import openrefine, rstudio
c.ServerProxy.servers = {{"openrefine": openrefine.describe(), "rstudio": rstudio.describe()}}
{more}
"""


@dataclass
class JupyterProcess:
    """A running server. `url` ends with the base URL; `log` is its output so far."""

    process: subprocess.Popen[bytes]
    url: str
    token: str
    log: Path

    def session(self) -> requests.Session:
        """A client that is logged in by its token and trusts no proxy variables."""
        session = requests.Session()
        session.trust_env = False
        session.headers["Authorization"] = f"token {self.token}"
        return session

    def children(self) -> list[psutil.Process]:
        """Processes below the server, at any depth."""
        return psutil.Process(self.process.pid).children(recursive=True)

    def stop(self, number: int = signal.SIGTERM, seconds: float = 40) -> None:
        """Send the signal and wait until the server has ended."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait(10)
            raise


def start_jupyter(
    base: Path,
    env: Mapping[str, str],
    *,
    more_config: str = "",
    seconds: float = 60,
    supervised: bool = False,
) -> JupyterProcess:
    """Start a server on a free port and wait until it listens.

    base: folder for its home, configuration, root and log. env: added to the environment.
    supervised: with our server extension, which takes the applications over.
    """
    folders = {name: base / name for name in ("home", "config", "data", "runtime", "work")}
    for folder in folders.values():
        folder.mkdir(parents=True, exist_ok=True)
    (folders["config"] / "jupyter_server_config.py").write_text(
        _CONFIG.format(repository=str(REPOSITORY), more=more_config)
    )
    token = secrets.token_hex(16)
    log = base / f"server-{secrets.token_hex(4)}.log"
    keep = {"PATH", "LANG", "LC_ALL", "TMPDIR"}
    environment = {name: os.environ[name] for name in keep if name in os.environ} | {
        "HOME": str(folders["home"]),
        "JUPYTER_CONFIG_DIR": str(folders["config"]),
        "JUPYTER_DATA_DIR": str(folders["data"]),
        "JUPYTER_RUNTIME_DIR": str(folders["runtime"]),
        "JUPYTER_NO_CONFIG": "",
        **env,
    }
    with log.open("wb") as output:
        process = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "jupyter_server",
                "--allow-root",
                "--no-browser",
                "--ip=127.0.0.1",
                "--port=0",
                f"--ServerApp.base_url={BASE_URL}",
                f"--IdentityProvider.token={token}",
                f"--ServerApp.root_dir={folders['work']}",
                "--ServerApp.allow_remote_access=True",
                "--ServerApp.jpserver_extensions=jupyter_server_proxy=True",
                # Said either way: an installation of ours may have switched itself on.
                f"--ServerApp.jpserver_extensions=labext={supervised}",
            ],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env=environment,
            cwd=folders["work"],
        )
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and process.poll() is None:
        found = re.search(r"(https?)://127\.0\.0\.1:(\d+)/user/alice/", log.read_text())
        # It tells its address a moment before it listens there.
        if found is not None and _listens(int(found.group(2))):
            url = f"{found.group(1)}://127.0.0.1:{found.group(2)}{BASE_URL}"
            return JupyterProcess(process=process, url=url, token=token, log=log)
        time.sleep(0.05)
    process.kill()
    process.wait(10)
    raise AssertionError(f"the Jupyter server did not start:\n{log.read_text()}")


def _listens(port: int) -> bool:
    try:
        socket.create_connection(("127.0.0.1", port), timeout=5).close()
    except OSError:
        return False
    return True
