"""The stack for Docker Swarm, as its file says it and as docker's client reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from traitlets.config import Config

from tests.unit.deploy.manifests import ROOT

FOLDER = ROOT / "deploy/swarm"
STACK = FOLDER / "stack.yml"
GPUS = FOLDER / "gpus.yml"
NAMES = {
    "SAMEPAGE_HUB_IMAGE": "localhost/samepage-hub:0.1.0",
    "SAMEPAGE_SINGLEUSER_IMAGE": "localhost/samepage-singleuser:0.1.0",
    "SAMEPAGE_NODEAGENT_IMAGE": "localhost/samepage-nodeagent:0.1.0",
    "SAMEPAGE_CONFIGS": "0123456789ab",
}


def plain() -> dict[str, Any]:
    """The file, with names and shared parts (`<<`) in place, without the names filled in."""
    return dict(yaml.safe_load(STACK.read_text(encoding="utf-8")))


def read_by_docker(changes: dict[str, str] | None = None, *over: Path) -> dict[str, Any]:
    """As `docker stack deploy` would send it, with the files `over` it; needs the client alone."""
    files = [word for path in (STACK, *over) for word in ("--compose-file", str(path))]
    done = subprocess.run(
        ["docker", "stack", "config", *files],
        env={**os.environ, **NAMES, **(changes or {})},
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "unsupported" not in done.stderr.lower(), done.stderr
    return dict(yaml.safe_load(done.stdout))


def no_client() -> str | None:
    """Why docker's client cannot read the file here; None when it can."""
    if shutil.which("docker") is None:
        return "no docker client here (sudo apt-get install docker.io)"
    done = subprocess.run(
        ["docker", "stack", "config", "--help"],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    return None if done.returncode == 0 else "docker older than 25 has no `docker stack config`"


def hub_config(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    made: Config | None = None,
    **changes: str,
) -> Config:
    """The hub's configuration, as jupyterhub reads it from the stack's config, after `made`.

    `changes`: to the hub's variables.
    """
    secrets = folder / "secrets"
    secrets.mkdir(exist_ok=True)
    for name, text in (("hub-cookie", "ab" * 32), ("proxy-token", "t"), ("class-password", "p")):
        (secrets / name).write_text(text)
    settings = plain()["services"]["hub"]["environment"] | {
        "SAMEPAGE_SINGLEUSER_IMAGE": NAMES["SAMEPAGE_SINGLEUSER_IMAGE"],
        "SAMEPAGE_NETWORK": "samepage_hub",
        "SAMEPAGE_NODE_VOLUME": "samepage_node",
        "SAMEPAGE_CULL_SECONDS": "300",
        "SAMEPAGE_HOME_OPTIONS": "type=nfs;o=addr=nfs.example.org,rw;device=:/homes/{username}",
        "SAMEPAGE_SECRETS": str(secrets),
        "SAMEPAGE_COURSES_FOLDER": str(ROOT / "deploy/z2jh/courses"),
    }
    for name, text in (settings | changes).items():
        monkeypatch.setenv(name, text)
    for name in ("hub/samepage_courses.py", "swarm/jupyterhub_config.py"):
        shutil.copy(ROOT / "deploy" / name, folder)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "samepage_courses", raising=False)
    found = Config() if made is None else made
    path = folder / "jupyterhub_config.py"
    exec(
        compile(path.read_text(encoding="utf-8"), str(path), "exec"),
        {"get_config": lambda: found, "__file__": str(path)},
    )
    return found
