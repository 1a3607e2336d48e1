"""One line per event on stderr: for people, or JSON for a log collector."""

import json
import logging
import sys
import time
from typing import Literal

from nodeagent.http.words import one_line

LogFormat = Literal["text", "json"]


class _TextFormatter(logging.Formatter):
    """`2026-01-31T10:00:00 info ksm: message`, always on one line, without a terminal's commands:
    it tells names of pods and cgroups."""

    def format(self, record: logging.LogRecord) -> str:
        stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.localtime(record.created))
        topic = record.name.removeprefix("nodeagent.")
        text = record.getMessage()
        if record.exc_info:
            text = f"{text} {self.formatException(record.exc_info)}"
        return one_line(
            f"{stamp} {record.levelname.lower()} {topic}: {' | '.join(text.splitlines())}"
        )


class _JsonFormatter(logging.Formatter):
    """One JSON object per line: time (epoch seconds), level, topic, message."""

    def format(self, record: logging.LogRecord) -> str:
        entry: dict[str, object] = {
            "time": round(record.created, 3),
            "level": record.levelname.lower(),
            "topic": record.name.removeprefix("nodeagent."),
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry)


def configure(log_format: LogFormat) -> None:
    """Send the agent's log to stderr; replaces handlers of an earlier call."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JsonFormatter() if log_format == "json" else _TextFormatter())
    root = logging.getLogger("nodeagent")
    root.handlers[:] = [handler]
    root.setLevel(logging.INFO)
    root.propagate = False
