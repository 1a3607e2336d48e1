"""Three-way merge of JSON objects."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

_ABSENT = object()


def merge_values(
    base: Mapping[str, Any],
    ours: Mapping[str, Any],
    theirs: Mapping[str, Any],
    *,
    theirs_first: frozenset[str] = frozenset(),
) -> dict[str, Any]:
    """Key by key, objects inside too: who changed a key counts, else the student. Pure.

    theirs_first: keys for which the course counts when both changed them.
    """
    merged: dict[str, Any] = {}
    for key in [*ours, *(key for key in theirs if key not in ours)]:
        value = _choose(
            base.get(key, _ABSENT),
            ours.get(key, _ABSENT),
            theirs.get(key, _ABSENT),
            course_counts=key in theirs_first,
        )
        if value is not _ABSENT:
            merged[key] = copy.deepcopy(value)
    return merged


def _choose(base: Any, ours: Any, theirs: Any, *, course_counts: bool) -> Any:
    if ours == base:
        return theirs
    if theirs in (base, ours):
        return ours
    if course_counts:
        return theirs
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return merge_values(base if isinstance(base, dict) else {}, ours, theirs)
    return theirs if ours is _ABSENT else ours
