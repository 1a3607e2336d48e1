"""Three-way merge of one file, by what it is."""

from __future__ import annotations

from dataclasses import dataclass

from labext.courses.merge.notebook import merge_notebooks, related
from labext.courses.merge.text import MergeFile, is_text, merge_text
from labext.courses.merge.wellformed import parse


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """content: for the file's own place. keep_yours, keep_courses: put that version beside it."""

    content: bytes
    keep_yours: bool = False
    keep_courses: bool = False


def merge(
    name: str, base: bytes | None, ours: bytes, theirs: bytes, merge_file: MergeFile
) -> Outcome:
    """What becomes of a file that the student and the course both changed. Pure but merge_file.

    Nothing of either side is lost: what is not in `content` is asked to be kept beside. base None:
    it is not known from what the student's version came.
    """
    if name.lower().endswith(".ipynb") and parse(theirs) is not None:
        if not ours.strip():
            return Outcome(content=theirs)
        if parse(ours) is None:
            return Outcome(content=theirs, keep_yours=True)
        merged = None
        if base is not None or related(ours, theirs):
            merged = merge_notebooks(_notebook(base), ours, theirs)
        if merged is not None:
            return Outcome(content=merged.content)
        return Outcome(content=ours, keep_courses=True)
    if base is None or name.lower().endswith(".ipynb"):
        return Outcome(content=ours, keep_courses=True)
    if all(is_text(side) for side in (base, ours, theirs)):
        text = merge_text(name, base, ours, theirs, merge_file)
        return Outcome(content=text.content, keep_courses=text.conflict)
    return Outcome(content=ours, keep_courses=True)


def _notebook(base: bytes | None) -> bytes | None:
    return base if base is not None and parse(base) is not None else None
