"""The ways to one application: direct, stock jupyter-server-proxy, and ours.

Both Jupyter servers run in one environment with one configuration. They differ in whether our
server extension, which takes the routes over, is loaded. Two bare relays show what a proxy costs
that does nothing.
"""

import json
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from http.cookiejar import CookieJar
from pathlib import Path
from urllib.parse import urlsplit

from . import jupyter
from .environments import ROOT

APP = Path(__file__).with_name("proxy_app.py")
RELAY = Path(__file__).with_name("proxy_relay.py")


@dataclass(frozen=True, kw_only=True)
class Way:
    """Where the application is reached. base: path before an application's name.

    app: path of the application that measurements of its traffic use. roots: pids of the processes
    that all that takes part is, or is below. pid: of the Jupyter server or relay; None without one.
    cookie: of a logged-in browser.
    """

    name: str
    host: str
    port: int
    base: str
    app: str
    roots: tuple[int, ...]
    pid: int | None = None
    cookie: str = ""

    def head(self, method: str, path: str, headers: Mapping[str, str] | None = None) -> bytes:
        """A request's first lines, up to and with the empty one. path: absolute."""
        lines = [f"{method} {path} HTTP/1.1", f"Host: {self.host}:{self.port}", "Accept: */*"]
        lines += [f"Cookie: {self.cookie}"] if self.cookie else []
        lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
        return "\r\n".join([*lines, "", ""]).encode()


@dataclass(frozen=True, kw_only=True)
class Ways:
    """All of them."""

    direct: Way
    stock: Way
    ours: Way
    relay: Way
    splice: Way

    def all(self) -> tuple[Way, Way, Way]:
        """Without the relays, in this order."""
        return self.direct, self.stock, self.ours


def app_command(*arguments: object, port: object = "{port}") -> list[str]:
    """Command line of the application."""
    return [sys.executable, str(APP), str(port), *map(str, arguments)]


@contextmanager
def running(folder: Path, more_apps: Mapping[str, list[str]]) -> Iterator[Ways]:
    """Start everything. more_apps: further applications' commands, by name."""
    entries = {"app": app_command(), **more_apps}
    with ExitStack() as stack:
        port = jupyter.free_port()
        process = subprocess.Popen(app_command(port=port), cwd=folder)
        stack.callback(jupyter.stop, process)
        direct = Way(
            name="direct", host="127.0.0.1", port=port, base="/", app="/", roots=(process.pid,)
        )
        relays = [
            stack.enter_context(_relay(direct, name, *options))
            for name, options in (("relay", ()), ("splice", ("--splice",)))
        ]
        ways = {
            name: stack.enter_context(_server(folder / name, name, entries, ours=name == "ours"))
            for name in ("stock", "ours")
        }
        found = Ways(
            direct=direct,
            stock=ways["stock"],
            ours=ways["ours"],
            relay=relays[0],
            splice=relays[1],
        )
        for way in (*found.all(), *relays):
            _wait_for_answer(way)
        yield found


@contextmanager
def _relay(direct: Way, name: str, *options: str) -> Iterator[Way]:
    port = jupyter.free_port()
    words = [sys.executable, str(RELAY), str(port), str(direct.port), *options]
    process = subprocess.Popen(words)
    try:
        yield replace(
            direct, name=name, port=port, roots=(process.pid, *direct.roots), pid=process.pid
        )
    finally:
        jupyter.stop(process)


@contextmanager
def _server(
    home: Path, name: str, entries: Mapping[str, list[str]], *, ours: bool
) -> Iterator[Way]:
    config = home / "config"
    config.mkdir(parents=True)
    servers = {each: {"command": words, "timeout": 60} for each, words in entries.items()}
    settings = {"ServerProxy": {"servers": servers}, "Samepage": {"agent_url": ""}}
    (config / "jupyter_server_config.json").write_text(json.dumps(settings))
    environment = {"JUPYTER_CONFIG_DIR": str(config), "PYTHONPATH": str(ROOT)}
    loaded = f"--ServerApp.jpserver_extensions=labext={ours}"
    with jupyter.running(Path(sys.executable), home, loaded, environment=environment) as server:
        parts = urlsplit(server.url)
        assert parts.hostname is not None
        assert parts.port is not None
        if (server.ask("samepage/api/apps")[0] == 200) is not ours:
            raise RuntimeError(f"Our extension is {'not ' if ours else ''}loaded in {name!r}.")
        yield Way(
            name=name,
            host=parts.hostname,
            port=parts.port,
            base=parts.path,
            app=f"{parts.path}app/",
            roots=(server.pid,),
            pid=server.pid,
            cookie=_logged_in(server.url),
        )


def _logged_in(url: str) -> str:
    """Cookies as of a browser that has opened the address with the token."""
    jar = CookieJar()
    opener = urllib.request.build_opener(
        urllib.request.ProxyHandler({}), urllib.request.HTTPCookieProcessor(jar)
    )
    opener.open(f"{url}lab?token={jupyter.TOKEN}", timeout=60).close()
    return "; ".join(f"{cookie.name}={cookie.value}" for cookie in jar)


def _wait_for_answer(way: Way, seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    address = f"http://{way.host}:{way.port}{way.app}small"
    while time.monotonic() < deadline:
        request = urllib.request.Request(address, headers={"Cookie": way.cookie})
        try:
            urllib.request.urlopen(request, timeout=seconds).close()
        except OSError:
            time.sleep(0.05)
        else:
            return
    raise RuntimeError(f"The application did not answer at {address} within {seconds:.0f} s")
