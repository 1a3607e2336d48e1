"""Puts our handlers in front of jupyter-server-proxy's, for every entry that has a command."""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from jupyter_server_proxy.api import ServersInfoHandler
from jupyter_server_proxy.config import (
    ServerProcess,
    ServerProxy,
    get_entrypoint_server_processes,
)
from jupyter_server_proxy.handlers import NamedLocalProxyHandler
from prometheus_client.registry import Collector
from tornado.httputil import HTTPServerRequest
from tornado.routing import PathMatches, Rule

from serverproxy.jupyter.demand import demand_seconds
from serverproxy.jupyter.entry import AppEntry
from serverproxy.jupyter.event_log import EventLog
from serverproxy.jupyter.http_handler import AddSlashHandler, AppHandler
from serverproxy.jupyter.limits import Limits
from serverproxy.jupyter.metrics import Observer, expose, withdraw
from serverproxy.jupyter.proxied import ProxiedApp
from serverproxy.jupyter.raw_handler import RawHttpHandler, RawSocketHandler
from serverproxy.jupyter.rewriting import Rewriter
from serverproxy.jupyter.socket_handler import AppSocketHandler
from serverproxy.supervised import wishes_of
from serverproxy.supervisor.supervisor import Subscriber, Supervisor

log = logging.getLogger(__name__)

_LOOK_S = 30.0
# Of one CPU, averaged over `_LOOK_S`: a computation, not the housekeeping of a resting runtime.
_BUSY_RATIO = 0.25


class _SocketMatches(PathMatches):
    """A path, for requests that want to become a websocket."""

    def match(self, request: HTTPServerRequest) -> dict[str, Any] | None:
        if request.headers.get("Upgrade", "").lower() != "websocket":
            return None
        return super().match(request)


class Takeover:
    """apps: those we supervise, by name. others: entries that stay jupyter-server-proxy's.

    launchers: names of the entries that want a card in the launcher.
    """

    def __init__(
        self,
        apps: Mapping[str, ProxiedApp],
        others: list[Any],
        supervisor: Supervisor,
        web_app: Any,
        *,
        json_log: bool = False,
    ) -> None:
        self.apps = MappingProxyType(dict(apps))
        self.others = others
        self.launchers = _take_cards([app.entry.process for app in apps.values()] + others)
        self.supervisor = supervisor
        self._settings: dict[str, Any] = web_app.settings
        self._collector: Collector | None = expose(supervisor.apps)
        observers: list[Subscriber] = [Observer()]
        if json_log:
            observers.append(EventLog())
        self._unsubscribes = [supervisor.subscribe(each) for each in observers]
        self._looking: asyncio.Task[None] | None = None
        self._demand_seconds: dict[str, float] = {}

    async def begin(self) -> None:
        """The loop runs: end what an earlier server left, and keep an eye on what runs."""
        self._looking = asyncio.ensure_future(self._look())
        await self.supervisor.sweep()

    async def close(self) -> None:
        """Stop every application, each with its time to save."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)
        if self._collector is not None:
            withdraw(self._collector)
        await self.supervisor.close()
        for unsubscribe in self._unsubscribes:
            unsubscribe()
        await asyncio.gather(*(app.upstream.close() for app in self.apps.values()))

    async def _look(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            try:
                await self.supervisor.measure_memory()
                await self._notice_work()
            except Exception:
                log.exception("Looking at the applications failed")

    async def _notice_work(self) -> None:
        """A long computation is use, also when no page is open."""
        for name, app in self.apps.items():
            pid = app.app.status.pid
            used = None if pid is None else await asyncio.to_thread(demand_seconds, pid)
            before = self._demand_seconds.pop(name, None)
            if used is None:
                continue
            self._demand_seconds[name] = used
            if before is not None and used - before > _BUSY_RATIO * _LOOK_S:
                app.record_use(self._settings)


def install(
    serverapp: Any,
    supervisor: Supervisor,
    *,
    limits: Limits,
    api_url: str,
    base_url: str | None = None,
) -> Takeover:
    """Take over the routes. api_url: absolute path of the REST address of the applications.

    Nothing is changed when it raises. Entries without a command, and `/proxy/PORT`, stay as they
    are.
    """
    web_app = serverapp.web_app
    base_url = web_app.settings["base_url"] if base_url is None else base_url
    rules = web_app.default_router.rules
    processes, place = _find(web_app)
    if processes is None:
        processes = list(ServerProxy(parent=serverapp).servers.values())
        processes += get_entrypoint_server_processes()
    apps: dict[str, ProxiedApp] = {}
    others: list[Any] = []
    for process in [*processes, *_more(processes)]:
        if process.name in apps or any(process.name == each.name for each in others):
            continue  # the first of a name has its routes
        if not process.command:
            others.append(process)
            continue
        try:
            entry = AppEntry.of(process, base_url, limits.keep_environment)
            apps[entry.name] = ProxiedApp(entry, supervisor, limits, api_url)
        except Exception:
            # One odd entry must not cost the others their supervision.
            log.exception("%s is left to jupyter-server-proxy", process.name)
            others.append(process)
    routes = [rule for app in apps.values() for rule in _rules(app)]
    takeover = Takeover(apps, others, supervisor, web_app, json_log=limits.json_log)
    _share_log(serverapp.log)
    if routes:
        web_app.add_handlers(".*", routes)
        # tornado puts them before its last rule; they belong before jupyter-server-proxy's, yet
        # after Jupyter's own pages, which an entry of the same name must not hide.
        rules.insert(place, rules.pop(-2))
    return takeover


def _more(processes: list[Any]) -> list[Any]:
    """What our own entries bring along: jupyter-server-proxy's entries are one application each."""
    found: list[Any] = []
    for process in processes:
        wishes = wishes_of(process.command)
        if wishes is None:
            continue
        try:
            found += [ServerProcess(name=name, **entry) for name, entry in wishes.more()]
        except Exception:
            log.exception("What comes with %s is left out", process.name)
    return found


def _take_cards(processes: list[Any]) -> frozenset[str]:
    """The names that want a card; jupyter-server-proxy, which would make a second, is told no."""
    wanted = frozenset(each.name for each in processes if each.launcher_entry.enabled)
    for process in processes:
        process.launcher_entry.enabled = False
    return wanted


def _rules(app: ProxiedApp) -> list[Rule]:
    path = re.escape(app.entry.prefix)
    below = rf"{path}(/.*)"
    given: dict[str, Any] = {"proxied": app}
    slash = Rule(PathMatches(path), AddSlashHandler, {})
    if app.entry.raw:
        return [
            Rule(_SocketMatches(below), RawSocketHandler, given),
            Rule(PathMatches(below), RawHttpHandler, given),
            slash,
        ]
    rewriter = {"rewriter": Rewriter(app.entry.rewrites)}
    return [
        Rule(_SocketMatches(below), AppSocketHandler, given),
        Rule(PathMatches(below), AppHandler, given | rewriter),
        slash,
    ]


def _find(web_app: Any) -> tuple[list[Any] | None, int]:
    """jupyter-server-proxy's own list of entries, and the first place its routes are at."""
    processes: list[Any] | None = None
    rules = web_app.default_router.rules
    place = len(rules) - 1
    for at, outer in enumerate(rules):
        for rule in getattr(outer.target, "rules", ()):
            target = rule.target
            if not isinstance(target, type):
                continue
            if issubclass(target, NamedLocalProxyHandler):
                place = min(place, at)
            elif target is ServersInfoHandler:
                processes = rule.target_kwargs["server_processes"]
                place = min(place, at)
    return processes, place


def _share_log(server_log: Any) -> None:
    """The supervisor's lines go where the server's go."""
    ours = logging.getLogger("serverproxy")
    ours.setLevel(getattr(server_log, "level", logging.INFO) or logging.INFO)
    for handler in getattr(server_log, "handlers", ()):
        if handler not in ours.handlers:
            ours.addHandler(handler)
