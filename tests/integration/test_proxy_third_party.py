"""Entries of PyPI, installed as they are: they run supervised, and know nothing of it.

The programs they start are stand-ins: no code-server and no RStudio runs here.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from tests.integration.proxy_server import WEBAPP, api
from tests.standins.jupyter_process import JupyterProcess, start_jupyter
from tests.standins.rserver_table import write_rserver

PACKAGES = ("jupyter-vscode-proxy==0.7", "jupyter-rsession-proxy==2.5.1")
PIP = (sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--upgrade")

# Takes `--port=N` or `--socket PATH` as the real one does.
_CODE_SERVER = """#!/bin/sh
while [ $# -gt 0 ]; do
  case "$1" in
    --port=*) where=${{1#--port=}} ;;
    --socket) where=$2; shift ;;
  esac
  shift
done
exec {python} {webapp} "$where"
"""


@pytest.fixture(scope="module")
def packages(pytestconfig: pytest.Config) -> Path:
    """A folder with the packages and nothing else; made once."""
    assert pytestconfig.cache is not None
    folder = Path(pytestconfig.cache.mkdir("third_party"))
    if not all(list(folder.glob(f"{p.partition('==')[0].replace('-', '_')}-*")) for p in PACKAGES):
        done = subprocess.run(
            [*PIP, "--target", str(folder), *PACKAGES],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )
        if done.returncode != 0:
            pytest.skip(f"pip could not get {PACKAGES}: {done.stderr[-300:]}")
    return folder


@pytest.fixture(scope="module")
def server(packages: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[JupyterProcess]:
    base = tmp_path_factory.mktemp("third")
    programs = base / "bin"
    write_rserver(programs, "2026.07.0+101")
    code_server = programs / "code-server"
    code_server.write_text(_CODE_SERVER.format(python=sys.executable, webapp=WEBAPP))
    code_server.chmod(0o755)
    with tempfile.TemporaryDirectory(dir="/tmp") as short:
        process = start_jupyter(
            base,
            {
                "PATH": f"{programs}:{os.environ['PATH']}",
                "PYTHONPATH": str(packages),
                "XDG_RUNTIME_DIR": short,
                "TMPDIR": short,
                # Their 15 s are short for two starts of Python on a busy machine.
                "RSERVER_TIMEOUT": "60",
            },
            # Theirs, and not ours of the same name.
            more_config="c.ServerProxy.servers = {}\nc.Samepage.agent_url = ''",
            supervised=True,
        )
        try:
            yield process
        finally:
            process.stop()


def test_vscode_proxy(server: JupyterProcess) -> None:
    session = server.session()
    told = session.get(f"{server.url}vscode/tell?folder=/x", timeout=60).json()
    assert told["path"] == "/tell?folder=/x"
    assert server.token not in str(told)
    listed = {app["name"]: app for app in api(server, "apps")["apps"]}["vscode"]
    assert (listed["title"], listed["third_party"], listed["launcher"]) == ("VS Code", True, True)
    assert listed["icon_svg"].lstrip().startswith("<")
    assert session.get(f"{server.url}{listed['icon_url']}", timeout=30).status_code == 200
    assert api(server, "apps/vscode/stop", "POST")["state"] == "stopped"
    assert not psutil.pid_exists(told["pid"])


def test_rsession_proxy(server: JupyterProcess) -> None:
    """Its `rewrite_response` looks at headers only, so nothing is buffered for it."""
    session = server.session()
    answer = session.get(f"{server.url}rstudio/", timeout=60)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert told["standin"] == "2026.07.0+101"
    assert f"--www-root-path={'/user/alice/rstudio/'}" in told["argv"]
    assert server.token not in str(told)
    socket = next(part for part in told["argv"] if part.startswith("--www-socket="))
    assert not psutil.Process(told["pid"]).net_connections("inet")
    assert api(server, "apps/rstudio/stop", "POST")["state"] == "stopped"
    assert not Path(socket.partition("=")[2]).exists()
    # Where stock makes "//host/help/x" of it, which loses the prefix.
    moved = session.get(
        f"{server.url}rstudio/a", params={"to": "/help/x"}, allow_redirects=False, timeout=60
    )
    assert moved.headers["Location"] in {"help/x", "./help/x", "/user/alice/rstudio/help/x"}
