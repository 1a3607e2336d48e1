"""What server and worker say to each other: one JSON object per line, credentials only inwards."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from labext.courses.model import History, Progress
from labext.courses.rules import Rules
from labext.courses.store import history_from


@dataclass(frozen=True, kw_only=True)
class Job:
    """One pull, for the worker's standard input. Paths are absolute; `target` relative to `root`.

    branch None: the default one. depth 0: all history. Times in seconds. deferred: files of the
    course that are being edited: they wait for the next pull. by_hand: somebody waits
    for news. cache, cache_owner: see CacheSettings; None: as in the environment. answer: what the
    git server said a moment ago, an asking.Answer.
    """

    url: str = field(repr=False)
    branch: str | None
    depth: int
    root: str
    target: str
    state_dir: str
    timeout_seconds: float
    connect_timeout_seconds: float
    rules: Rules = field(default_factory=Rules)
    deferred: tuple[str, ...] = ()
    by_hand: bool = False
    cache: str | None = None
    cache_owner: int | None = None
    answer: dict[str, Any] | None = None

    def line(self) -> str:
        """As sent."""
        return json.dumps(asdict(self)) + "\n"

    @classmethod
    def from_line(cls, line: str) -> Job:
        """As received. Errors: ValueError, TypeError, KeyError."""
        value = json.loads(line)
        rules = Rules.from_json(value.pop("rules")) if "rules" in value else Rules()
        deferred = tuple(value.pop("deferred", ()))
        return cls(**value, rules=rules, deferred=deferred)


@dataclass(frozen=True, kw_only=True)
class Result:
    """How a pull ended. history None: nothing new to remember.

    wait_seconds: for how long the git server asked not to be asked; None: it did not. waiting: see
    Delivery.
    """

    state: Literal["up_to_date", "offline", "failed"]
    message: str
    fix: str | None = None
    code: str | None = None
    history: History | None = None
    wait_seconds: float | None = None
    waiting: tuple[str, ...] = ()


def progress_line(progress: Progress) -> str:
    """One step, as sent."""
    return json.dumps({"event": "progress", **asdict(progress)}) + "\n"


def result_line(result: Result) -> str:
    """The end, as sent."""
    return json.dumps({"event": "result", **asdict(result)}) + "\n"


def parse(line: bytes) -> Progress | Result | None:
    """One line of the worker; None when it is not of this protocol (a library's log line)."""
    try:
        value: Any = json.loads(line)
    except ValueError:
        return None
    if not isinstance(value, dict):
        return None
    event = value.pop("event", None)
    try:
        if event == "progress":
            return Progress(**value)
        if event == "result":
            history = value.pop("history")
            waiting = tuple(str(path) for path in value.pop("waiting", ()))
            return Result(
                **value,
                waiting=waiting,
                history=None if history is None else history_from(history),
            )
    except (TypeError, KeyError, ValueError):
        return None
    return None
