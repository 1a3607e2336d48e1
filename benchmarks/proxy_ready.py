"""From the click to the application: how long after its first possible answer people have it."""

import json
import re
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from http.client import HTTPConnection
from pathlib import Path

from .proxy_servers import Way, Ways, app_command

KINDS = {"listens": "--listens-after", "answers": "--answers-after"}
ROUTES = ("stock, waiting request", "ours, waiting request", "ours, start page")
_NAVIGATION = {"Accept": "text/html,*/*;q=0.8", "Sec-Fetch-Mode": "navigate"}
_WAIT_S = 60
# Between clicks, so that one application's imports do not slow the next one's start.
_APART_S = 0.7
_DATA = re.compile(r'<script[^>]*id="data"[^>]*>(.*?)</script>', re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Case:
    """An application that `kind` (a key of KINDS) only after so many seconds."""

    kind: str
    seconds: float

    def name(self, number: int, route: int) -> str:
        """Of the application; each start has one of its own, as stock can stop none."""
        return f"{self.kind}-{self.seconds:g}-{number}-{route}".replace(".", "_")


@dataclass(kw_only=True)
class Delays:
    """Seconds, for each route of ROUTES. pages: until the start page was there."""

    by_route: list[list[float]] = field(default_factory=lambda: [[] for _ in ROUTES])
    pages: list[float] = field(default_factory=list)


def apps(cases: Sequence[Case], rounds: int, folder: Path) -> dict[str, list[str]]:
    """Commands by name; their notes go to the folder."""
    return {
        name: app_command(KINDS[case.kind], case.seconds, "--note", folder / name)
        for case in cases
        for number in range(rounds)
        for route in range(len(ROUTES))
        for name in [case.name(number, route)]
    }


def measure(ways: Ways, cases: Sequence[Case], rounds: int, notes: Path) -> dict[Case, Delays]:
    """The routes of one case almost side by side, case after case."""
    found = {case: Delays() for case in cases}
    for number in range(rounds):
        for case, delays in found.items():
            names = [case.name(number, route) for route in range(len(ROUTES))]
            with ThreadPoolExecutor(len(ROUTES)) as pool:
                waits = []
                for way, name in zip((ways.stock, ways.ours), names[:2], strict=True):
                    waits.append(pool.submit(waiting_request, way, name))
                    time.sleep(_APART_S)
                page = pool.submit(start_page, ways.ours, names[2])
            until_page, usable = page.result()
            delays.pages.append(until_page)
            for route, at in enumerate([*(wait.result() for wait in waits), usable]):
                first_answer = float((notes / names[route]).read_text())
                delays.by_route[route].append(at - first_answer)
    return found


def waiting_request(way: Way, name: str) -> float:
    """Ask like a program; the epoch second of the application's answer."""
    status, _, body = _ask(way, f"{way.base}{name}/small", {"Accept": "*/*"})
    if status != 200:
        raise RuntimeError(f"{way.name} answered {status} for {name}: {body[:300]!r}")
    return time.time()


def start_page(way: Way, name: str) -> tuple[float, float]:
    """Open it like a browser, whose page asks for changes and then reloads itself.

    Seconds until the start page, and the epoch second of the application's answer.
    """
    path = f"{way.base}{name}/"
    begun = time.monotonic()
    _, headers, body = _ask(way, path, _NAVIGATION)
    until_page = time.monotonic() - begun
    if headers.get("x-samepage-start") != "starting":
        raise RuntimeError(f"{name} was opened without a start page: {body[:300]!r}")
    data = _DATA.search(body.decode())
    if data is None:
        raise RuntimeError("The start page has no data in it.")
    given = json.loads(data[1])
    app = given["app"]
    while app["state"] not in ("ready", "idle"):
        _, _, body = _ask(way, f"{given['api']}?revision={app['revision']}&wait=20", {})
        app = json.loads(body)
        if app["state"] == "failed":
            raise RuntimeError(f"{name} failed: {app['failure']}")
    status, headers, body = _ask(way, path, _NAVIGATION)
    if status != 200 or "x-samepage-start" in headers:
        raise RuntimeError(f"{name} is ready, and its page is not ({status}): {body[:300]!r}")
    return until_page, time.time()


def _ask(way: Way, path: str, headers: Mapping[str, str]) -> tuple[int, dict[str, str], bytes]:
    connection = HTTPConnection(way.host, way.port, timeout=_WAIT_S)
    try:
        connection.request("GET", path, headers={"Cookie": way.cookie, **headers})
        answer = connection.getresponse()
        names = {name.lower(): value for name, value in answer.getheaders()}
        return answer.status, names, answer.read()
    finally:
        connection.close()
