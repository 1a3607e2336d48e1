"""The edge to /sys/kernel/mm/ksm: the only code that opens these files."""

import errno
import os
import re
from pathlib import Path
from typing import NoReturn

from nodeagent.errors import (
    KsmConflictError,
    KsmError,
    KsmPermissionError,
    KsmReadError,
    KsmUnsupportedError,
)

ADVISOR = "advisor_mode"
_CHOSEN = re.compile(r"\[([\w-]+)\]")


class KsmDir:
    """One machine's KSM folder. `sys`: where sysfs is mounted; `dry_run`: decide, never write."""

    def __init__(self, sys: Path = Path("/sys"), *, dry_run: bool = False) -> None:
        self.path = sys / "kernel/mm/ksm"
        self.dry_run = dry_run

    @property
    def supported(self) -> bool:
        """Whether this kernel has KSM."""
        return (self.path / "run").exists()

    @property
    def writable(self) -> bool:
        """Whether `run` can be opened for writing now. Writes nothing."""
        return self.not_writable_because is None

    @property
    def not_writable_because(self) -> str | None:
        """What the system answers to opening `run` for writing; None: it lets us."""
        try:
            os.close(os.open(self.path / "run", os.O_WRONLY))
        except OSError as err:
            return err.strerror
        return None

    def read(self, name: str) -> int | None:
        """The file's whole number, signed (general_profit can be negative).

        None: this kernel has no such file. KsmReadError: it has, and it gave no number.
        """
        text = self._text(name)
        if text is None:
            return None
        try:
            return int(text)
        except ValueError as err:
            raise KsmReadError(
                f"{self.path / name} holds {text!r} where a number was expected",
                fix="Report it with the kernel's version; the agent goes on with the rest.",
            ) from err

    def read_word(self, name: str) -> str | None:
        """The chosen word of a file such as `[none] scan-time`; None: no such file."""
        text = self._text(name)
        if text is None:
            return None
        chosen = _CHOSEN.search(text)
        return chosen.group(1) if chosen else text

    def write(self, name: str, value: int | str) -> bool:
        """Write only a changed value; True when written (or, in a dry run, would have been).

        KsmPermissionError, KsmConflictError, KsmUnsupportedError when the kernel refuses. Writing 2
        to `run` would unmerge every page of the machine and is refused here.
        """
        if name == "run" and value == 2:
            raise KsmConflictError(
                "Writing 2 to run would unmerge every page of this machine",
                fix="Write it by hand if memory for all copies is free.",
            )
        present = self.read_word(name) if isinstance(value, str) else self.read(name)
        if present is None:
            raise KsmUnsupportedError(
                f"{self.path / name} does not exist", fix="Use a kernel that has this setting."
            )
        if present == value:
            return False
        if self.dry_run:
            return True
        try:
            # "r+" would create nothing, but may need seek; O_WRONLY is what sysfs wants.
            handle = os.open(self.path / name, os.O_WRONLY | os.O_TRUNC)
            try:
                os.write(handle, f"{value}\n".encode())
            finally:
                os.close(handle)
        except OSError as err:
            self._refused(name, value, err)
        return True

    def unmerge(self) -> None:
        """Stop ksmd and give every process pages of its own again; blocks until that is done.

        The caller has made sure that memory suffices. Raises as `write`; with ENOMEM the kernel
        stops half way and nothing is lost.
        """
        if self.dry_run:
            return
        try:
            (self.path / "run").write_text("2\n", encoding="ascii")
            (self.path / "run").write_text("0\n", encoding="ascii")
        except OSError as err:
            self._refused("run", 2, err)

    def _text(self, name: str) -> str | None:
        try:
            return (self.path / name).read_text(encoding="ascii").strip()
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, UnicodeDecodeError) as err:
            raise KsmReadError(
                f"Cannot read {self.path / name}: {getattr(err, 'strerror', None) or err}",
                fix="Mount the host's /sys readable into the agent.",
            ) from err

    def _refused(self, name: str, value: int | str, err: OSError) -> NoReturn:
        tried = f"Cannot write {value} to {self.path / name}: {err.strerror}"
        if err.errno in (errno.EACCES, errno.EPERM):
            raise KsmPermissionError(
                tried, fix="Run the agent as root, or use --mode observe."
            ) from err
        if err.errno == errno.EROFS:
            raise KsmPermissionError(
                tried,
                fix="Mount the host's /sys read-write (privileged), or use --mode observe.",
            ) from err
        if err.errno == errno.EINVAL:
            raise KsmConflictError(
                tried,
                fix=f"Look at {self.path / ADVISOR}: while it is scan-time the kernel refuses "
                "pages_to_scan. Write none to it.",
            ) from err
        if err.errno == errno.EBUSY:
            raise KsmConflictError(
                tried, fix="This value cannot change while pages are merged; set it after a reboot."
            ) from err
        raise KsmError(tried, fix="See the kernel's log (dmesg).") from err
