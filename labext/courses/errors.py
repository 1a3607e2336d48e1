"""What can go wrong with a course, in words for the student."""

from __future__ import annotations

from typing import Literal


class CourseError(Exception):
    """A pull that could not be done. Nothing of the student's was touched or lost.

    state: `offline` when the same pull may work later by itself, else `failed`. `message` and
    `fix` hold no credentials. wait_seconds: for how long the git server asked not to be asked.
    """

    def __init__(
        self,
        code: str,
        message: str,
        fix: str | None = None,
        state: Literal["offline", "failed"] = "failed",
        wait_seconds: float | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.fix = fix
        self.state = state
        self.wait_seconds = wait_seconds
