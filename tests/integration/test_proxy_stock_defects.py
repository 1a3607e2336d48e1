"""What was found wrong with stock jupyter-server-proxy, on both servers: it fails there, not here.

One server of each kind has the same entries. A check that stock passes one day is a defect that was
mended there: take it out.
"""

from __future__ import annotations

import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urljoin

import psutil
import pytest
import requests

from serverproxy.supervisor.gate.spawn import probe
from tests.integration.proxy_server import NAVIGATION, WEBAPP, running
from tests.standins.jupyter_process import JupyterProcess

_ENTRIES = """
S = [P, W, "{{port}}"]
servers["slow"] = dict(command=[P, W, "{{port}}", "--delay", "8"])
servers["noticed"] = dict(command=[P, W, "{{port}}", "--delay", "5.2"], timeout=30)
servers["wrapped"] = dict(command=["sh", "-c", {wrapped!r}, "sh", "{{port}}"], timeout=20)
servers["saving"] = dict(command=[P, "-c", {saving!r}, "{{port}}"], timeout=20)
servers["twice"] = dict(command=["sh", "-c", {twice!r}.replace("BASE", BASE)], timeout=1)
servers["socketed"] = dict(command=[P, W, "{{unix_socket}}"], unix_socket=True)
"""

# As Debian's /usr/bin/openrefine: a shell that stays, and forwards nothing.
_TWICE = "echo >> BASE/twice.txt; echo something is very wrong here; exit 4"
_WRAPPED = f"{shlex.quote(sys.executable)} {shlex.quote(str(WEBAPP))} $1; exit 0"

# Saves for half a second when it is asked to end, as OpenRefine does.
_SAVING = """
import http.server, os, signal, sys, threading, time
from pathlib import Path
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200); self.send_header("Content-Length", "2"); self.end_headers()
        self.wfile.write(b"ok")
def save(*_):
    Path(os.environ["HOME"], "saving").write_text("begun")
    time.sleep(4)
    Path(os.environ["HOME"], "saved").write_text("done")
    os._exit(0)
signal.signal(signal.SIGTERM, save)
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
"""


@dataclass(frozen=True, kw_only=True)
class Place:
    """A running server and its folder."""

    server: JupyterProcess
    base: Path

    def get(self, path: str, *, navigation: bool = False) -> requests.Response:
        """With the user's token, redirects not followed."""
        return self.server.session().get(
            f"{self.server.url}{path}",
            headers=NAVIGATION if navigation else {},
            timeout=60,
            allow_redirects=False,
        )


Check = Callable[[Place], bool]


def slower_than_five_seconds(at: Place) -> bool:
    """The docs' own recipe for OpenRefine ends in 500, because it takes longer than the default."""
    return at.get("slow/tell").status_code == 200


def something_is_shown_at_once(at: Place) -> bool:
    """Until an application answers, its tab stays blank."""
    begun = time.monotonic()
    page = at.get("late/", navigation=True)
    return page.status_code == 200 and time.monotonic() - begun < 1.5


def readiness_is_noticed(at: Place) -> bool:
    """The pause between two looks doubles without end: ready at 5.6 s was noticed at 10.3 s."""
    told = at.get("noticed/tell")
    return told.status_code == 200 and time.time() - told.json()["answers_since"] < 2


def a_crash_is_explained(at: Place) -> bool:
    """A crashing command is started thousands of times, and then "500" is all that is said."""
    page = at.get("twice/", navigation=True)
    deadline = time.monotonic() + 20
    while page.headers.get("X-Samepage-Start") == "starting" and time.monotonic() < deadline:
        page = at.get("twice/", navigation=True)
    return "something is very wrong here" in page.text


def a_crash_is_no_loop(at: Place) -> bool:
    at.get("twice/")
    return len((at.base / "twice.txt").read_text().splitlines()) <= 3


def a_clean_exit_can_be_opened_again(at: Place) -> bool:
    """After exit code 0 every click gives 500 until Jupyter is restarted."""
    (pid,) = {at.get("web/tell").json()["pid"]}
    at.get("web/quit")
    deadline = time.monotonic() + 10
    while psutil.pid_exists(pid) and time.monotonic() < deadline:
        time.sleep(0.05)
    time.sleep(1.2)  # a supervisor may notice it by its clock
    return at.get("web/tell").status_code == 200


def a_missing_program_is_named(at: Place) -> bool:
    """A bare 500, and a traceback in the server's log."""
    answer = at.get("absent/")
    return answer.status_code == 503 and "/no/such/program" in answer.text


def the_token_stays_here(at: Place) -> bool:
    """The application gets the user's Authorization header."""
    return at.server.token not in at.get("labelling/tell").text


def the_tokens_of_the_hub_stay_here(at: Place) -> bool:
    """And every secret of the server's environment."""
    return "JUPYTERHUB_API_TOKEN" not in at.get("callables/tell").json()["environment"]


def absolute_redirects_keep_the_prefix(at: Place) -> bool:
    """Jetty makes every redirect absolute; those left the prefix."""
    host = at.server.url.split("/")[2]
    answer = at.get(f"callables/answer/302?Location=http%3A%2F%2F{host}%2Fproject%3Fproject%3D1")
    return urljoin(answer.url, answer.headers["Location"]).endswith("/callables/project?project=1")


def a_large_answer_arrives(at: Place) -> bool:
    """Answers of more than 100 MB give 599."""
    answer = at.get(f"callables/big?size={120 << 20}")
    return answer.status_code == 200 and len(answer.content) == 120 << 20


def answers_are_not_held_back(at: Place) -> bool:
    """Only a request that asks for nothing but events is not answered all at once at the end."""
    begun = time.monotonic()
    with at.server.session().get(
        f"{at.server.url}callables/events?count=8", timeout=60, stream=True
    ) as answer:
        next(answer.iter_content(16))
        return time.monotonic() - begun < 1.2


def applications_are_listed(at: Place) -> bool:
    """There is no way to see, stop or restart what runs."""
    answer = at.get("samepage/api/apps/callables")
    return answer.status_code == 200 and answer.json()["state"] in {"ready", "idle"}


def a_socket_folder_goes_with_it(at: Place) -> bool:
    """The folder of a unix socket is never removed."""
    assert at.get("socketed/tell").status_code == 200
    folders = list((at.base / "tmp").glob("jupyter-server-proxy-*"))
    return not folders


def its_port_is_its_users(at: Place) -> bool:
    """Any local user can talk to the application."""
    at.get("callables/tell")
    (port,) = {
        link.laddr.port
        for child in at.server.children()
        if any("webapp.py" in part for part in child.cmdline()) and child.environ().get("WHERE")
        for link in child.net_connections("tcp")
        if link.status == "LISTEN"
    }
    code = (
        "import socket, sys\n"
        "s = socket.create_connection(('127.0.0.1', int(sys.argv[1])), timeout=10)\n"
        "s.sendall(b'GET / HTTP/1.0\\r\\n\\r\\n')\n"
        "print(len(s.recv(100)))"
    )
    done = subprocess.run(
        ["/usr/bin/python3", "-I", "-c", code, str(port)],
        user=65534,
        group=65534,
        extra_groups=[],
        capture_output=True,
        text=True,
        timeout=30,
        cwd="/",
        check=False,
    )
    return done.stdout.strip() in {"", "0"} and (
        "Reset" in done.stderr or "Broken" in done.stderr or done.stdout.strip() == "0"
    )


needs_other_user = pytest.mark.skipif(
    os.getuid() != 0 or not os.access("/usr/bin/python3", os.X_OK) or not probe().guarded,
    reason="needs root, a Python for everybody, and a gate",
)
CHECKS = (
    slower_than_five_seconds,
    something_is_shown_at_once,
    readiness_is_noticed,
    a_crash_is_explained,
    a_crash_is_no_loop,
    a_clean_exit_can_be_opened_again,
    a_missing_program_is_named,
    the_token_stays_here,
    the_tokens_of_the_hub_stay_here,
    absolute_redirects_keep_the_prefix,
    a_large_answer_arrives,
    answers_are_not_held_back,
    applications_are_listed,
    a_socket_folder_goes_with_it,
    pytest.param(its_port_is_its_users, marks=needs_other_user),
)


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Place, Place]]:
    """Ours and stock."""
    more = _ENTRIES.format(wrapped=_WRAPPED, saving=_SAVING, twice=_TWICE)
    bases = [tmp_path_factory.mktemp(name) for name in ("ours", "stock")]
    for base in bases:
        (base / "tmp").mkdir()
    secret = "secret-of-the-hub"
    gate = f"{more}\nc.Samepage.app_port_gate = 'on'"
    with (
        running(
            bases[0], more_config=gate, TMPDIR=str(bases[0] / "tmp"), JUPYTERHUB_API_TOKEN=secret
        ) as ours,
        running(
            bases[1],
            supervised=False,
            more_config=more,
            TMPDIR=str(bases[1] / "tmp"),
            JUPYTERHUB_API_TOKEN=secret,
        ) as stock,
    ):
        yield Place(server=ours, base=bases[0]), Place(server=stock, base=bases[1])


@pytest.mark.parametrize("check", CHECKS)
def test_stock_fails_and_this_does_not(places: tuple[Place, Place], check: Check) -> None:
    ours, stock = places
    with ThreadPoolExecutor(1) as pool:
        there: Future[bool] = pool.submit(check, stock)
        here = check(ours)
        assert here, f"ours: {check.__doc__}"
        assert not there.result(), "stock has mended it"


@pytest.mark.parametrize("supervised", [True, False], ids=["ours", "stock"])
def test_the_end_of_the_server(tmp_path: Path, *, supervised: bool) -> None:
    """Stock leaves at once: a wrapper's child runs on, and what saves is cut off in a container."""
    more = _ENTRIES.format(wrapped=_WRAPPED, saving=_SAVING, twice=_TWICE)
    with running(tmp_path, supervised=supervised, more_config=more) as server:
        place = Place(server=server, base=tmp_path)
        wrapped = psutil.Process(place.get("wrapped/tell").json()["pid"])
        assert place.get("saving/").status_code == 200
        saving = [row for row in server.children() if _SAVING in row.cmdline()]
        server.stop(signal.SIGTERM)
        saved = (tmp_path / "home/saved").exists()
        left = [row for row in saving if row.is_running()]
        for row in left:
            row.kill()
        orphan = wrapped.is_running() and wrapped.status() != psutil.STATUS_ZOMBIE
        if orphan:
            wrapped.kill()
        assert (saved, orphan) == ((True, False) if supervised else (False, True))
