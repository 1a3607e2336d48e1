"""Becomes one student's process: environment, folder, paths and names as a stock start has them."""

from __future__ import annotations

import os
import site
import sys
import sysconfig
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Assignment:
    """Whom to become.

    `command`: the stock command line, whole. `module`: its ``-m`` module, `arguments`: what
    follows. `environment`: all of it. `folder`: the working folder. `report`: where the attendant
    may write, None for nowhere. `settings`: plain numbers for the attendant.
    """

    def __init__(self, fields: dict[str, Any]) -> None:
        self.command: list[str] = fields["command"]
        self.module: str = fields["module"]
        self.arguments: list[str] = fields["arguments"]
        self.environment: dict[str, str] = fields["environment"]
        self.folder: str = fields["folder"]
        self.report: str | None = fields.get("report")
        self.settings: dict[str, Any] = fields.get("settings", {})


class UnsuitedError(Exception):
    """This student needs a stock kernel; the text says why."""


def enter(assignment: Assignment, variables: Mapping[str, str] | None = None) -> None:
    """Environment and working folder. Errors: UnsuitedError.

    `variables`: set by modules at their import, where the environment has none of that name.
    """
    coerced = coerced_locale()
    os.environ.clear()
    os.environ.update(assignment.environment)
    for name, value in (variables or {}).items():
        os.environ.setdefault(name, value)
    if coerced is not None:
        os.environ["LC_CTYPE"] = coerced
    if hasattr(time, "tzset"):
        time.tzset()
    tempfile.tempdir = None
    try:
        os.chdir(assignment.folder)
    except OSError as err:
        raise UnsuitedError(f"its working folder cannot be entered ({err})") from err


def coerced_locale() -> str | None:
    """The LC_CTYPE that Python added to its environment in the C locale (PEP 538)."""
    try:
        entries = Path("/proc/self/environ").read_bytes().split(b"\0")
    except OSError:
        return None
    if any(entry.startswith(b"LC_CTYPE=") for entry in entries):
        return None
    return os.environ.get("LC_CTYPE")


def own_folders() -> list[str]:
    """Folders of this student that belong on `sys.path`: PYTHONPATH, then the user site."""
    found = [
        os.path.abspath(entry)  # noqa: PTH100 - as site.makepath does it, links kept
        for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep)
        if entry
    ]
    site.USER_BASE = site.USER_SITE = None
    # sysconfig keeps what it computed with another HOME. Only that is put right: a thousand
    # strings made anew would leave as many holes in pages that all kernels have in common.
    computed: Any = getattr(sysconfig, "_CONFIG_VARS", None)
    if computed and "userbase" in computed:
        computed["userbase"] = site.getuserbase()
    if site.ENABLE_USER_SITE is not False and site.check_enableusersite():
        user = site.getusersitepackages()
        site.ENABLE_USER_SITE = True
        if Path(user).is_dir():
            found.append(user)
    elif site.ENABLE_USER_SITE is not False:
        site.ENABLE_USER_SITE = site.check_enableusersite()
        site.getusersitepackages()
    else:
        site.getusersitepackages()
    return found


def shadowed(folders: Iterable[str], loaded: Iterable[str]) -> str | None:
    """A sentence when a folder has a module of its own under the name of a loaded one."""
    names = set(loaded)
    for folder in folders:
        try:
            entries = os.listdir(folder)  # noqa: PTH208 - names are all that is wanted
        except OSError:
            continue
        for entry in sorted(entries):
            if entry.partition(".")[0] in names and _importable(folder, entry):
                return f"{folder} has its own {entry.partition('.')[0]}"
            if entry in {"sitecustomize.py", "usercustomize.py"}:
                return f"{folder} has a {entry}"
    return None


def _importable(folder: str, entry: str) -> bool:
    if entry.endswith((".py", ".pyc", ".so")):
        return True
    return "." not in entry and Path(folder, entry).is_dir()


def extend_path(folders: Sequence[str]) -> None:
    """Put the student's folders where a stock start has them: own ones before site-packages."""
    if not folders:
        return
    packages = {os.path.normcase(entry) for entry in site.getsitepackages()}
    before = list(sys.path)
    place = next(
        (index for index, entry in enumerate(before) if os.path.normcase(entry) in packages),
        len(before),
    )
    standard, rest = before[:place], before[place:]
    user = site.USER_SITE if site.ENABLE_USER_SITE else None
    listed = [entry for entry in folders if entry != user]
    sys.path[:] = list(dict.fromkeys([*listed, *standard]))
    if user in folders and user is not None:
        site.addsitedir(user)
    sys.path += [entry for entry in rest if entry not in sys.path]


def name_process(assignment: Assignment) -> None:
    """`sys.argv`, `sys.orig_argv` and the rest of what ``python -m MODULE`` sets."""
    sys.argv[:] = ["-m", *assignment.arguments]
    if hasattr(sys, "orig_argv"):
        sys.orig_argv[:] = assignment.command
    if not getattr(sys.flags, "safe_path", False):
        sys.path.insert(0, os.getcwd())  # noqa: PTH109 - a string, as -m puts it there
    prefix = os.environ.get("PYTHONPYCACHEPREFIX")
    if prefix:
        sys.pycache_prefix = prefix


def parent_of_kernel() -> None:
    """ipykernel reads at its import which parent to watch; tell it the real one."""
    module = sys.modules.get("ipykernel.kernelapp")
    application: Any = getattr(module, "IPKernelApp", None)
    if application is None:
        return
    watched = (("parent_handle", "JPY_PARENT_PID"), ("interrupt", "JPY_INTERRUPT_EVENT"))
    for trait, variable in watched:
        handle = application.class_traits().get(trait)
        if handle is not None:
            value = int(os.environ.get(variable) or 0)
            if value and trait == "parent_handle":
                # A forked kernel's parent is the template, which ends with the server.
                value = os.getppid()
            handle.default_value = value
            # traitlets keeps the defaults of plain numbers a second time, by class.
            second = getattr(application, "_static_immutable_initial_values", {})
            if trait in second:
                second[trait] = handle.default_value


def name_of_user() -> None:
    """jupyter_client reads at its import whose messages these are."""
    module = sys.modules.get("jupyter_client.session")
    session: Any = getattr(module, "Session", None)
    trait = session.class_traits().get("username") if session is not None else None
    if trait is not None:
        trait.default_value = os.environ.get("USER", "username")
        second = getattr(session, "_static_immutable_initial_values", {})
        if "username" in second:
            second["username"] = trait.default_value
