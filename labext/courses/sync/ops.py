"""The steps of a pull on disk, as values that survive a crash."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

from labext.courses.sync.entry import Entry

Act = Literal["write", "delete", "aside"]


@dataclass(frozen=True, kw_only=True)
class Op:
    """One step, done only if `path` is still as it was seen.

    write: `before` (None: nothing there) becomes `after`. delete: `before` goes. aside: whatever
    is at `path` gets the name `to`. owners: paths of the course that this step is for; when it
    cannot be done, they are not counted as delivered.
    """

    act: Act
    path: str
    owners: tuple[str, ...]
    before: Entry | None = None
    after: Entry | None = None
    to: str | None = None


def inverse(ops: Sequence[Op]) -> list[Op]:
    """The steps that take `ops` back. Pure."""
    return [_inverse(op) for op in reversed(ops)]


def _inverse(op: Op) -> Op:
    if op.act == "aside":
        assert op.to is not None
        return Op(act="aside", path=op.to, to=op.path, owners=op.owners)
    act: Act = "delete" if op.before is None else "write"
    return Op(act=act, path=op.path, owners=op.owners, before=op.after, after=op.before)


def to_json(op: Op) -> dict[str, Any]:
    """For a file."""
    return {
        "act": op.act,
        "path": op.path,
        "owners": list(op.owners),
        "before": _pair(op.before),
        "after": _pair(op.after),
        "to": op.to,
    }


def from_json(value: Any) -> Op:
    """From a file. Errors: KeyError, TypeError, ValueError."""
    return Op(
        act=value["act"],
        path=value["path"],
        owners=tuple(value["owners"]),
        before=_entry(value["before"]),
        after=_entry(value["after"]),
        to=value["to"],
    )


def _pair(entry: Entry | None) -> list[str] | None:
    return None if entry is None else [entry.mode, entry.blob]


def _entry(value: Any) -> Entry | None:
    if value is None:
        return None
    mode, blob = value
    return Entry(mode=mode, blob=blob)
