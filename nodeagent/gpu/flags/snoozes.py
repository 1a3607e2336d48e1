"""Snoozed flags, kept over a restart of the agent."""

import json
import logging
from dataclasses import asdict
from pathlib import Path

from nodeagent.gpu.canonical import ShapeError, build
from nodeagent.gpu.flags.ladder import Snooze

log = logging.getLogger("nodeagent.gpu")


class SnoozeFile:
    """A JSON list. What cannot be read or written is said in the log and costs no flag."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def read(self, now: float) -> tuple[Snooze, ...]:
        """Those that are not over."""
        try:
            raw = json.loads(self._path.read_text(encoding="utf-8"))
            found = build(tuple[Snooze, ...], raw)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, ShapeError) as err:
            log.warning("snoozed flags cannot be read from %s: %s", self._path, err)
            return ()
        return tuple(each for each in found if each.until > now)

    def write(self, snoozes: tuple[Snooze, ...]) -> None:
        """Whole or not at all."""
        fresh = self._path.with_suffix(".new")
        try:
            self._path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            fresh.write_text(json.dumps([asdict(each) for each in snoozes]), encoding="utf-8")
            fresh.replace(self._path)
        except OSError as err:
            log.warning("snoozed flags cannot be kept in %s: %s", self._path, err)
