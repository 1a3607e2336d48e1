"""The environment in which git runs for a course: only what a pull needs, whatever is set up."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path

from labext.courses.address import SCHEMES, Address

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


def environment(inherited: Mapping[str, str], address: Address, target: Path) -> dict[str, str]:
    """Environment variables for git. Pure.

    No git in it asks for a password, runs a hook, signs, or takes a repository above `target` for
    the course's. The address's credentials travel here as an HTTP header: not on a command line,
    which others can list, and not into the clone's configuration.
    """
    env = {
        key: value for key, value in inherited.items() if not key.startswith("GIT_") or key in _KEPT
    }
    env.update(
        GIT_ALLOW_PROTOCOL=":".join(SCHEMES),
        GIT_ASKPASS="",
        GIT_CEILING_DIRECTORIES=str(target.parent),
        GIT_SSH_COMMAND="ssh -oBatchMode=yes -oConnectTimeout=10 -oServerAliveInterval=5",
        GIT_TERMINAL_PROMPT="0",
        LANGUAGE="C",
        LC_ALL="C",  # its words are read
        SSH_ASKPASS_REQUIRE="never",
    )
    config = dict(_CONFIG)
    if address.authorization is not None:
        config[f"http.{address.remote}.extraHeader"] = f"Authorization: {address.authorization}"
    env["GIT_CONFIG_COUNT"] = str(len(config))
    for number, (key, value) in enumerate(config.items()):
        env[f"GIT_CONFIG_KEY_{number}"] = key
        env[f"GIT_CONFIG_VALUE_{number}"] = value
    return env


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
