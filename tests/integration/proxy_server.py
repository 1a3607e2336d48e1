"""A Jupyter server with applications of third parties, for the tests of the proxy.

None of the entries knows of us: a list, callables, a unix socket, a raw stream, one that crashes.
"""

from __future__ import annotations

import asyncio
import http.client
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import aiohttp

from tests.standins.jupyter_process import JupyterProcess, start_jupyter

WEBAPP = Path(__file__).parents[1] / "standins" / "webapp.py"
# Without a proxy of this machine, whatever its environment says.
NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
PAGE_XHR = {"Accept": "*/*", "Sec-Fetch-Mode": "cors"}

_ENTRIES = """
P, W, BASE = {python!r}, {webapp!r}, {base!r}
servers = c.ServerProxy.servers
def web_command(port):
    return [P, W, str(port)]
def web_environment(base_url):
    return {{"WHERE": base_url, "BRACES": "{{port}}"}}
def to_dog(response):
    response.headers["I-Like"] = "tacos"
    response.body = response.body.replace(b"cat", b"dog")
def only_headers(response, request, path):
    response.headers["Seen-Path"] = path
    if "teapot" in path:
        response.code = 418
servers["web"] = dict(command=[P, W, "{{port}}"], timeout=5)
servers["callables"] = dict(command=web_command, environment=web_environment,
    request_headers_override={{"X-Where": "{{base_url}}", "Authorization": "Basic b3duOm93bg=="}},
    mappath={{"/mapped": "/to here/ä"}})
servers["unix"] = dict(command=[P, W, "{{unix_socket}}"], unix_socket=True)
servers["raw"] = dict(command=[P, W, "{{port}}", "--raw"], raw_socket_proxy=True)
servers["rawunix"] = dict(command=[P, W, "{{unix_socket}}", "--raw"], raw_socket_proxy=True,
    unix_socket=True)
servers["absolute"] = dict(command=[P, W, "{{port}}"], absolute_url=True)
servers["rewriting"] = dict(command=[P, W, "{{port}}"], rewrite_response=to_dog)
servers["labelling"] = dict(command=[P, W, "{{port}}"], rewrite_response=[only_headers])
servers["boom"] = dict(command=[P, W, "{{port}}", "--exit", "3", "--note", BASE + "/boom.txt"],
    timeout=10)
servers["late"] = dict(command=[P, W, "{{port}}", "--delay", "2.5"], timeout=20)
servers["mute"] = dict(command=[P, W, "{{port}}", "--mute", "5.6"], timeout=20)
servers["absent"] = dict(command=["/no/such/program", "{{port}}"])
servers["quiet"] = dict(command=[P, W, "{{port}}"], exclude_last_activity_patterns=[".*/poll$"])
c.Samepage.agent_url = ""
c.ServerApp.log_level = "INFO"
"""


@contextmanager
def running(
    base: Path, *, supervised: bool = True, more_config: str = "", **env: str
) -> Iterator[JupyterProcess]:
    """The server. supervised: with our extension; without, all of it is stock."""
    entries = _ENTRIES.format(python=sys.executable, webapp=str(WEBAPP), base=str(base))
    server = start_jupyter(
        base,
        {"XDG_RUNTIME_DIR": "", **env},
        more_config=f"{entries}\n{more_config}",
        supervised=supervised,
    )
    try:
        yield server
    finally:
        server.stop()


def api(server: JupyterProcess, path: str, method: str = "GET", **options: Any) -> Any:
    answer = server.session().request(
        method, f"{server.url}samepage/api/{path}", timeout=60, **options
    )
    return answer.json()


Opened = tuple[http.client.HTTPConnection, str, dict[str, str]]


@contextmanager
def connection(server: JupyterProcess) -> Iterator[Opened]:
    """For requests that `requests` does not make: connection, base path and headers."""
    parts = urlsplit(server.url)
    assert parts.hostname is not None
    made = http.client.HTTPConnection(parts.hostname, parts.port, timeout=60)
    try:
        yield made, parts.path, {"Authorization": f"token {server.token}"}
    finally:
        made.close()


def with_client(server: JupyterProcess, scenario: Any) -> Any:
    """Run `await scenario(session, websocket URL base)` with a logged-in aiohttp client."""

    async def go() -> Any:
        headers = {"Authorization": f"token {server.token}"}
        connector = aiohttp.TCPConnector(limit=0)
        async with aiohttp.ClientSession(
            headers=headers, trust_env=False, connector=connector
        ) as session:
            return await scenario(session, server.url.replace("http", "ws", 1))

    return asyncio.run(go())
