"""What Jedi knows of the built-in types: parsed once per cache folder, loaded by every preload.

Jedi parses its descriptions of Python (typeshed) and the modules that they rest on at a student's
first completions, and keeps the trees. Made at different times they have nothing in common.
Loading takes half the time of parsing; `PHRASES` are what nearly every completion comes to.

The file has one line of JSON, `[[path, mtime in ns, size], ...]` of what was parsed and of Jedi
itself, and then one pickle for each tree. It is of use while all of these are as they were. Jedi
asks for the time of a description, too, and parses one that is newer than its tree.

Run as a script with the file to make: ``python -I descriptions.py FILE``.
"""

from __future__ import annotations

import json
import os
import pickle
import sys
import tempfile
import zlib
from collections.abc import Iterable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

PHRASES = ('"".', "[].", "typing.", "typing_extensions.", "collections.", "types.")
_TOOLS = ("jedi", "parso")


def file() -> Path | None:
    """Where they lie for this Python; None where there is no Jedi, or nowhere to put them."""
    folder = Path(os.environ.get("MPLCONFIGDIR", ""))
    if not folder.is_absolute() or not folder.is_dir() or find_spec("jedi") is None:
        return None
    of_python = zlib.crc32(os.fsencode(sys.prefix + sys.version))
    return folder / f"jedi-{of_python:08x}.trees"


def command() -> list[str] | None:
    """What makes them; None when they are there, or cannot be."""
    found = file()
    if found is None or _valid(found):
        return None
    return [sys.executable, "-I", __file__, str(found)]


def load() -> None:
    """Give them to Jedi's parser, which is imported; without them it does as ever."""
    found = file()
    if found is None or not _valid(found):
        return
    items = []
    try:
        with found.open("rb") as stream:
            stream.readline()
            while stream.peek(1):
                items.append(pickle.load(stream))
    except Exception:  # noqa: BLE001 - unpickling may raise anything
        return
    known = sys.modules["parso.cache"].parser_cache
    for grammar, path, item in items:
        known.setdefault(grammar, {})[path] = item


def _valid(found: Path) -> bool:
    """Whether there is such a file, of descriptions that are still the same."""
    try:
        with found.open("rb") as stream:
            rows = json.loads(stream.readline())
        return bool(rows == _rows(path for path, _, _ in rows))
    except (OSError, ValueError, TypeError):
        return False


def _rows(paths: Iterable[str]) -> list[list[Any]]:
    """Errors: OSError."""
    found = [(path, os.stat(path)) for path in paths]  # noqa: PTH116 - texts, as JSON has them
    return [[path, stat.st_mtime_ns, stat.st_size] for path, stat in found]


def _make(target: Path) -> None:
    """Parse and write them, all or nothing. Errors: ImportError, OSError."""
    jedi: Any = import_module("jedi")
    known: Any = import_module("parso.cache").parser_cache
    names = {phrase[:-1] for phrase in PHRASES if phrase[0].isalpha()}
    modules = {name: __import__(name) for name in names if find_spec(name) is not None}
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        # Jedi writes a tree of its own for each; nobody reads them.
        jedi.settings.cache_directory = folder
        for phrase in PHRASES:
            jedi.Interpreter(phrase, [modules]).complete()
        trees = [
            (grammar, path, item)
            for grammar, items in known.items()
            for path, item in items.items()
            if path is not None
        ]
        for _, _, item in trees:
            item.node.get_used_names()  # jedi wants them of all
            item.last_used = item.change_time  # equal wherever they are made
        # The largest first: what its loading gives back has room for the others.
        trees.sort(key=lambda tree: (-len(tree[2].lines), str(tree[1])))
        tools = [str(sys.modules[name].__file__) for name in _TOOLS]
        rows = _rows([*(str(path) for _, path, _ in trees), *tools])
        made = Path(folder, target.name)
        with made.open("wb") as stream:
            stream.write(json.dumps(rows).encode() + b"\n")
            for tree in trees:
                pickle.dump(tree, stream, pickle.HIGHEST_PROTOCOL)
        made.replace(target)


if __name__ == "__main__":
    _make(Path(sys.argv[1]))
