"""One application as the handlers see it: its entry, its supervised process, its connections."""

from __future__ import annotations

import asyncio
import os
import time
from collections import deque
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote

import aiohttp
from jupyter_server._tz import utcnow
from multidict import CIMultiDict
from yarl import URL

from serverproxy.jupyter.activity import Throttle
from serverproxy.jupyter.credentials import HEADERS, Credentials
from serverproxy.jupyter.entry import AppEntry
from serverproxy.jupyter.headers import Pairs, end_to_end, overridden, sent_as
from serverproxy.jupyter.limits import Limits
from serverproxy.jupyter.locations import browser_cookie, browser_location
from serverproxy.jupyter.upstream import Upstream, address
from serverproxy.redirects import own_hosts
from serverproxy.supervisor.app import ManagedApp
from serverproxy.supervisor.spec import AppPolicy, Endpoint, EndpointChoice, LaunchSpec, TcpEndpoint
from serverproxy.supervisor.state import AppState, AppStatus
from serverproxy.supervisor.supervisor import Supervisor

# As jupyter-server-proxy quotes a mapped path: RFC 3986's reserved and unreserved characters stay.
_SAFE = ":/?#[]@!$&'()*+,;=-._~"


class ProxiedApp:
    """Made once for each entry, at server start."""

    def __init__(
        self, entry: AppEntry, supervisor: Supervisor, limits: Limits, api_url: str
    ) -> None:
        """api_url: absolute path of the REST address of the applications, for the start page."""
        self.entry = entry
        self.limits = limits
        self.api_url = f"{api_url.rstrip('/')}/{quote(entry.name, safe='')}"
        self.context_path = ""
        # Whether a browser has opened it as a page; some are only a backend of another page.
        self.opened = False
        self._folder: Path | None = None
        self._rule = entry.activity_rule()
        self._throttle = Throttle()
        self._own_xsrf: deque[str] = deque(maxlen=32)
        wishes = entry.wishes
        self.app: ManagedApp = supervisor.add(
            entry.name,
            AppPolicy(
                ready_timeout_s=max(limits.ready_timeout_s, float(entry.process.timeout)),
                stop_grace_s=max(limits.stop_grace_s, wishes.stop_grace_s if wishes else 0.0),
                idle_after_s=limits.idle_of(entry.name),
                idle_shown_after_s=limits.idle_shown_after_s,
                max_starts=limits.max_starts,
                window_s=limits.window_s,
                log_bytes=limits.log_bytes,
                save=wishes.save if wishes else None,
            ),
            self._make_launch,
            title=entry.title,
            endpoint=self._choose_endpoint,
        )
        self.upstream = Upstream(self.app.owns_endpoint)

    def _choose_endpoint(self) -> EndpointChoice:
        return self.entry.choose_endpoint()

    def _make_launch(self, endpoint: Endpoint) -> LaunchSpec:
        folder, self._folder = self._folder, None
        start = self.entry.start(endpoint, folder)
        self.context_path = start.context_path
        launch = self.entry.launch(start, endpoint)
        guarded = self.limits.guard_ports and isinstance(endpoint, TcpEndpoint)
        return replace(launch, guarded=guarded)

    async def start_in(self, folder: Path) -> AppStatus:
        """Start it with this working folder; one that runs is left alone."""
        if self.app.status.state in {AppState.STOPPED, AppState.FAILED}:
            self._folder = folder
        return await self.app.ensure_started()

    # -- requests ---------------------------------------------------------------------------------

    def credentials(self, handler: Any) -> Credentials:
        """Jupyter's credentials, as far as they are known at this request."""
        provider = handler.identity_provider
        tokens = {str(getattr(provider, "token", "") or "")}
        tokens |= {os.environ.get(name, "") for name in ("JUPYTERHUB_API_TOKEN", "JPY_API_TOKEN")}
        return Credentials(
            login_cookie=provider.get_cookie_name(handler),
            tokens=tokens - {""},
            by_token=bool(handler.token_authenticated),
            own_xsrf=tuple(self._own_xsrf),
        )

    def below(self, path: str) -> str:
        """A request's path below the application's address, as it was written."""
        return path.removeprefix(self.entry.prefix) or "/"

    def target(self, path: str, query: str, endpoint: Endpoint, scheme: str = "http") -> URL:
        """Where a request goes. path: of the browser's request; query: without credentials."""
        below = self.below(path)
        if self.entry.process.mappath:
            below = quote(self.entry.mapped(unquote(below)), safe=_SAFE)
            below = below if below.startswith("/") else f"/{below}"
        before = self.entry.prefix if self.entry.absolute_url else self.context_path
        tail = f"?{query}" if query else ""
        return URL(f"{address(endpoint, scheme)}{before}{below}{tail}", encoded=True)

    def request_headers(
        self, pairs: Pairs, credentials: Credentials, endpoint: Endpoint
    ) -> CIMultiDict[str]:
        """Headers for the application: without Jupyter's credentials, with the entry's own."""
        kept: Pairs = []
        for name, value in end_to_end(pairs, request=True):
            lower = name.lower()
            if lower in HEADERS:
                continue
            if lower == "authorization" and not credentials.keeps_authorization(value):
                continue
            if lower == "cookie":
                value = credentials.cookies(value)
                if not value:
                    continue
            elif lower == "referer":
                value = credentials.address(value)
            kept.append((name, sent_as(value)))
        if not self.entry.absolute_url:
            prefix = self.entry.prefix
            named = ("X-Forwarded-Context", "X-ProxyContextPath", "X-Forwarded-Prefix")
            kept = overridden(kept, dict.fromkeys(named, prefix))
        return CIMultiDict(overridden(kept, self.entry.request_headers(endpoint)))

    def response_headers(self, pairs: Pairs, request: Any) -> Pairs:
        """Headers for the browser; request: of tornado."""
        hosts = own_hosts(request.headers.get("Host"), request.headers.get("X-Forwarded-Host"))
        kept: Pairs = []
        for name, value in end_to_end(pairs, request=False):
            lower = name.lower()
            if lower == "location":
                value = browser_location(
                    value,
                    request_path=request.path,
                    prefix=self.entry.prefix,
                    own_hosts=hosts,
                    context_path=self.context_path,
                    absolute_url=self.entry.absolute_url,
                )
            elif lower == "set-cookie":
                value = browser_cookie(
                    value, prefix=self.entry.prefix, context_path=self.context_path
                )
                if value.startswith("_xsrf="):
                    self._own_xsrf.append(value[len("_xsrf=") :].partition(";")[0].strip())
            kept.append((name, value))
        return kept

    # -- activity ---------------------------------------------------------------------------------

    def counts(self, handler: Any) -> bool:
        """Whether this request means that somebody uses the application."""
        path = handler.request.path
        return self._rule.counts(handler, path, self.below(path))

    def record(self, handler: Any) -> None:
        """Somebody uses it, and so this server too."""
        wishes = self.entry.wishes
        if wishes is not None and wishes.on_use is not None:
            wishes.on_use(self.below(handler.request.path), self.ask)
        if self._throttle.due():
            self.record_use(handler.settings)

    def record_use(self, settings: dict[str, Any]) -> None:
        """The same without a request. settings: of the web application."""
        self.app.touch(time.time())
        settings.setdefault("last_activity_times", {})["jupyter-server-proxy"] = utcnow()

    # -- our own requests -------------------------------------------------------------------------

    async def ask(
        self,
        method: str,
        path: str,
        *,
        form: Mapping[str, str] | None = None,
        upload: tuple[str, Path] | None = None,
    ) -> tuple[int, Mapping[str, str], bytes]:
        """Send one request to the running application; see `supervised.Ask`."""
        endpoint = self.app.status.endpoint
        if endpoint is None:
            raise ConnectionError(f"{self.entry.title} is not running.")
        headers = CIMultiDict(
            {name: value for name, value in self.entry.request_headers(endpoint).items() if value}
        )
        url = URL(f"{address(endpoint)}{self.context_path}/{path}", encoded=True)
        data = aiohttp.FormData(dict(form or {}), quote_fields=False)
        with ExitStack() as files:
            if upload is not None:
                field, file = upload
                opened = files.enter_context(await asyncio.to_thread(file.open, "rb"))
                data.add_field(field, opened, filename=file.name)
            body = data() if form or upload else None
            if body is not None:
                headers["Content-Type"] = str(body.headers["Content-Type"])
            async with self.upstream.session(endpoint).request(
                method, url, headers=headers, data=body, allow_redirects=False
            ) as answer:
                return answer.status, _lower(answer), await answer.content.read()


def _lower(answer: aiohttp.ClientResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in answer.headers.items()}
