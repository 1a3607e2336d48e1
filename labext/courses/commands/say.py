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


def printable(text: str) -> str:
    """`text` for any terminal; names that are no UTF-8 are written as escapes. Pure."""
    return text.encode("utf-8", "backslashreplace").decode()


def as_json(value: Any) -> None:
    """One JSON document on standard output, in ASCII."""
    print(json.dumps(value, indent=2))
