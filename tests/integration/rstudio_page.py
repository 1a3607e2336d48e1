"""A browser's RStudio page, and the servers it is on."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import requests

from tests.standins.jupyter_process import JupyterProcess, start_jupyter
from tests.standins.rserver_table import write_r, write_rserver

VERSION = "2026.08.0+173"


@contextmanager
def short_folder() -> Iterator[Path]:
    """The folders of tests have long names, and the address of a socket has 107 bytes."""
    with tempfile.TemporaryDirectory(prefix="rs-", dir="/tmp") as folder:
        yield Path(folder)


@contextmanager
def running(
    base: Path, runtime: Path, *, version: str = VERSION, more_config: str = "", **env: str
) -> Iterator[JupyterProcess]:
    """A supervised server. base: its folder, kept between servers. runtime: XDG_RUNTIME_DIR."""
    write_rserver(base / "bin", version)
    write_r(base / "bin/R")
    (base / "tmp").mkdir(exist_ok=True)
    server = start_jupyter(
        base,
        {
            "PATH": f"{base / 'bin'}:{os.environ['PATH']}",
            "TMPDIR": str(base / "tmp"),
            "XDG_RUNTIME_DIR": str(runtime),
            **env,
        },
        more_config=f"c.Samepage.agent_url = ''\n{more_config}",
        supervised=True,
    )
    try:
        yield server
    finally:
        server.stop(seconds=90)


def until(done: Callable[[], Any], seconds: float = 30) -> Any:
    """What `done` gives, as soon as it is something."""
    deadline = time.monotonic() + seconds
    while not (found := done()):
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)
    return found


class Page:
    """A page that has loaded: cookies and a client of its own."""

    def __init__(self, server: JupyterProcess, name: str = "rstudio") -> None:
        self._server = server
        self._name = name
        self._session = server.session()
        headers = {"Accept": "text/html", "Sec-Fetch-Mode": "navigate"}

        def load() -> requests.Response | None:
            # As a browser: the start page first, RStudio's own when it is ready.
            answer = self._session.get(f"{server.url}{name}/", headers=headers, timeout=60)
            assert answer.status_code == 200, answer.text
            state = answer.headers.get("X-Samepage-Start")
            assert state in {None, "starting"}, answer.text
            return answer if state is None else None

        answer = until(load, 90)
        self.told: dict[str, Any] = answer.json()
        self._token = self._session.cookies["rs-csrf-token"]
        self.client: dict[str, Any] = {}

    def rpc(self, method: str, **parameters: Any) -> Any:
        """What R answers."""
        answer = self._post(f"rpc/{method}", parameters, 60)
        assert "error" not in answer, answer
        return answer["result"]

    def init(self) -> dict[str, Any]:
        """What a page does first: it becomes the client of the session."""
        self.client = self.rpc("client_init")
        return self.client

    def events(self, seconds: float = 70) -> list[dict[str, Any]]:
        """The next events; an open page asks again and again."""
        answer = self._post("events/get_events", {}, seconds)
        assert "error" not in answer, answer
        found: list[dict[str, Any]] = answer["result"]
        return found

    def shown(self) -> list[tuple[str, str]]:
        """Kinds and files of the next events."""
        return [(each["type"], each["data"]["file_name"]) for each in self.events()]

    def _post(self, path: str, parameters: dict[str, Any], seconds: float) -> Any:
        url = f"{self._server.url}{self._name}/{path}"
        headers = {"X-RS-CSRF-Token": self._token, "Sec-Fetch-Mode": "cors"}
        answer = self._session.post(url, json=parameters, headers=headers, timeout=seconds)
        assert answer.status_code == 200, f"{answer.status_code}: {answer.text}"
        return answer.json()


def app(server: JupyterProcess, name: str = "rstudio") -> dict[str, Any]:
    """The application as the REST interface shows it."""
    url = f"{server.url}samepage/api/apps/{name}"
    found: dict[str, Any] = server.session().get(url, timeout=60).json()
    return found


def post(server: JupyterProcess, address: str, **body: Any) -> Any:
    """POST to the REST interface of the applications."""
    url = f"{server.url}samepage/api/apps/{address}"
    answer = server.session().post(url, json=body, timeout=120)
    assert answer.status_code == 200, answer.text
    return answer.json()
