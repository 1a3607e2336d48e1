"""Three-way merge of short lists of lines, such as a cell's."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import SequenceMatcher

# SequenceMatcher is quadratic; nobody writes a cell that long by hand.
MOST_LINES = 4000


def merge_lines(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> list[str] | None:
    """Both sides' changes together; None when both changed the same place, or it is too long.

    The diff3 of Khanna, Kunal and Pierce: lines that are the same on all three sides hold the
    rest in place; between two of them a change of one side counts. Pure.
    """
    if max(len(base), len(ours), len(theirs)) > MOST_LINES:
        return None
    in_ours, in_theirs = _matches(base, ours), _matches(base, theirs)
    merged: list[str] = []
    b = o = t = 0
    stable = [line for line in range(len(base)) if line in in_ours and line in in_theirs]
    for line in [*stable, len(base)]:
        end_o = in_ours.get(line, len(ours))
        end_t = in_theirs.get(line, len(theirs))
        piece = _choose(base[b:line], ours[o:end_o], theirs[t:end_t])
        if piece is None:
            return None
        merged.extend(piece)
        if line < len(base):
            merged.append(base[line])
        b, o, t = line + 1, end_o + 1, end_t + 1
    return merged


def _choose(
    base: Sequence[str], ours: Sequence[str], theirs: Sequence[str]
) -> Sequence[str] | None:
    if theirs in (base, ours):
        return ours
    return theirs if ours == base else None


def _matches(base: Sequence[str], side: Sequence[str]) -> dict[int, int]:
    blocks = SequenceMatcher(None, base, side, autojunk=False).get_matching_blocks()
    return {block.a + step: block.b + step for block in blocks for step in range(block.size)}
