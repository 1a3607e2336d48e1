"""What the end of the launched process means. Pure."""

from __future__ import annotations

from enum import StrEnum


class ExitVerdict(StrEnum):
    """BACKGROUND: the command went to the background and the application lives on."""

    BACKGROUND = "background"
    STOPPED = "stopped"
    FAILED = "failed"


def judge_exit(
    *, was_ready: bool, returncode: int | None, others_alive: bool, listening: bool
) -> ExitVerdict:
    """Judge an exit.

    returncode: as of subprocess, negative for a signal; None when nobody can know it, as for a
    process in the background. others_alive: processes of the application that are left.
    listening: one of them serves the endpoint (asked only when it was ready).
    """
    if returncode in (0, None):
        if others_alive and (listening or not was_ready):
            return ExitVerdict.BACKGROUND
        if was_ready:
            return ExitVerdict.STOPPED
    return ExitVerdict.FAILED
