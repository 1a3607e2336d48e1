"""The student's R session: saved before every end, awake while it computes, shows files.

rserver and rsession are stand-ins; what they do as the real ones is in their docstrings.
"""

from __future__ import annotations

import signal
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import requests

from tests.integration.rstudio_page import Page, app, post, running, short_folder, until
from tests.integration.supervisor_apps import alive
from tests.standins.jupyter_process import JupyterProcess

# The look at computations is every 30 s; a test has not got them.
QUICK_LOOKS = "import serverproxy.jupyter.takeover as takeover; takeover._LOOK_S = 0.5\n"


@pytest.fixture
def runtime() -> Iterator[Path]:
    with short_folder() as folder:
        yield folder


def filled(server: JupyterProcess) -> Page:
    """A page whose session holds something that is on no disk."""
    page = Page(server)
    page.init()
    page.rpc("assign", model=[1, 2, 3])
    return page


def has_all(server: JupyterProcess) -> None:
    page = Page(server)
    assert page.init()["resumed"] is True
    assert page.rpc("variables") == {"model": [1, 2, 3]}


def private_folders(base: Path, runtime: Path) -> list[Path]:
    return [*base.glob("tmp/samepage-rstudio*"), *runtime.rglob("database.conf")]


def test_nothing_is_lost_when_it_is_stopped_or_restarted(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path, runtime) as server:
        page = filled(server)
        assert private_folders(tmp_path, runtime)
        assert post(server, "rstudio/stop")["state"] == "stopped"
        assert not alive(page.client["pid"])
        assert private_folders(tmp_path, runtime) == []
        has_all(server)
        post(server, "rstudio/restart")
        until(lambda: app(server)["state"] == "ready")
        has_all(server)
        # R computes: it is interrupted, and what it had is saved.
        page = Page(server)
        page.init()
        page.rpc("busy", seconds=600)
        began = time.monotonic()
        assert post(server, "rstudio/stop")["state"] == "stopped"
        assert time.monotonic() - began < 20
        has_all(server)


def test_nothing_is_lost_at_the_end_of_the_server_in_any_way(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path, runtime) as server:
        filled(server)
        server.stop(signal.SIGTERM, seconds=90)
    assert private_folders(tmp_path, runtime) == []
    with running(tmp_path, runtime) as server:
        has_all(server)
        page = Page(server)
        page.init()
        pids = [page.told["pid"], page.client["pid"]]
        server.stop(signal.SIGKILL)
        # Nobody is there but the guardian.
        until(lambda: not any(alive(pid) for pid in pids))
        until(lambda: private_folders(tmp_path, runtime) == [])
    with running(tmp_path, runtime) as server:
        has_all(server)


def test_an_idle_page_keeps_neither_it_nor_the_server_alive(tmp_path: Path, runtime: Path) -> None:
    config = "c.Samepage.app_idle_seconds = {'rstudio': 2.0}\n"
    with running(tmp_path, runtime, more_config=config) as server:
        page = filled(server)
        polling = threading.Event()

        def poll() -> None:
            # As an open page: the poll is answered when the session ends, and asked again.
            while not polling.is_set():
                try:
                    page.events(seconds=20)
                except (AssertionError, requests.RequestException):
                    polling.wait(0.1)

        thread = threading.Thread(target=poll)
        thread.start()
        try:
            # Work in it does.
            for _ in range(6):
                page.rpc("variables")
                time.sleep(0.5)
            assert app(server)["state"] == "ready"
            active = server.session().get(f"{server.url}api/status", timeout=30).json()
            until(lambda: app(server)["state"] == "stopped")
            assert app(server)["why"] == "idle"
            after = server.session().get(f"{server.url}api/status", timeout=30).json()
            assert after["last_activity"] == active["last_activity"]
        finally:
            polling.set()
            thread.join()
        has_all(server)


def test_a_computing_session_is_in_use(tmp_path: Path, runtime: Path) -> None:
    config = f"c.Samepage.app_idle_seconds = {{'rstudio': 2.0}}\n{QUICK_LOOKS}"
    with running(tmp_path, runtime, more_config=config) as server:
        page = filled(server)
        page.rpc("busy", seconds=6)
        began = time.monotonic()
        status = f"{server.url}api/status"
        before = server.session().get(status, timeout=30).json()["last_activity"]
        while time.monotonic() - began < 4.5:
            assert app(server)["state"] in {"ready", "idle"}
            time.sleep(0.2)
        # No page asked for anything: it is the computation, for the hub's culler too.
        assert server.session().get(status, timeout=30).json()["last_activity"] > before
        until(lambda: app(server)["state"] == "stopped")
        assert time.monotonic() - began > 6
        has_all(server)


def test_a_file_of_the_file_browser_is_shown(tmp_path: Path, runtime: Path) -> None:
    with running(tmp_path, runtime) as server:
        course = tmp_path / "work/the course ö"
        course.mkdir()
        for name in ("a 100%.R", "b.Rmd", "c.qmd", "course.Rproj", "data.csv"):
            (course / name).write_text("")

        def open_file(name: str) -> dict[str, object]:
            found: dict[str, object] = post(server, "rstudio/open", path=f"the course ö/{name}")
            return found

        # It does not run yet: the session that starts finds the wish, in the file's folder.
        said = open_file("a 100%.R")
        assert said == {"url": "rstudio/", "opened": "file", "note": None}
        page = Page(server)
        assert page.init()["initial_working_dir"] == str(course)
        assert "R_PROFILE" not in page.client["environment"]
        assert page.shown() == [("jump_to_function", str(course / "a 100%.R"))]
        # A page is open: it is shown there.
        assert open_file("b.Rmd")["note"] is None
        assert page.shown() == [("jump_to_function", str(course / "b.Rmd"))]
        # The page is loaded anew, which forgets what waits: it is shown again.
        second = Page(server)
        second.init()
        assert second.shown() == [("jump_to_function", str(course / "b.Rmd"))]
        # R computes: people are told, and it is shown afterwards.
        second.rpc("busy", seconds=4)
        assert "R is busy. c.qmd is shown" in str(open_file("c.qmd")["note"])
        assert second.shown() == [("jump_to_function", str(course / "c.qmd"))]
        open_file("course.Rproj")
        assert second.shown() == [("open_project", str(course / "course.Rproj"))]
        # Nothing RStudio shows: it is opened, no more.
        assert open_file("data.csv")["opened"] == "app"


def test_an_installation_without_rsession_beside_rserver_says_so(
    tmp_path: Path, runtime: Path
) -> None:
    with running(tmp_path, runtime) as server:
        (tmp_path / "bin/rsession").unlink()
        (tmp_path / "work/a.R").write_text("")
        url = f"{server.url}samepage/api/apps/rstudio/open"
        answer = server.session().post(url, json={"path": "a.R"}, timeout=60)
        assert answer.status_code == 502
        assert "no way to show a.R" in answer.json()["message"]
        assert "File > Open File" in answer.json()["fix"]
        assert Page(server).told["argv"]


def test_two_r_side_by_side(tmp_path: Path, runtime: Path) -> None:
    other = tmp_path / "other/R"
    write = other.parent
    write.mkdir()
    other.write_text("#!/bin/sh\necho 'R version 4.4.1 (2024-06-14)'\n")
    other.chmod(0o755)
    with running(
        tmp_path, runtime, SAMEPAGE_RSTUDIO_R_VERSIONS=f"4.4={other}:gone=/nonexistent/R"
    ) as server:
        listing = server.session().get(f"{server.url}samepage/api/apps", timeout=60).json()["apps"]
        cards = {each["name"]: each for each in listing}
        assert cards["rstudio-4.4"]["title"] == "RStudio (R 4.4)"
        assert cards["rstudio-4.4"]["available"] is cards["rstudio-4.4"]["managed"] is True
        assert cards["rstudio-gone"]["available"] is False
        plain = filled(server)
        page = Page(server, "rstudio-4.4")
        page.init()
        assert page.rpc("variables") == {}
        page.rpc("assign", fit="other")
        options = dict(part.removeprefix("--").split("=", 1) for part in page.told["argv"])
        assert options["rsession-which-r"] == str(other)
        assert options["www-root-path"] == "/user/alice/rstudio-4.4/"
        assert page.client["environment"]["STANDIN_R"] == str(other)
        home = page.client["environment"]["RSTUDIO_DATA_HOME"]
        assert home == str(tmp_path / "home/.local/share/rstudio-4.4")
        assert page.told["pid"] != plain.told["pid"]
        folders = {Path(each["server-data-dir"]) for each in (options, _options(plain))}
        assert len(folders) == 2
        post(server, "stop-all")
        has_all(server)
        page = Page(server, "rstudio-4.4")
        page.init()
        assert page.rpc("variables") == {"fit": "other"}


def _options(page: Page) -> dict[str, str]:
    return dict(part.removeprefix("--").split("=", 1) for part in page.told["argv"])
