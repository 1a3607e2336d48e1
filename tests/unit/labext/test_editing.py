"""Files that are being edited, as tabs and collaboration rooms tell."""

from __future__ import annotations

from types import SimpleNamespace

from labext.courses.editing import FORGOTTEN_AFTER_SECONDS, Editing
from labext.courses.rooms import live_paths


def test_each_tab_has_its_own_list() -> None:
    editing = Editing()
    editing.tell("stats", "one", ["a", "b"], 0.0)
    editing.tell("stats", "two", ["b", "c"], 0.0)
    editing.tell("phys", "one", ["p"], 0.0)
    assert editing.paths("stats", 1.0) == {"a", "b", "c"}
    editing.tell("stats", "one", [], 1.0)
    assert editing.paths("stats", 1.0) == {"b", "c"}


def test_a_tab_that_says_nothing_any_more_is_forgotten() -> None:
    editing = Editing()
    editing.tell("stats", "one", ["a"], 0.0)
    assert editing.paths("stats", FORGOTTEN_AFTER_SECONDS) == {"a"}
    assert editing.paths("stats", FORGOTTEN_AFTER_SECONDS + 1) == frozenset()


def test_nobody_fills_the_memory() -> None:
    editing = Editing()
    for number in range(500):
        editing.tell("stats", f"tab {number}", [str(number)], 0.0)
    paths = editing.paths("stats", 0.0)
    assert len(paths) == 100
    assert "499" in paths


class CollaborationStandIn:
    """What we use of jupyter_server_ydoc: rooms by name, files by id."""

    def __init__(self, rooms: list[str], files: dict[str, str]) -> None:
        app = SimpleNamespace(ywebsocket_server=SimpleNamespace(rooms=dict.fromkeys(rooms)))
        self.extension_manager = SimpleNamespace(extension_apps={"jupyter_server_ydoc": [app]})
        manager = SimpleNamespace(get_path=files.get)
        self.web_app = SimpleNamespace(settings={"file_id_manager": manager})


def test_files_of_rooms() -> None:
    server = CollaborationStandIn(
        ["json:notebook:id-1", "text:file:id-2", "text:file:gone", "JupyterLab:globalAwareness"],
        {"id-1": "course/n.ipynb", "id-2": "/course/a.txt"},
    )
    assert live_paths(server) == {"course/n.ipynb", "course/a.txt"}


def test_a_server_without_collaboration() -> None:
    manager = SimpleNamespace(extension_apps={})
    server = SimpleNamespace(extension_manager=manager, web_app=SimpleNamespace(settings={}))
    assert live_paths(server) == frozenset()
