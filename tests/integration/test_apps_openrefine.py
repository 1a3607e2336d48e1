"""OpenRefine itself, behind a real Jupyter server under /user/alice/.

By jupyter-server-proxy alone, and supervised by us.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from urllib.parse import parse_qs, urljoin, urlsplit

import psutil
import pytest
import requests

from serverproxy.catalog import list_apps
from serverproxy.host import Host
from tests.standins.jupyter_process import JupyterProcess, start_jupyter

ROWS = "name,town\nAda,London\nGrace,New York\nEmmy,Göttingen\n"
HUB = {
    "Host": "hub.example.org",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "hub.example.org",
}
FIRST_ANSWER_SECONDS = 120


def _openrefine_here() -> bool:
    here = {item["name"]: item for item in list_apps(Host())}
    return here["openrefine"]["available"]


needs_openrefine = pytest.mark.skipif(
    not _openrefine_here(), reason="OpenRefine cannot run on this machine"
)


@pytest.fixture(scope="module", params=[False, True], ids=["stock", "supervised"])
def supervised(request: pytest.FixtureRequest) -> bool:
    return bool(request.param)


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory, supervised: bool) -> Path:
    return tmp_path_factory.mktemp("openrefine")


@pytest.fixture(scope="module")
def start(base: Path, supervised: bool) -> Iterator[Callable[[], JupyterProcess]]:
    started: list[JupyterProcess] = []

    def starter() -> JupyterProcess:
        server = start_jupyter(base, {"SAMEPAGE_OPENREFINE_HEAP_MIB": "400"}, supervised=supervised)
        started.append(server)
        return server

    yield starter
    for server in started:
        server.stop()


@pytest.fixture(scope="module")
def server(start: Callable[[], JupyterProcess]) -> JupyterProcess:
    return start()


def _lives(process: psutil.Process) -> bool:
    """A zombie waits only for whatever adopts orphans here."""
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def java_below(server: JupyterProcess) -> psutil.Process:
    found = [child for child in server.children() if child.name() == "java"]
    assert len(found) == 1, found
    return found[0]


def token_of(session: requests.Session, app: str) -> str:
    answer = session.get(f"{app}command/core/get-csrf-token", timeout=FIRST_ANSWER_SECONDS)
    return str(answer.json()["token"])


def create_project(session: requests.Session, app: str, name: str, rows: str) -> requests.Response:
    return session.post(
        f"{app}command/core/create-project-from-upload",
        params={"csrf_token": token_of(session, app)},
        files={"project-file": ("rows.csv", rows.encode(), "text/csv")},
        data={"project-name": name},
        allow_redirects=False,
        timeout=60,
    )


def export(session: requests.Session, app: str, project: str) -> str:
    answer = session.post(
        f"{app}command/core/export-rows",
        data={"project": project, "format": "csv", "csrf_token": token_of(session, app)},
        timeout=60,
    )
    assert answer.status_code == 200
    answer.encoding = "utf-8"
    return answer.text


def project_id(location: str) -> str:
    return parse_qs(urlsplit(location).query)["project"][0]


@needs_openrefine
def test_front_page_opens_below_the_prefix(server: JupyterProcess) -> None:
    answer = server.session().get(f"{server.url}openrefine/", timeout=FIRST_ANSWER_SECONDS)
    assert answer.status_code == 200
    assert "<title>OpenRefine</title>" in answer.text
    for link in re.findall(r'(?:src|href)="([^"]+)"', answer.text):
        assert not link.startswith("/"), link


@needs_openrefine
def test_without_a_login_nothing_is_seen(server: JupyterProcess) -> None:
    plain = requests.Session()
    plain.trust_env = False
    answer = plain.get(f"{server.url}openrefine/", allow_redirects=False, timeout=30)
    assert answer.status_code in {302, 403}
    assert "OpenRefine" not in answer.text


@needs_openrefine
def test_create_open_and_export(server: JupyterProcess) -> None:
    session, app = server.session(), f"{server.url}openrefine/"
    created = create_project(session, app, "people", ROWS)
    assert created.status_code == 302
    location = urljoin(created.request.url or "", created.headers["Location"])
    assert location.startswith(f"{app}project?project=")
    assert session.get(location, timeout=60).status_code == 200
    assert export(session, app, project_id(location)) == ROWS


@needs_openrefine
def test_behind_a_hub_with_its_own_name_and_https(server: JupyterProcess) -> None:
    session, app = server.session(), f"{server.url}openrefine/"
    session.headers.update(HUB)
    assert session.get(app, timeout=FIRST_ANSWER_SECONDS).status_code == 200
    created = create_project(session, app, "hub", ROWS)
    assert created.status_code == 302
    where = urljoin(
        "https://hub.example.org/user/alice/openrefine/command/core/create-project-from-upload",
        created.headers["Location"],
    )
    assert where.startswith("https://hub.example.org/user/alice/openrefine/project?project=")


@needs_openrefine
def test_a_paste_of_several_megabytes_is_taken(server: JupyterProcess) -> None:
    session, app = server.session(), f"{server.url}openrefine/"
    rows = "n,text\n" + "".join(f"{number},{'x' * 90}\n" for number in range(30_000))
    made = session.post(
        f"{app}command/core/create-importing-job",
        data={"csrf_token": token_of(session, app)},
        timeout=60,
    ).json()
    answer = session.post(
        f"{app}command/core/importing-controller",
        params={
            "controller": "core/default-importing-controller",
            "jobID": str(made["jobID"]),
            "subCommand": "load-raw-data",
            "csrf_token": token_of(session, app),
        },
        files={"clipboard": (None, rows)},
        timeout=60,
    )
    assert answer.status_code == 200
    form = session.post(
        f"{app}command/core/set-preference",
        data={"csrf_token": token_of(session, app), "name": "big", "value": f'"{"y" * 3_000_000}"'},
        timeout=60,
    )
    assert form.json()["code"] == "ok", "a form of 3 MB was refused"


@needs_openrefine
def test_openrefine_listens_on_loopback_only(server: JupyterProcess) -> None:
    server.session().get(f"{server.url}openrefine/", timeout=FIRST_ANSWER_SECONDS)
    sockets = java_below(server).net_connections("tcp")
    listening = {each.laddr.ip for each in sockets if each.status == psutil.CONN_LISTEN}
    assert listening
    assert listening <= {"127.0.0.1", "::ffff:127.0.0.1", "::1"}


@needs_openrefine
def test_stopping_the_server_saves_and_leaves_nothing(
    base: Path, server: JupyterProcess, start: Callable[[], JupyterProcess], supervised: bool
) -> None:
    session, app = server.session(), f"{server.url}openrefine/"
    created = create_project(session, app, "kept", ROWS)
    project = project_id(created.headers["Location"])
    java = java_below(server)
    children = server.children()
    assert f"-Drefine.data_dir={base}/home/.local/share/openrefine" in java.cmdline()
    server.stop(signal.SIGTERM)
    assert not java.is_running(), "the server left before OpenRefine had saved"
    assert not [child for child in children if _lives(child)]
    assert (base / f"home/.local/share/openrefine/{project}.project").is_dir()

    again = start()
    session, app = again.session(), f"{again.url}openrefine/"
    assert session.get(app, timeout=FIRST_ANSWER_SECONDS).status_code == 200
    assert export(session, app, project) == ROWS

    java = java_below(again)
    if supervised or shutil.which("setpriv"):
        again.process.kill()
        again.process.wait(10)
        deadline = time.monotonic() + 30
        while java.is_running() and time.monotonic() < deadline:
            time.sleep(0.1)
        assert not java.is_running(), "a killed server left OpenRefine behind"


@pytest.mark.parametrize("watched", [False, True], ids=["stock", "supervised"])
def test_a_click_without_openrefine_says_what_to_do(tmp_path: Path, watched: bool) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    server = start_jupyter(
        tmp_path,
        {"SAMEPAGE_OPENREFINE_HOME": str(empty), "PATH": os.environ["PATH"]},
        supervised=watched,
    )
    try:
        answer = server.session().get(f"{server.url}openrefine/", timeout=60)
        assert answer.status_code == 503
        assert f"There is no OpenRefine in {empty}" in answer.text
        assert "SAMEPAGE_OPENREFINE_HOME" in answer.text
        assert server.session().get(f"{server.url}api/status", timeout=30).status_code == 200
    finally:
        server.stop()
