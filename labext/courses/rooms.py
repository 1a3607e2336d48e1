"""Files that several people edit at this moment, where jupyter-collaboration is installed.

Its rooms hold the document in memory and save it by themselves: what is written under them is
overwritten, or taken for the newer version of all. Such files wait for the next pull.
"""

from __future__ import annotations

from typing import Any

_EXTENSION = "jupyter_server_ydoc"


def live_paths(serverapp: Any) -> frozenset[str]:
    """Paths as the contents manager has them; none where there is no collaboration.

    Source: jupyter_server_ydoc 2: rooms are named `FORMAT:TYPE:FILE_ID`.
    """
    found = set()
    for app in serverapp.extension_manager.extension_apps.get(_EXTENSION, ()):
        rooms = getattr(getattr(app, "ywebsocket_server", None), "rooms", {})
        files = serverapp.web_app.settings.get("file_id_manager")
        for name in list(rooms):
            parts = str(name).split(":", 2)
            path = files.get_path(parts[2]) if files is not None and len(parts) == 3 else None
            if isinstance(path, str):
                found.add(path.lstrip("/"))
    return frozenset(found)
