"""A real JupyterHub with configurable-http-proxy, and people who log in to it."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import requests

from demo.http import free_port

ROOT = Path(__file__).parents[2]
HUB = ROOT / "tests" / "hub"
PROXY = HUB / "node_modules" / ".bin" / "configurable-http-proxy"
PATIENCE = 120.0


def missing() -> str | None:
    """Why no hub can be started here; None when one can."""
    if not PROXY.exists():
        return "JupyterHub's proxy is not installed; type: scripts/setup.sh test"
    if shutil.which("node") is None:
        return "Node.js is not installed"
    return None


class Hub:
    """A running hub; `with Hub(folder) as hub`. Its state and its users' homes lie in `folder`."""

    def __init__(
        self,
        folder: Path,
        *,
        config: str = "jupyterhub_config.py",
        variables: Mapping[str, str] | None = None,
    ) -> None:
        self._config = HUB / config
        self._variables = dict(variables or {})
        self.folder = folder
        self.password = secrets.token_hex(8)
        self.url = f"http://127.0.0.1:{free_port(None)}"
        self.log = folder / "hub.log"
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Hub:
        env = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("JUPYTER", "JPY_", "SAMEPAGE_", "CONFIGPROXY"))
        }
        env |= {
            "TEST_HUB_STATE": str(self.folder),
            "TEST_HUB_PORT": str(free_port(None)),
            "TEST_HUB_URL": self.url,
            "TEST_HUB_PROXY": str(PROXY),
            "TEST_HUB_PROXY_API": f"http://127.0.0.1:{free_port(None)}",
            "TEST_HUB_PASSWORD": self.password,
            "PATH": f"{Path(sys.executable).parent}:{env['PATH']}",
            **self._variables,
        }
        for user in ("alice", "bob"):
            (self.folder / "home" / user).mkdir(parents=True)
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "jupyterhub", "-f", str(self._config)],
                cwd=self.folder,
                env=env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._await(lambda: requests.get(f"{self.url}/hub/api", timeout=10).ok, "the hub")
        return self

    def __exit__(self, *exception: object) -> None:
        process = self._process
        assert process is not None
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(60)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait(10)

    def login(self, name: str) -> User:
        """`name` logs in as a browser would, and starts a server."""
        session = requests.Session()
        page = session.get(f"{self.url}/hub/login", timeout=30)
        xsrf = session.cookies.get("_xsrf", path="/hub/")
        assert page.ok
        assert xsrf
        answer = session.post(
            f"{self.url}/hub/login",
            params={"_xsrf": xsrf},
            data={"username": name, "password": self.password, "_xsrf": xsrf},
            timeout=30,
        )
        assert answer.ok, f"{answer.status_code} {answer.text[:500]}"
        user = User(hub=self, name=name, session=session)
        session.get(f"{self.url}/hub/spawn", timeout=60)
        # A page first: only pages lead through the hub's OAuth, and leave the server's cookie.
        self._await(lambda: user.get("lab").ok and user.get("api/status").ok, f"{name}'s server")
        return user

    def _await(self, ready: Any, what: str) -> None:
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process is not None
            assert self._process.poll() is None, self.tail()
            try:
                if ready():
                    return
            except requests.RequestException:
                pass
            assert time.monotonic() < deadline, f"{what} does not answer\n{self.tail()}"
            time.sleep(0.2)

    def tail(self) -> str:
        """The end of the hub's log, with the servers' in it."""
        return self.log.read_text(errors="replace")[-4000:]


class User:
    """A logged-in browser session of one person."""

    def __init__(self, *, hub: Hub, name: str, session: requests.Session) -> None:
        self.hub = hub
        self.name = name
        self.session = session

    @property
    def base(self) -> str:
        """Address of the person's server, with a slash."""
        return f"{self.hub.url}/user/{self.name}/"

    def get(self, path: str, **options: Any) -> requests.Response:
        """GET below the person's own server."""
        options.setdefault("timeout", 60)
        return self.session.get(self.base + path, **options)

    def post(self, path: str, **options: Any) -> requests.Response:
        """POST below the person's own server, with the XSRF token that Lab would send."""
        xsrf = next(
            (
                cookie.value
                for cookie in self.session.cookies
                if cookie.name == "_xsrf" and cookie.path == f"/user/{self.name}/"
            ),
            "",
        )
        options.setdefault("timeout", 60)
        headers = {"X-XSRFToken": xsrf or "", **options.pop("headers", {})}
        return self.session.post(self.base + path, headers=headers, **options)


def csrf_token(user: User) -> str:
    """OpenRefine's own token for POSTs."""
    answer = user.get("openrefine/command/core/get-csrf-token")
    assert answer.ok, answer.text[:300]
    found = re.search(r'"token"\s*:\s*"([^"]+)"', answer.text)
    assert found is not None
    return found[1]
