"""A git server that asks not to be asked for a while (429, 503) is not asked for that while."""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC
from email.utils import parsedate_to_datetime
from pathlib import Path

from labext.courses.address import Address
from labext.courses.errors import CourseError
from labext.courses.sync.journal import write_whole

# For git to write the headers of answers, not the contents, to its standard error.
TRACE = {"GIT_TRACE_CURL": "1", "GIT_TRACE_CURL_NO_DATA": "1", "GIT_TRACE_REDACT": "1"}
MOST_SECONDS = 3600.0
USUAL_SECONDS = 60.0
_TRACED = re.compile(r"\d\d:\d\d:\d\d\.\d+ \S+\.c:\d+ +(?P<text>.*)")
_STATUS = re.compile(r"<= Recv header: HTTP/\S+ (?P<code>\d{3})")
_HEADER = re.compile(r"<= Recv header: retry-after: *(?P<value>.+)", re.IGNORECASE)
_REFUSED = ("error: 429", "error: 503", "http 429", "http 503")


def without_trace(text: str) -> str:
    """What git said, without the headers. Pure."""
    return "\n".join(line for line in text.splitlines() if _TRACED.match(line) is None)


def seconds_asked(text: str, now: float) -> float | None:
    """For how long the server wants to be left alone, as git's words tell, headers or not.

    None: it said nothing of that kind. At most MOST_SECONDS. Pure.
    """
    status, asked = None, None
    for line in text.splitlines():
        traced = _TRACED.match(line)
        if traced is None:
            continue
        if (found := _STATUS.match(traced["text"])) is not None:
            status, asked = found["code"], None
        elif (found := _HEADER.match(traced["text"])) is not None:
            asked = _seconds(found["value"].strip(), now)
    if status in ("429", "503") and asked is not None:
        return min(max(asked, 1.0), MOST_SECONDS)
    if any(sign in text.lower() for sign in _REFUSED):
        return USUAL_SECONDS if "429" in text else None
    return None


def _seconds(value: str, now: float) -> float | None:
    if value.isdigit():
        return float(value)
    try:
        when = parsedate_to_datetime(value)
    except ValueError:
        return None
    return (when if when.tzinfo else when.replace(tzinfo=UTC)).timestamp() - now


def throttled(address: Address, seconds: float) -> CourseError:
    """The error of a pull that the server put off."""
    minutes = f"{round(seconds / 60)} min" if seconds > 90 else f"{round(seconds)} s"
    return CourseError(
        "throttled",
        f"The git server of this course, {address.host}, is busy and asks to wait {minutes}.",
        "It is tried again by itself after that.",
        state="offline",
        wait_seconds=seconds,
    )


@dataclass(frozen=True, kw_only=True)
class Patience:
    """What the server of `address` asked for, remembered in `folder` for all who ask it."""

    folder: Path
    address: Address

    @property
    def _file(self) -> Path:
        digest = hashlib.sha256(self.address.host.encode()).hexdigest()[:16]
        return self.folder / f"throttle-{digest}.json"

    def seconds_left(self, now: float) -> float:
        """How long not to ask; 0: ask."""
        try:
            until = float(json.loads(self._file.read_text())["until"])
        except (OSError, ValueError, KeyError, TypeError):
            return 0.0
        # A clock that was set back must not lock a course out.
        return until - now if 0 < until - now <= MOST_SECONDS else 0.0

    def remember(self, seconds: float, now: float) -> None:
        """Not before then."""
        with contextlib.suppress(OSError):
            write_whole(self._file, json.dumps({"until": now + seconds}))
