"""Three-way merge of text files by line, whatever their line ends."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import PurePosixPath

# git merge-file's answer: the merge, with the student's side where both changed; whether they did.
MergeFile = Callable[[bytes, bytes, bytes], tuple[bytes, bool]]
_MOST_BYTES = 8 << 20
_LOOKED_AT = 8000


@dataclass(frozen=True, kw_only=True)
class MergedText:
    """conflict: both changed the same lines; the student's are in `content`."""

    content: bytes
    conflict: bool


def is_text(content: bytes) -> bool:
    """As git judges it, and small enough to be merged. Pure."""
    return len(content) <= _MOST_BYTES and b"\0" not in content[:_LOOKED_AT]


def merge_text(
    name: str, base: bytes, ours: bytes, theirs: bytes, merge_file: MergeFile
) -> MergedText:
    """Merge; where line ends differ, on LF, and with the course's if it changed them.

    A merge of JSON that is no JSON any more counts as a conflict as a whole.
    """
    ends = [_is_crlf(side) for side in (base, ours, theirs)]
    if len(set(ends)) == 1:
        content, conflict = merge_file(base, ours, theirs)
    else:
        content, conflict = merge_file(*(_lf(side) for side in (base, ours, theirs)))
        if ends[1] if ends[2] == ends[0] else ends[2]:
            content = content.replace(b"\n", b"\r\n")
    if PurePosixPath(name).suffix == ".json" and _is_json(ours) and not _is_json(content):
        return MergedText(content=ours, conflict=True)
    return MergedText(content=content, conflict=conflict)


def _is_crlf(content: bytes) -> bool:
    return content.count(b"\r\n") * 2 > content.count(b"\n") > 0


def _lf(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n")


def _is_json(content: bytes) -> bool:
    try:
        json.loads(content)
    except (ValueError, RecursionError):
        return False
    return True
