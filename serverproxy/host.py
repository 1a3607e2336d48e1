"""The machine an application would run on, as far as looking for programs goes."""

from __future__ import annotations

import os
import pwd
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


def _login(uid: int, env: Mapping[str, str]) -> str:
    try:
        return pwd.getpwuid(uid).pw_name
    except KeyError:  # containers with an arbitrary user id have no passwd line
        return env.get("NB_USER") or env.get("USER") or str(uid)


@dataclass(frozen=True, kw_only=True)
class Host:
    """Where to look. `root` goes before every absolute path of ours; PATH is used as it is.

    uid, login: the user the applications run as.
    """

    env: Mapping[str, str] = field(default_factory=lambda: dict(os.environ))
    root: Path = Path("/")
    uid: int = field(default_factory=os.getuid)

    @property
    def login(self) -> str:
        """Login name of the user; the number as text where there is none."""
        return _login(self.uid, self.env)

    @property
    def home(self) -> Path:
        """The user's home folder."""
        return Path(self.env.get("HOME") or "/")

    def at(self, absolute: str | Path) -> Path:
        """An absolute path of the system, below `root`."""
        return self.root / str(absolute).lstrip("/")

    def which(self, program: str) -> Path | None:
        """First executable of that name on PATH; None when there is none."""
        found = shutil.which(program, path=self.env.get("PATH", ""))
        return None if found is None else Path(found)

    def distribution(self) -> frozenset[str]:
        """Names this distribution goes by (ID and ID_LIKE of os-release), empty if unknown."""
        names: set[str] = set()
        for file in ("/etc/os-release", "/usr/lib/os-release"):
            try:
                text = self.at(file).read_text(encoding="utf-8")
            except (OSError, UnicodeDecodeError):
                continue
            for line in text.splitlines():
                key, _, value = line.partition("=")
                if key in {"ID", "ID_LIKE"}:
                    names.update(value.strip().strip("\"'").split())
            break
        return frozenset(names)
