"""What makes a notebook one that Jupyter opens: reading, mending, checking."""

from __future__ import annotations

import hashlib
import json
import re
from typing import Any

from labext.courses.merge.cells import source_of

Notebook = dict[str, Any]
_ID = re.compile(r"[a-zA-Z0-9_-]{1,64}")
_KINDS = ("code", "markdown", "raw")
_IDS_SINCE = 5


def parse(content: bytes) -> Notebook | None:
    """A notebook of format 4; None for anything else. Pure."""
    try:
        value = json.loads(content)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("nbformat") != 4:
        return None
    if not isinstance(value.get("nbformat_minor"), int):
        return None
    cells = value.get("cells")
    if not isinstance(cells, list) or not isinstance(value.setdefault("metadata", {}), dict):
        return None
    return value if all(_is_cell(cell) for cell in cells) else None


def _is_cell(cell: object) -> bool:
    if not isinstance(cell, dict) or cell.get("cell_type") not in _KINDS:
        return False
    source = cell.get("source")
    if not isinstance(cell.get("metadata", {}), dict):
        return False
    return isinstance(source, str) or (
        isinstance(source, list) and all(isinstance(line, str) for line in source)
    )


def repair(notebook: Notebook) -> None:
    """Give each cell what its kind needs, and an id that no other has. Changes `notebook`."""
    used: set[str] = set()
    with_ids = notebook["nbformat_minor"] >= _IDS_SINCE
    for place, cell in enumerate(notebook["cells"]):
        cell.setdefault("metadata", {})
        cell["source"] = source_of(cell).splitlines(keepends=True)
        if cell["cell_type"] == "code":
            if not isinstance(cell.get("outputs"), list):
                cell["outputs"] = []
            cell.setdefault("execution_count", None)
            cell.pop("attachments", None)
        else:
            cell.pop("outputs", None)
            cell.pop("execution_count", None)
        if with_ids:
            cell["id"] = _free_id(cell, place, used)
            used.add(cell["id"])
        else:
            cell.pop("id", None)


def _free_id(cell: dict[str, Any], place: int, used: set[str]) -> str:
    name = cell.get("id")
    if isinstance(name, str) and _ID.fullmatch(name) and name not in used:
        return name
    text = f"{place} {cell['cell_type']} {source_of(cell)}"
    while True:  # the same merge gives the same ids: pulled twice, nothing differs
        text = hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()
        if text[:8] not in used:
            return text[:8]


def is_valid(notebook: Notebook) -> bool:
    """Whether ids are unique and the schema of nbformat, where it is installed, is met."""
    if notebook["nbformat_minor"] >= _IDS_SINCE:
        names = [cell.get("id") for cell in notebook["cells"]]
        if len(set(names)) != len(names) or not all(
            isinstance(name, str) and _ID.fullmatch(name) for name in names
        ):
            return False
    try:
        from nbformat import validator as schemas
    except ImportError:  # a terminal without Jupyter: parse and repair have looked at the rest
        return True
    known: Any = schemas
    validator = known.get_validator(4, notebook["nbformat_minor"])
    return validator is None or not list(validator.iter_errors(notebook))
