"""Words and JSON for a terminal, a hook or cron."""

from __future__ import annotations

import json
import sys
from typing import Any

OK, FAILED, USAGE = 0, 1, 2


def fail(message: str, fix: str | None) -> int:
    """Say on standard error what did not work."""
    print(printable(message if fix is None else f"{message} {fix}"), file=sys.stderr)
    return FAILED


def encodable(text: str) -> str:
    """`text` for any file or pipe; names that are no UTF-8 are written as escapes. Pure."""
    return text.encode("utf-8", "backslashreplace").decode()


def printable(text: str) -> str:
    """The same for a terminal: what it would take for a command is an escape, too. Pure."""
    return "".join(
        char if char.isprintable() or char in "\n\t" else char.encode("unicode_escape").decode()
        for char in encodable(text)
    )


def as_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII."""
    print(json.dumps(value, indent=2))
