"""What goes wrong with an application, in words for people and a code for programs."""

from __future__ import annotations


class AppError(Exception):
    """An application cannot be used. `code` is stable; `message` and `fix` are sentences."""

    def __init__(self, code: str, message: str, fix: str) -> None:
        super().__init__(f"{message} {fix}")
        self.code = code
        self.message = message
        self.fix = fix


class SettingError(AppError):
    """A setting has a value that cannot be used."""

    def __init__(self, name: str, value: str, fix: str) -> None:
        super().__init__("bad_setting", f"The setting {name} is {value!r}.", fix)
