"""What an application is, and whether it can be used here: plain values."""

from __future__ import annotations

from dataclasses import dataclass
from importlib.resources import files

CATEGORY = "Applications"


@dataclass(frozen=True, kw_only=True)
class AppDefinition:
    """One application, independent of the machine.

    name: URL segment and entry-point name. path is `name/`, relative to the base URL.
    icon: file name in serverproxy/icons.
    rank: place in the launcher section, ascending.
    new_browser_tab: open in a browser tab (True) or in a Lab tab.
    timeout_seconds: how long the application may take to answer its first request.
    stop_grace_seconds: how long it may take to save its data when it is told to stop.
    """

    name: str
    title: str
    description: str
    icon: str
    rank: int
    category: str = CATEGORY
    new_browser_tab: bool = True
    timeout_seconds: float = 90.0
    stop_grace_seconds: float = 20.0

    @property
    def path(self) -> str:
        """Where the application is, relative to the Jupyter server's base URL."""
        return f"{self.name}/"

    def icon_svg(self) -> str | None:
        """The icon as SVG text; None when the package was installed without its data files."""
        try:
            return files("serverproxy").joinpath("icons", self.icon).read_text(encoding="utf-8")
        except (FileNotFoundError, ModuleNotFoundError):
            return None


@dataclass(frozen=True, kw_only=True)
class AppReport:
    """Whether an application can be used here.

    reason: why not, one sentence; with `available` true, something worth knowing. fix: what to do.
    version: of the application, None when unknown. code: stable name of the reason.
    """

    available: bool
    code: str | None = None
    reason: str | None = None
    fix: str | None = None
    version: str | None = None
