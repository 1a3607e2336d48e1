"""The environment in which git runs for a course: only what a pull needs, whatever is set up."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from labext.courses import credential
from labext.courses.access import access
from labext.courses.address import SCHEMES, Address
from labext.courses.rules import Auth

# Where the certificates are is a fact of the machine; every other GIT_* is of some other task.
_KEPT = frozenset({"GIT_SSL_CAINFO", "GIT_SSL_CAPATH"})
_STALL_SECONDS = 15

_CONFIG = {
    "color.ui": "false",
    "core.askPass": "",
    "core.attributesFile": "/dev/null",
    "core.autocrlf": "false",
    "core.fsmonitor": "false",
    "core.hooksPath": "/dev/null",
    "core.quotePath": "false",
    "fetch.fsckObjects": "false",
    "fetch.prune": "false",
    "fetch.recurseSubmodules": "false",
    "fetch.unpackLimit": "1",  # progress in percent also for few objects, and one file for all
    "fetch.writeCommitGraph": "false",
    "gc.auto": "0",  # would run on in the background, holding locks
    "http.lowSpeedLimit": "1",
    "http.lowSpeedTime": str(_STALL_SECONDS),
    "maintenance.auto": "false",
    "safe.directory": "*",  # a home on NFS may belong to another uid
    "submodule.recurse": "false",
    "transfer.fsckObjects": "false",
}


def environment(
    inherited: Mapping[str, str], address: Address, target: Path, auth: Auth | None = None
) -> dict[str, str]:
    """Environment variables for git. Pure.

    No git in it asks for a password, runs a hook, signs, or takes a repository above `target` for
    the course's. Credentials are not on a command line, which others can list, nor in any
    configuration file: see access.
    """
    allowed = access(address, auth)
    env = {
        key: value
        for key, value in inherited.items()
        if (not key.startswith("GIT_") or key in _KEPT) and not key.startswith(credential.PREFIX)
    }
    env.update(
        GIT_ALLOW_PROTOCOL=":".join(SCHEMES),
        GIT_ASKPASS="",
        GIT_CEILING_DIRECTORIES=str(target.parent),
        GIT_TERMINAL_PROMPT="0",
        LANGUAGE="C",
        LC_ALL="C",  # its words are read
        SSH_ASKPASS_REQUIRE="never",
        **allowed.variables,
    )
    config = [*_CONFIG.items(), *allowed.config]
    env["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (key, value) in enumerate(config):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


def for_another(
    env: Mapping[str, str], address: Address, target: Path, auth: Auth | None
) -> dict[str, str]:
    """From the environment of a course, that for another address of it. Pure.

    Nothing that opens the course opens the other one, but `auth` and what is in `address`.
    """
    fresh = environment(env, address, target, auth)
    for key in ("GIT_CONFIG_GLOBAL", "GIT_CONFIG_NOSYSTEM"):
        if key in env:
            fresh[key] = env[key]
    return fresh


def with_config(env: Mapping[str, str], config: Mapping[str, str]) -> dict[str, str]:
    """`env` with more settings of git. Pure."""
    count = int(env.get("GIT_CONFIG_COUNT", "0"))
    fresh = {**env, "GIT_CONFIG_COUNT": str(count + len(config))}
    for number, (key, value) in enumerate(config.items(), start=count):
        fresh[f"GIT_CONFIG_KEY_{number}"] = key
        fresh[f"GIT_CONFIG_VALUE_{number}"] = value
    return fresh


def without_broken_files(env: dict[str, str]) -> dict[str, str]:
    """`env`, made to skip configuration files that git cannot read. Runs git up to twice.

    One mistyped line in ~/.gitconfig would otherwise end every pull.
    """
    for key, value in (("GIT_CONFIG_GLOBAL", "/dev/null"), ("GIT_CONFIG_NOSYSTEM", "1")):
        check = subprocess.run(
            ["git", "config", "--list"],
            cwd="/",
            env=env,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=10,
        )
        if check.returncode == 0:
            break
        env = {**env, key: value}
    return env
