"""The applications as the REST interface shows and steers them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from labext.errors import ApiError
from serverproxy.errors import AppError
from serverproxy.supervised import Opened

if TYPE_CHECKING:
    from serverproxy.jupyter.proxied import ProxiedApp
    from serverproxy.jupyter.takeover import Takeover

WAIT_LIMIT_SECONDS = 30.0
LOG_LINES_LIMIT = 2000
# Behind the applications of our own in the launcher.
_THIRD_PARTY_RANK = 100
_ICON_BYTES = 1 << 18

_UNMANAGED: dict[str, Any] = {
    "managed": False,
    "state": None,
    "phase": None,
    "why": None,
    "revision": None,
    "starting_seconds": None,
    "uptime_seconds": None,
    "idle_seconds": None,
    "ready_seconds": None,
    "usual_ready_seconds": None,
    "memory_bytes": None,
    "port_gate": None,
    "port_gate_reason": None,
    "failure": None,
}


class Applications:
    """What the handlers ask. Every method raises ApiError for what cannot be done."""

    def __init__(
        self,
        catalog: Callable[[], Awaitable[list[dict[str, Any]]]],
        takeover: Takeover | None,
        root: Path,
    ) -> None:
        """catalog: what `serverproxy.catalog` lists. takeover: None when they are not supervised.

        root: the server's root folder.
        """
        self._catalog = catalog
        self._takeover = takeover
        self._root = root

    async def listing(self) -> list[dict[str, Any]]:
        """Ours, then those of third parties, each with what it does now."""
        items = [dict(item) for item in await self._catalog()]
        if self._takeover is not None:
            await self._takeover.supervisor.measure_memory()
            known = {item["name"] for item in items}
            added = [app.entry.process for app in self._takeover.apps.values()]
            cards = self._takeover.launchers
            items += [
                await asyncio.to_thread(_third_party, process, process.name in cards)
                for process in [*added, *self._takeover.others]
                if process.name not in known
            ]
        return [self._with_status(item) for item in items]

    async def one(self, name: str, revision: int | None, wait: float) -> dict[str, Any]:
        """One application; with a revision, as soon as it is another one, after `wait` s at most.

        wait: seconds; more than 30 is 30.
        """
        app = self._find(name).app
        if revision is not None:
            await app.wait_change(revision, min(max(0.0, wait), WAIT_LIMIT_SECONDS))
        return self._status(name)

    async def log(self, name: str, lines: int) -> list[str]:
        """The last lines it wrote, 2000 at most."""
        app = self._find(name).app
        return list(await app.read_log(min(max(1, lines), LOG_LINES_LIMIT)))

    async def start(self, name: str) -> dict[str, Any]:
        """Start it, unless it runs or rests after a failure."""
        await self._find(name).app.ensure_started()
        return self._status(name)

    async def retry(self, name: str) -> dict[str, Any]:
        """Start it although it has just failed."""
        await self._find(name).app.retry()
        return self._status(name)

    async def cancel(self, name: str) -> dict[str, Any]:
        """Give up a start; one that runs goes on."""
        await self._find(name).app.cancel()
        return self._status(name)

    async def dismiss(self, name: str) -> dict[str, Any]:
        """Forget that it failed; anything but a failed one is left alone."""
        await self._find(name).app.dismiss()
        return self._status(name)

    async def stop(self, name: str) -> dict[str, Any]:
        """Stop it; answers when it has saved and nothing of it is left."""
        await self._find(name).app.stop()
        return self._status(name)

    async def restart(self, name: str) -> dict[str, Any]:
        """Stop it, wait for that, and start it; answers when it starts."""
        await self._find(name).app.restart()
        return self._status(name)

    async def stop_all(self) -> list[dict[str, Any]]:
        """Stop all that run; answers when nothing of them is left."""
        if self._takeover is None:
            raise _not_supervised()
        await self._takeover.supervisor.stop_all()
        return await self.listing()

    async def open(self, name: str, path: str) -> dict[str, Any]:
        """Bring a file or folder into it; gives {"url", "opened", "note"}.

        path: relative to the server's root folder. url: relative to its base URL. opened: "file"
        when the file is shown there, "folder" when the application was started in the folder, "app"
        when all that could be done is to open the application. note: a sentence for people, None:
        nothing to say.
        """
        proxied = self._find(name)
        file = self._inside(path)
        base = f"{quote(name)}/"
        wishes = proxied.entry.wishes
        is_folder = await asyncio.to_thread(file.is_dir)
        folder = file if is_folder else file.parent
        was_running = proxied.app.status.running
        await proxied.start_in(folder)
        opens = wishes is not None and file.suffix.lower() in wishes.suffixes and not is_folder
        if wishes is None or wishes.open_file is None or not opens:
            return {"url": base, "opened": "app" if was_running else "folder", "note": None}
        await self._ready(proxied)
        proxied.app.touch()
        try:
            page = await wishes.open_file(proxied.ask, file)
        except AppError as error:
            raise ApiError(502, error.code, error.message, error.fix) from error
        except (OSError, ValueError, LookupError) as error:
            raise ApiError(
                502,
                "not_opened",
                f"{proxied.entry.title} did not take {file.name} ({type(error).__name__}).",
                f"Open {proxied.entry.title} and import the file there.",
            ) from error
        shown = page if isinstance(page, Opened) else Opened(page=page)
        return {"url": f"{base}{shown.page}", "opened": "file", "note": shown.note}

    async def _ready(self, proxied: ProxiedApp) -> None:
        from serverproxy.supervisor.errors import AppFailed, AppTimeout

        try:
            await proxied.app.wait_ready(proxied.limits.wait_s)
        except AppFailed as error:
            failure = error.status.failure
            raise ApiError(
                503,
                failure.code if failure else "stopped",
                failure.message if failure else f"{proxied.entry.title} was stopped.",
                failure.fix if failure else "Try again.",
            ) from error
        except AppTimeout as error:
            raise ApiError(
                504, "starting", str(error), f"Open {proxied.entry.title} to see what it does."
            ) from error

    def _inside(self, path: str) -> Path:
        """The file; 404 when it does not exist, or lies outside the server's root folder."""
        try:
            file = (self._root / path.lstrip("/")).resolve(strict=True)
            inside = file.is_relative_to(self._root.resolve())
        except (OSError, ValueError, RuntimeError):
            inside = False
        if not inside:
            raise ApiError(
                404,
                "no_file",
                f"There is no file or folder {path!r} below this server's root folder.",
                "Give a path relative to the root folder, as the file browser shows it.",
            )
        return file

    def _find(self, name: str) -> ProxiedApp:
        if self._takeover is None:
            raise _not_supervised()
        found = self._takeover.apps.get(name)
        if found is None:
            raise ApiError(
                404,
                "unknown_app",
                f"This server supervises no application {name!r}.",
                "GET apps lists them; those with managed = true can be steered.",
            )
        return found

    def _status(self, name: str) -> dict[str, Any]:
        return self._with_status({"name": name, "title": self._find(name).entry.title})

    def _with_status(self, item: dict[str, Any]) -> dict[str, Any]:
        item = {"third_party": False, "launcher": True, "icon_url": None, **item}
        app = self._takeover.apps.get(item["name"]) if self._takeover is not None else None
        if app is None:
            return {**item, **_UNMANAGED}
        from serverproxy.jupyter.status_json import status_json

        return {**item, "managed": True, **status_json(app.app)}


def _third_party(process: Any, has_card: bool) -> dict[str, Any]:
    launcher = process.launcher_entry
    return {
        "name": process.name,
        "title": launcher.title or process.name,
        "description": "",
        "icon_svg": _icon(str(launcher.icon_path or "")),
        "path": launcher.path_info or f"{process.name}/",
        "new_browser_tab": bool(process.new_browser_tab),
        "available": True,
        "reason": None,
        "fix": None,
        "icon_url": _icon_url(process) if has_card else None,
        "rank": _THIRD_PARTY_RANK,
        "version": None,
        "third_party": True,
        "launcher": has_card,
    }


def _icon_url(process: Any) -> str | None:
    """Where jupyter-server-proxy serves its picture, relative to the base URL."""
    launcher = process.launcher_entry
    shown = launcher.icon_path and Path(str(launcher.icon_path)).is_file()
    return f"server-proxy/icon/{quote(process.name, safe='')}" if shown else None


def _icon(path: str) -> str | None:
    if not path.endswith(".svg"):
        return None
    try:
        file = Path(path)
        return file.read_text(encoding="utf-8") if file.stat().st_size <= _ICON_BYTES else None
    except (OSError, UnicodeDecodeError):
        return None


def _not_supervised() -> ApiError:
    return ApiError(
        503,
        "not_supervised",
        "Applications are not supervised on this server.",
        "Ask your operator: the status page and the server's log say why.",
    )
