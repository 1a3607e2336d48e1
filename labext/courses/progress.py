"""Git's progress output as numbers."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

from labext.courses.model import Progress

_LINE = re.compile(r"(?:remote: )?(?P<phase>[A-Z][A-Za-z ]+): +(?:(?P<percent>\d{1,3})%|\d+)")


def parse(line: str) -> Progress | None:
    """The progress that one line of `git ... --progress` tells; None for any other line. Pure."""
    match = _LINE.match(line)
    if match is None:
        return None
    percent = match["percent"]
    return Progress(
        phase=match["phase"], percent=None if percent is None else min(100, int(percent))
    )


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Split what git writes into lines; it ends those that it will overwrite with CR."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        yield from (line.decode("utf-8", "replace") for line in whole if line.strip())
    if rest.strip():
        yield rest.decode("utf-8", "replace")
