"""The applications the launcher shows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import TypedDict

from serverproxy import openrefine, rstudio
from serverproxy.apps import AppDefinition, AppReport
from serverproxy.errors import AppError
from serverproxy.host import Host
from serverproxy.preflight import openrefine as openrefine_preflight
from serverproxy.preflight import rstudio as rstudio_preflight
from serverproxy.rstudio_versions import RVersion
from serverproxy.settings import AppSettings


class AppItem(TypedDict):
    """One item of the REST answer `apps`. path is relative to the Jupyter server's base URL."""

    name: str
    title: str
    description: str
    icon_svg: str | None
    path: str
    new_browser_tab: bool
    available: bool
    reason: str | None
    fix: str | None
    rank: int
    version: str | None


@dataclass(frozen=True, kw_only=True)
class _Known:
    definition: AppDefinition
    inspect: Callable[[Host, AppSettings], AppReport]


def _inspect_openrefine(host: Host, settings: AppSettings) -> AppReport:
    return openrefine_preflight.judge(openrefine_preflight.look(host, settings))


def _inspect_rstudio(
    host: Host, settings: AppSettings, version: RVersion | None = None
) -> AppReport:
    return rstudio_preflight.judge(rstudio_preflight.look(host, settings, version))


def _known(host: Host) -> list[_Known]:
    return [
        _Known(definition=openrefine.DEFINITION, inspect=_inspect_openrefine),
        *(
            _Known(definition=definition, inspect=partial(_inspect_rstudio, version=version))
            for definition, version in rstudio.definitions(host)
        ),
    ]


def list_apps(host: Host | None = None) -> list[AppItem]:
    """Every application with whether it can be used here, by rank.

    Blocks: milliseconds as a rule, seconds at the first call on a slow disk, as it may ask
    `rserver --help` and `java -version`. Call it in a thread. Never raises for a broken
    installation: that is an item with a reason.
    """
    here = Host() if host is None else host
    items = [_item(known.definition, _report(known, here)) for known in _known(here)]
    return sorted(items, key=lambda item: (item["rank"], item["title"]))


def _report(known: _Known, host: Host) -> AppReport:
    if find_spec("jupyter_server_proxy") is None:
        return AppReport(
            available=False,
            code="proxy_missing",
            reason="jupyter-server-proxy, which carries the applications, is not installed.",
            fix="Ask the administrator of this image to run: pip install jupyter-server-proxy",
        )
    try:
        return known.inspect(host, AppSettings.from_env(host.env))
    except AppError as error:
        return AppReport(available=False, code=error.code, reason=error.message, fix=error.fix)
    except OSError as error:
        return AppReport(
            available=False,
            code="look_failed",
            reason=f"Looking for {known.definition.title} failed: {error}.",
            fix="Check that the file or folder named there can be read.",
        )


def _item(definition: AppDefinition, report: AppReport) -> AppItem:
    return AppItem(
        name=definition.name,
        title=definition.title,
        description=definition.description,
        icon_svg=definition.icon_svg(),
        path=definition.path,
        new_browser_tab=definition.new_browser_tab,
        available=report.available,
        reason=report.reason,
        fix=report.fix,
        rank=definition.rank,
        version=report.version,
    )
