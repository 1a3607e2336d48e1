"""The RStudio entry with a stand-in for rserver, behind a real Jupyter server.

No RStudio runs here: the stand-in knows the options of a version and tells what it was given.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import psutil
import pytest

from tests.integration.rstudio_direct import run_once
from tests.integration.rstudio_page import short_folder
from tests.standins.jupyter_process import REPOSITORY, JupyterProcess, start_jupyter
from tests.standins.rserver_table import TABLES, write_r, write_rserver


@contextmanager
def running(
    base: Path, version: str, *, supervised: bool = False, **env: str
) -> Iterator[JupyterProcess]:
    write_rserver(base / "bin", version)
    write_r(base / "bin/R")
    (base / "tmp").mkdir(exist_ok=True)
    path = f"{base / 'bin'}:{os.environ['PATH']}"
    server = start_jupyter(
        base, {"PATH": path, "TMPDIR": str(base / "tmp"), **env}, supervised=supervised
    )
    try:
        yield server
    finally:
        server.stop()


def get(server: JupyterProcess, path: str = "", **headers: str) -> dict[str, Any]:
    session = server.session()
    session.cookies.set("rs-csrf-token", "of-rstudio")
    answer = session.get(f"{server.url}rstudio/{path}", headers=headers, timeout=60)
    assert answer.status_code == 200, answer.text
    value: dict[str, Any] = answer.json()
    return value


def options(told: dict[str, Any]) -> dict[str, str]:
    pairs = (argument.removeprefix("--").partition("=") for argument in told["argv"])
    return {name: value for name, _, value in pairs}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    with running(tmp_path_factory.mktemp("rstudio"), "2024.12.0+467") as process:
        yield process


def test_starts_on_a_private_socket(server: JupyterProcess) -> None:
    told = get(server)
    given = options(told)
    socket = Path(given["www-socket"])
    assert stat.S_ISSOCK(socket.stat().st_mode)
    assert socket.parent.stat().st_mode & 0o777 == 0o700
    assert Path(given["secure-cookie-key-file"]).stat().st_mode & 0o777 == 0o600
    assert given["www-root-path"] == "/user/alice/rstudio/"
    assert "www-port" not in given
    assert told["path"] == "/"
    assert told["environment"]["RS_LOGGER_TYPE"] == "stderr"
    assert not psutil.Process(told["pid"]).net_connections("inet"), "it listens on TCP"


def test_the_token_of_jupyter_does_not_reach_it(server: JupyterProcess) -> None:
    told = get(server, "page")
    assert server.token not in str(told)
    assert told["headers"]["Authorization"] == ""
    assert "rs-csrf-token=of-rstudio" in told["headers"]["Cookie"]


@pytest.mark.parametrize(
    "target",
    [
        "/auth-sign-in?x=1",
        "/user/alice/rstudio/auth-sign-in?x=1",
        "http://hub.example.org:8787/auth-sign-in?x=1",
        "https://hub.example.org, hub.example.org/user/alice/rstudio/auth-sign-in?x=1",
        "http://localhost/auth-sign-in?x=1",
    ],
)
def test_redirects_stay_below_the_prefix(server: JupyterProcess, target: str) -> None:
    answer = server.session().get(
        f"{server.url}rstudio/a/b",
        params={"to": target},
        headers={"Host": "hub.example.org", "X-Forwarded-Proto": "https"},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.status_code == 302
    where = urljoin("https://hub.example.org/user/alice/rstudio/a/b", answer.headers["Location"])
    assert where == "https://hub.example.org/user/alice/rstudio/auth-sign-in?x=1"


def test_redirects_elsewhere_are_left_alone(server: JupyterProcess) -> None:
    answer = server.session().get(
        f"{server.url}rstudio/a",
        params={"to": "https://www.example.com/login"},
        allow_redirects=False,
        timeout=60,
    )
    assert answer.headers["Location"] == "https://www.example.com/login"


@pytest.fixture
def machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A PATH with room for an RStudio, and a short private folder."""
    with short_folder() as folder:
        write_r(folder / "bin/R")
        (folder / "tmp").mkdir()
        monkeypatch.setenv("PATH", f"{folder / 'bin'}:{os.environ['PATH']}")
        monkeypatch.setenv("HOME", str(folder))
        monkeypatch.setattr(tempfile, "tempdir", str(folder / "tmp"))
        yield folder


@pytest.mark.parametrize("version", sorted(TABLES))
def test_every_version_starts_and_leaves_nothing(
    machine: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_rserver(machine / "bin", version)
    # The old ones know no socket, and are refused unless the operator says so.
    monkeypatch.setenv("SAMEPAGE_RSTUDIO_ALLOW_TCP", "1")
    found = asyncio.run(run_once(machine))
    options = found["options"]
    assert set(options) <= set(TABLES[version])
    assert options["server-daemonize"] == "0"
    assert found["told"]["standin"] == version
    assert found["mode"] == 0o700
    if "database-config-file" in TABLES[version]:
        assert found["database"]
    if "www-root-path" in TABLES[version]:
        assert found["cookies"][0].endswith("; path=/user/alice/rstudio; HttpOnly")
    if "www-socket" in TABLES[version]:
        assert "www-port" not in options
        # Private folder, key and database are gone with the run; the socket was beside them.
        assert Path(options["www-socket"]).parent == Path(found["private"]).parent
        assert found["left"] is False
        assert list((machine / "tmp").iterdir()) == []
    else:
        assert options["www-address"] == "127.0.0.1"


@pytest.mark.skipif(os.getuid() != 0, reason="only root can become somebody else")
def test_it_needs_no_root(machine: Path) -> None:
    """As in a container: the user is 1000, and nothing of the system can be written."""
    minor = f"python{sys.version_info.major}.{sys.version_info.minor}"
    setpriv, python = shutil.which("setpriv"), shutil.which(minor, path="/usr/local/bin:/usr/bin")
    if setpriv is None or python is None:
        pytest.skip("there is no setpriv, or no Python that other users can start")
    write_rserver(machine / "bin", "2026.08.0+173", python=python)
    for path in (machine, *machine.rglob("*")):
        os.chown(path, 1000, 1000)
    drop = [setpriv, "--reuid=1000", "--regid=1000", "--clear-groups"]
    done = subprocess.run(
        [*drop, python, "-m", "tests.integration.rstudio_direct", str(machine)],
        cwd=REPOSITORY,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(machine),
            "TMPDIR": str(machine / "tmp"),
            "PYTHONPATH": str(Path(psutil.__file__).parents[1]),
            "PYTHONDONTWRITEBYTECODE": "1",
        },
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["told"]["uid"] == 1000
    assert found["mode"] == 0o700
    assert found["left"] is False
    assert "auth-minimum-user-id" not in found["options"]


def test_the_stand_in_refuses_what_the_real_one_refuses(tmp_path: Path) -> None:
    old = write_rserver(tmp_path / "old", "2023.12.1+402")
    new = write_rserver(tmp_path / "new", "2026.08.0+173")

    def run(program: Path, *arguments: str) -> tuple[int, str]:
        done = subprocess.run(
            [str(program), *arguments], capture_output=True, text=True, check=False, timeout=30
        )
        return done.returncode, done.stderr + done.stdout

    assert run(old, "--www-socket=/s") == (1, "unrecognised option '--www-socket'\n")
    assert "invalid" in run(old, "--auth-none=maybe")[1]
    assert run(new, "--check-config", "--database-config-file=/no") == (
        1,
        "[FAIL] database-config-file: /no\n",
    )
    assert "not executable" in run(new, "--server-daemonize=0", "--rsession-which-r=/no")[1]


@pytest.mark.parametrize("supervised", [False, True], ids=["stock", "supervised"])
def test_an_rstudio_without_a_socket_is_refused(tmp_path: Path, supervised: bool) -> None:
    """On a TCP port every user of the machine would get this user's R without a password."""
    with running(tmp_path, "2023.12.1+402", supervised=supervised) as server:
        answer = server.session().get(f"{server.url}rstudio/", timeout=60)
        assert answer.status_code == 503
        assert "every user of this machine" in answer.text
        assert "SAMEPAGE_RSTUDIO_ALLOW_TCP=1" in answer.text


def test_supervised_on_a_fresh_socket_each_time(tmp_path: Path) -> None:
    # The folders of tests have long names, and the address of a socket has 107 bytes.
    with (
        tempfile.TemporaryDirectory(dir="/tmp") as short,
        running(tmp_path, "2026.07.0+101", supervised=True, XDG_RUNTIME_DIR=short) as server,
    ):
        sockets, pids = [], []
        for _ in range(2):
            told = get(server)
            socket = Path(options(told)["www-socket"])
            assert socket.parent.stat().st_mode & 0o777 == 0o700
            assert not psutil.Process(told["pid"]).net_connections("inet")
            assert "Authorization" not in told["headers"]
            assert told["headers"]["Cookie"] == "rs-csrf-token=of-rstudio"
            assert told["environment"]["RS_LOGGER_TYPE"] == "stderr"
            sockets.append(socket)
            pids.append(told["pid"])
            stop = f"{server.url}samepage/api/apps/rstudio/stop"
            assert server.session().post(stop, timeout=60).json()["state"] == "stopped"
            assert not socket.exists()
        assert len(set(sockets)) == 2
        # An idle tab asks for events without end; it does not keep the server alive.
        session = server.session()
        get(server)
        status = f"{server.url}api/status"
        before = session.get(status, timeout=30).json()["last_activity"]
        deadline = time.monotonic() + 1.5
        while time.monotonic() < deadline:
            session.get(f"{server.url}rstudio/events/get_events", timeout=30)
        assert session.get(status, timeout=30).json()["last_activity"] == before
        get(server)
        assert session.get(status, timeout=30).json()["last_activity"] > before
    assert not list((tmp_path / "tmp").glob("samepage-rstudio-*"))


def test_without_r_a_click_says_what_to_install(tmp_path: Path) -> None:
    with running(tmp_path, "2024.12.0+467", RSTUDIO_WHICH_R="/nonexistent/R") as server:
        answer = server.session().get(f"{server.url}rstudio/", timeout=60)
        assert answer.status_code == 503
        assert "/nonexistent/R, which is set as R" in answer.text
        assert not list((tmp_path / "tmp").glob("samepage-rstudio-*"))


def test_shutting_down_from_the_menu_leaves_nothing(tmp_path: Path) -> None:
    with running(tmp_path, "2024.12.0+467") as server:
        rserver = psutil.Process(get(server)["pid"])
        answer = server.session().post(f"{server.url}api/shutdown", timeout=30)
        assert answer.status_code == 200
        server.process.wait(30)
        assert not rserver.is_running()
        assert not list((tmp_path / "tmp").glob("samepage-rstudio-*"))
