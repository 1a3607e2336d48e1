"""Real OpenRefine, supervised, on a machine that is shared with other users."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest
import requests

from serverproxy.catalog import list_apps
from serverproxy.supervisor.gate.spawn import probe
from tests.integration.proxy_server import NAVIGATION, api
from tests.standins.jupyter_process import JupyterProcess, start_jupyter

needs_openrefine = pytest.mark.skipif(
    not next(app for app in list_apps() if app["name"] == "openrefine")["available"],
    reason="OpenRefine cannot run on this machine",
)
pytestmark = needs_openrefine

NOBODY = 65534
# The tests' own may lie in a home folder that other users cannot enter.
OPEN_PYTHON = shutil.which("python3", path="/usr/bin:/bin:/usr/local/bin")


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("shared")


@pytest.fixture(scope="module")
def server(base: Path) -> Iterator[JupyterProcess]:
    with serving_openrefine(base, gate="on") as process:
        yield process


@contextmanager
def serving_openrefine(base: Path, *, gate: str) -> Iterator[JupyterProcess]:
    process = start_jupyter(
        base,
        {"SAMEPAGE_OPENREFINE_HEAP_MIB": "400", "XDG_RUNTIME_DIR": ""},
        more_config=f"c.Samepage.agent_url = ''\nc.Samepage.app_port_gate = {gate!r}",
        supervised=True,
    )
    try:
        assert process.session().get(f"{process.url}openrefine/", timeout=120).status_code == 200
        yield process
    finally:
        process.stop()


@pytest.fixture
def java(server: JupyterProcess) -> psutil.Process:
    return java_of(server)


def java_of(server: JupyterProcess) -> psutil.Process:
    (found,) = [child for child in server.children() if child.name() == "java"]
    return found


def port_of(java: psutil.Process) -> int:
    (port,) = {link.laddr.port for link in java.net_connections("tcp") if link.status == "LISTEN"}
    return int(port)


def secret_of(java: psutil.Process) -> str:
    """As its own user reads it."""
    (given,) = [part for part in java.cmdline() if part.startswith("@")]
    found = re.search(r"refine\.context_path=/(\S+)", Path(given[1:]).read_text())
    assert found is not None
    return found[1]


# Everything another user could try to learn the secret, or to do without it.
_STRANGER = """
import os, sys, urllib.request, urllib.error
port, pid, arguments = sys.argv[1:]
ask = urllib.request.build_opener(urllib.request.ProxyHandler({})).open
for path in ("/", "/command/core/get-all-project-metadata", "/openrefine/", "/%2e/", "/project",
             "/..;/", "//", "/index", "/command/core/get-version"):
    try:
        print(path, ask(f"http://127.0.0.1:{port}{path}", timeout=10).status)
    except urllib.error.HTTPError as error:
        print(path, error.code, error.headers, error.read().decode("latin-1"))
    except OSError as error:
        print(path, "closed", type(error).__name__)
print(open(f"/proc/{pid}/cmdline").read())
for file in (f"/proc/{pid}/environ", f"/proc/{pid}/maps", arguments):
    try:
        print("READ>", open(file).read())
    except OSError as error:
        print("refused", file, type(error).__name__)
for root, _, files in os.walk("/tmp"):
    # Everything a JVM and we ourselves put there.
    for name in files if "hsperf" in root or "samepage" in root else ():
        try:
            print("FILE", open(os.path.join(root, name), errors="replace").read(4096))
        except OSError:
            pass
"""


def what_a_stranger_learns(java: psutil.Process) -> str:
    (arguments,) = [part[1:] for part in java.cmdline() if part.startswith("@")]
    done = subprocess.run(
        [OPEN_PYTHON or "", "-I", "-c", _STRANGER, str(port_of(java)), str(java.pid), arguments],
        user=NOBODY,
        group=NOBODY,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=60,
        cwd="/",
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert secret_of(java) not in done.stdout
    assert "READ>" not in done.stdout
    assert "refine.data_dir" in done.stdout, "the command line could be read, and holds no secret"
    return done.stdout


def the_secret_is_the_way_in(java: psutil.Process) -> None:
    direct = requests.Session()
    direct.trust_env = False
    good = direct.get(f"http://127.0.0.1:{port_of(java)}/{secret_of(java)}/", timeout=30)
    assert good.status_code == 200


another_user = pytest.mark.skipif(
    os.getuid() != 0 or OPEN_PYTHON is None, reason="becoming another user needs root, and a Python"
)


@another_user
@pytest.mark.skipif(not probe().guarded, reason="no gate is possible here")
def test_another_user_cannot_even_connect(server: JupyterProcess, java: psutil.Process) -> None:
    """Mends: on a TCP port `nobody` listed a user's projects."""
    assert api(server, "apps/openrefine")["port_gate"] == "on"
    the_secret_is_the_way_in(java)
    told = what_a_stranger_learns(java)
    assert len(re.findall(r"^/\S* closed \w", told, re.MULTILINE)) == 9, told
    the_secret_is_the_way_in(java)


@another_user
def test_without_the_gate_the_secret_path_keeps_others_out(tmp_path: Path) -> None:
    with serving_openrefine(tmp_path, gate="off") as server:
        assert api(server, "apps/openrefine")["port_gate"] is None
        java = java_of(server)
        the_secret_is_the_way_in(java)
        told = what_a_stranger_learns(java)
        assert len(re.findall(r"^/\S* 404 ", told, re.MULTILINE)) >= 7, told
        assert not re.findall(r"^/\S* (?:200|302)$", told, re.MULTILINE)


def test_the_secret_is_new_each_time_and_leaves_no_trace(
    server: JupyterProcess, java: psutil.Process
) -> None:
    first = secret_of(java)
    assert len(first) >= 40
    session = server.session()
    page = session.get(f"{server.url}openrefine/", timeout=60)
    assert first not in page.text
    assert first not in str(page.headers)
    assert first not in "\n".join(api(server, "apps/openrefine/log")["lines"])
    assert first not in server.log.read_text()
    assert first not in str(api(server, "apps"))
    assert not [part for part in java.environ().values() if first in part]
    api(server, "apps/openrefine/restart", "POST")
    session.get(f"{server.url}openrefine/", timeout=120)
    (again,) = [child for child in server.children() if child.name() == "java"]
    assert secret_of(again) != first


def test_a_file_of_the_file_browser_becomes_a_project(server: JupyterProcess, base: Path) -> None:
    (base / "work/some data.csv").write_text("name,town\nAda,London\nEmmy,Göttingen\n")
    told = api(server, "apps/openrefine/open", "POST", json={"path": "some data.csv"})
    assert told.get("opened") == "file", told
    assert re.fullmatch(r"openrefine/project\?project=\d+", told["url"])
    session = server.session()
    project = told["url"].partition("=")[2]
    assert session.get(f"{server.url}{told['url']}", timeout=60).status_code == 200
    answer = session.post(
        f"{server.url}openrefine/command/core/get-rows",
        params={"project": project, "start": 0, "limit": 10},
        timeout=60,
    ).json()
    assert answer["total"] == 2
    cells = [cell["v"] for row in answer["rows"] for cell in row["cells"]]
    assert cells == ["Ada", "London", "Emmy", "Göttingen"]


def test_a_project_made_seconds_before_a_stop_is_kept(server: JupyterProcess, base: Path) -> None:
    """Mends: OpenRefine keeps new projects in memory for minutes; stock kills it."""
    (base / "work/late.tsv").write_text("a\tb\n1\t2\n")
    told = api(server, "apps/openrefine/open", "POST", json={"path": "late.tsv"})
    project = told["url"].partition("=")[2]
    assert api(server, "apps/openrefine/stop", "POST")["state"] == "stopped"
    folder = base / f"home/.local/share/openrefine/{project}.project"
    assert folder.is_dir()
    session = server.session()
    begun = time.monotonic()
    page = session.get(f"{server.url}{told['url']}", headers=NAVIGATION, timeout=10)
    assert page.headers["X-Samepage-Start"] == "starting"
    assert time.monotonic() - begun < 1
    assert session.get(f"{server.url}{told['url']}", timeout=120).status_code == 200
    status = api(server, "apps/openrefine")
    assert status["usual_ready_seconds"] > 1
    assert status["state"] in {"ready", "idle"}
