"""Settings of the applications, from the environment of the Jupyter server.

jupyter-server-proxy loads its entries before any extension has read its configuration, so the
environment is the one place both the entries and the launcher can look at.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from serverproxy.errors import SettingError

_LABEL = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}")


@dataclass(frozen=True, kw_only=True)
class AppSettings:
    """Choices an administrator can make; None leaves the choice to us.

    openrefine_home: folder that holds OpenRefine's `webapp/` and `server/`.
        SAMEPAGE_OPENREFINE_HOME, or OPENREFINE_HOME.
    openrefine_data_dir: folder of a user's projects, `$XDG_DATA_HOME/openrefine` when None.
        SAMEPAGE_OPENREFINE_DATA_DIR; `~` is the user's home.
    openrefine_heap_mib: Java heap in MiB; sized from the free memory when None.
        SAMEPAGE_OPENREFINE_HEAP_MIB.
    openrefine_autosave_minutes: minutes between saves, >= 1. SAMEPAGE_OPENREFINE_AUTOSAVE_MINUTES.
    rstudio_rserver: path of `rserver`. SAMEPAGE_RSTUDIO_RSERVER.
    rstudio_r: path of `R`. SAMEPAGE_RSTUDIO_R, or RSTUDIO_WHICH_R.
    rstudio_r_versions: further R, each with a card: label and path of `R`; None: those that are
        found. SAMEPAGE_RSTUDIO_R_VERSIONS, such as "4.3=/opt/R/4.3.3/bin/R:dev=~/R/bin/R"; "none".
    rstudio_allow_tcp: let an RStudio that knows no unix socket listen on a TCP port, on which every
        user of the machine gets this user's R without a password. SAMEPAGE_RSTUDIO_ALLOW_TCP=1.
    """

    openrefine_home: Path | None = None
    openrefine_data_dir: Path | None = None
    openrefine_heap_mib: int | None = None
    openrefine_autosave_minutes: int = 1
    rstudio_rserver: Path | None = None
    rstudio_r: Path | None = None
    rstudio_r_versions: tuple[tuple[str, Path], ...] | None = None
    rstudio_allow_tcp: bool = False

    @classmethod
    def from_env(cls, env: Mapping[str, str]) -> AppSettings:
        """Read the settings; SettingError names the variable that is wrong. Pure."""
        home = env.get("HOME", "/")
        return cls(
            openrefine_home=_path(env, home, "SAMEPAGE_OPENREFINE_HOME", "OPENREFINE_HOME"),
            openrefine_data_dir=_path(env, home, "SAMEPAGE_OPENREFINE_DATA_DIR"),
            openrefine_heap_mib=_number(env, "SAMEPAGE_OPENREFINE_HEAP_MIB", 128),
            openrefine_autosave_minutes=_number(env, "SAMEPAGE_OPENREFINE_AUTOSAVE_MINUTES", 1)
            or cls.openrefine_autosave_minutes,
            rstudio_rserver=_path(env, home, "SAMEPAGE_RSTUDIO_RSERVER"),
            rstudio_r=_path(env, home, "SAMEPAGE_RSTUDIO_R", "RSTUDIO_WHICH_R"),
            rstudio_r_versions=_versions(env, home, "SAMEPAGE_RSTUDIO_R_VERSIONS"),
            rstudio_allow_tcp=_switch(env, "SAMEPAGE_RSTUDIO_ALLOW_TCP"),
        )


def _path(env: Mapping[str, str], home: str, *names: str) -> Path | None:
    for name in names:
        text = env.get(name, "").strip()
        if not text:
            continue
        return _absolute(name, text, home)
    return None


def _absolute(name: str, text: str, home: str) -> Path:
    if text == "~" or text.startswith("~/"):
        text = home + text[1:]
    path = Path(text)
    if not path.is_absolute():
        raise SettingError(name, text, "Give an absolute path, or one that starts with ~/.")
    return path


def _versions(env: Mapping[str, str], home: str, name: str) -> tuple[tuple[str, Path], ...] | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    if text == "none":
        return ()
    found: dict[str, tuple[str, Path]] = {}
    for part in filter(None, (each.strip() for each in text.split(":"))):
        label, equals, path = (piece.strip() for piece in part.partition("="))
        if not equals or not _LABEL.fullmatch(label) or label.lower() in found:
            raise SettingError(
                name,
                text,
                "Give LABEL=PATH, separated by colons, such as 4.3=/opt/R/4.3.3/bin/R; labels are "
                "different and made of letters, digits, dots, underscores and hyphens.",
            )
        found[label.lower()] = (label, _absolute(name, path, home))
    return tuple(found.values())


def _switch(env: Mapping[str, str], name: str) -> bool:
    text = env.get(name, "").strip()
    if text not in {"", "0", "1"}:
        raise SettingError(name, text, "Give 1 or 0.")
    return text == "1"


def _number(env: Mapping[str, str], name: str, least: int) -> int | None:
    text = env.get(name, "").strip()
    if not text:
        return None
    try:
        value = int(text)
    except ValueError:
        value = least - 1
    if value < least:
        raise SettingError(name, text, f"Give a whole number, {least} or more.")
    return value
