"""The stack for Docker Swarm, as its file says it and as docker's client reads it."""

from __future__ import annotations

import os
import shutil
import subprocess
from typing import Any

import yaml

from tests.unit.deploy.manifests import ROOT

FOLDER = ROOT / "deploy/swarm"
STACK = FOLDER / "stack.yml"
NAMES = {
    "SAMEPAGE_HUB_IMAGE": "localhost/samepage-hub:0.1.0",
    "SAMEPAGE_SINGLEUSER_IMAGE": "localhost/samepage-singleuser:0.1.0",
    "SAMEPAGE_NODEAGENT_IMAGE": "localhost/samepage-nodeagent:0.1.0",
    "SAMEPAGE_CONFIGS": "0123456789ab",
}


def plain() -> dict[str, Any]:
    """The file, with names and shared parts (`<<`) in place, without the names filled in."""
    return dict(yaml.safe_load(STACK.read_text(encoding="utf-8")))


def read_by_docker(changes: dict[str, str] | None = None) -> dict[str, Any]:
    """As `docker stack deploy` would send it; needs the client, and no daemon."""
    done = subprocess.run(
        ["docker", "stack", "config", "--compose-file", STACK],
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
