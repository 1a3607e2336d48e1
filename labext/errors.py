"""Errors that reach a person through the REST interface."""

from __future__ import annotations


class ApiError(Exception):
    """An answer other than success. `code` is for programs, `message` and `fix` for people."""

    def __init__(self, status: int, code: str, message: str, fix: str | None = None) -> None:
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.fix = fix
