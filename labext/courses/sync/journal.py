"""What a pull is about to do, and what was reached: small files in the private repository."""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from labext.courses.model import Change, ChangeKind
from labext.courses.sync.ops import Op, from_json, to_json

_JOURNAL, _STATE = "samepage-journal.json", "samepage-state.json"
_KINDS = frozenset(get_args(ChangeKind))
# pull: the course's. undo: of another. take: the student asked for a file, or a cell.
Act = Literal["pull", "undo", "take"]
_ACTS = frozenset(get_args(Act))


@dataclass(frozen=True, kw_only=True)
class Reached:
    """What the folder was brought to last.

    commit: of the course's branch, as its server names it. url: without credentials. skip: a
    commit whose files the student sent back. held: files of `commit` that could not be brought.
    view: which of its files were chosen, see view.
    seen_at: when the course was at `commit`, epoch seconds; 0: not known.
    """

    url: str
    branch: str
    commit: str
    skip: str | None = None
    held: tuple[str, ...] = ()
    view: str = ""
    seen_at: float = 0.0


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A pull whose every step is known and whose files are prepared.

    base: the commit delivered before; None: nothing was. goal: the one being delivered.
    before: what was reached before. act: what it is; `of`: the snapshot that an undo takes back.
    """

    ops: tuple[Op, ...]
    base: str | None
    goal: str
    reached: Reached
    snapshot: str
    changes: tuple[Change, ...]
    held: tuple[str, ...] = ()
    before: Reached | None = None
    act: Act = "pull"
    of: str | None = None

    def text(self) -> str:
        """As JSON."""
        return json.dumps(
            {
                "version": 1,
                "ops": [to_json(op) for op in self.ops],
                "base": self.base,
                "goal": self.goal,
                "reached": asdict(self.reached),
                "snapshot": self.snapshot,
                "changes": [asdict(change) for change in self.changes],
                "held": list(self.held),
                "before": None if self.before is None else asdict(self.before),
                "act": self.act,
                "of": self.of,
            }
        )

    @classmethod
    def parse(cls, text: str) -> Journal:
        """From JSON. Errors: ValueError."""
        try:
            value = json.loads(text)
            return cls(
                ops=tuple(from_json(op) for op in value["ops"]),
                base=value["base"],
                goal=value["goal"],
                reached=_reached(value["reached"]),
                snapshot=value["snapshot"],
                changes=tuple(
                    Change(path=item["path"], kind=item["kind"])
                    for item in value["changes"]
                    if item["kind"] in _KINDS
                ),
                held=tuple(value["held"]),
                before=None if value["before"] is None else _reached(value["before"]),
                act=value["act"] if value.get("act") in _ACTS else "pull",
                of=value.get("of"),
            )
        except (KeyError, TypeError, AttributeError) as err:
            raise ValueError("not a journal") from err


def _reached(value: Any) -> Reached:
    return Reached(**{**value, "held": tuple(value["held"])})


def read_journal(folder: Path) -> Journal | None:
    """The pull that was not brought to its end; None: there is none, or none readable."""
    try:
        return Journal.parse((folder / _JOURNAL).read_text())
    except (OSError, ValueError):
        return None


def has_journal(folder: Path) -> bool:
    """Whether a pull was perhaps not brought to its end."""
    return (folder / _JOURNAL).exists()


def write_journal(folder: Path, journal: Journal) -> None:
    """From here on the pull will be done, whatever happens. Errors: OSError."""
    write_whole(folder / _JOURNAL, journal.text())


def end_journal(folder: Path) -> None:
    """The pull is done."""
    (folder / _JOURNAL).unlink(missing_ok=True)


def read_reached(folder: Path) -> Reached | None:
    """What was reached last; None: nothing is known."""
    try:
        return _reached(json.loads((folder / _STATE).read_text()))
    except (OSError, ValueError, TypeError, KeyError):
        return None


def write_reached(folder: Path, reached: Reached) -> None:
    """Remember it. Errors: OSError."""
    write_whole(folder / _STATE, json.dumps(asdict(reached)))


def write_whole(file: Path, text: str) -> None:
    """Replace a file, whole or not at all, and for good. Errors: OSError."""
    fresh = file.with_name(f"{file.name}.new")
    with fresh.open("w") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    fresh.replace(file)
    with contextlib.suppress(OSError):
        descriptor = os.open(file.parent, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
