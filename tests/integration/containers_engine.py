"""podman for the container tests: a store of its own below .cache, and images built once.

The images are built by images/build.sh, as operators do, on a Debian base made by images/base.sh,
from this tree's wheel. podman's own layers make a second run quick. This machine's package
settings (mirror, authority) reach the builds the way docs/operators/images.md tells.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import resource
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
CACHE = ROOT / ".cache" / "containers"
BASE = "localhost/samepage-test-base:bookworm"
PODMAN = CACHE / "podman"
#: In each file of private settings that the builds get; in no image.
MARK = "mirror-5f1c0f3a.samepage.invalid"
_BUILD_SECONDS = 900


def why_not() -> str | None:
    """Why no containers can be tested here; None when they can."""
    if os.environ.get("SAMEPAGE_NO_CONTAINERS"):
        return "SAMEPAGE_NO_CONTAINERS is set"
    if os.geteuid() != 0:
        return "container tests need root"
    if "\nID=debian" not in "\n" + Path("/etc/os-release").read_text():
        return "container tests make their base with debootstrap, on Debian"
    missing = [name for name in ("podman", "runc", "debootstrap") if shutil.which(name) is None]
    if missing:
        return f"not installed: {', '.join(missing)} (sudo apt-get install podman runc debootstrap)"
    return None


def podman(*words: str | Path, check: bool = True, seconds: float = 120) -> str:
    """Standard output of podman with these words; a failure shows both streams."""
    _prepare()
    return run([PODMAN, *words], check=check, seconds=seconds)


def logs(container: str) -> str:
    """What a container has written to both streams."""
    _prepare()
    done = subprocess.run(
        [PODMAN, "logs", container], capture_output=True, text=True, timeout=60, check=False
    )
    return done.stdout + done.stderr


def run(
    command: Sequence[str | Path],
    *,
    check: bool = True,
    seconds: float = 120,
    env: dict[str, str] | None = None,
) -> str:
    """Standard output of `command`, run in the repository."""
    done = subprocess.run(
        [str(word) for word in command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=seconds,
        env=env,
        check=False,
    )
    if check and done.returncode:
        end = "\n".join((done.stdout + done.stderr).splitlines()[-40:])
        raise AssertionError(f"{command[0]} ended with {done.returncode}:\n{end}")
    return done.stdout


@cache
def _prepare() -> None:
    """A podman with the limits that this machine can give, and a store below .cache."""
    CACHE.mkdir(parents=True, exist_ok=True)
    most = {
        name: resource.getrlimit(getattr(resource, f"RLIMIT_{name.upper()}"))[1]
        for name in ("nofile", "nproc")
    }
    # podman's own are higher than what a root without CAP_SYS_RESOURCE may set.
    limits = [
        f"{name}={min(limit, 20_000)}:{min(limit, 20_000)}"
        for name, limit in (
            (name, 20_000 if limit == resource.RLIM_INFINITY else limit)
            for name, limit in most.items()
        )
    ]
    booted = Path("/run/systemd/system").is_dir()
    (CACHE / "containers.conf").write_text(
        f"[containers]\ndefault_ulimits = {json.dumps(limits)}\n"
        f'[engine]\nruntime = "runc"\ncgroup_manager = "{"systemd" if booted else "cgroupfs"}"\n'
        'events_logger = "file"\n'
    )
    PODMAN.write_text(
        f"#!/bin/sh\nexport CONTAINERS_CONF={CACHE}/containers.conf\n"
        f'exec podman --root {CACHE}/store --runroot /run/samepage-test-containers "$@"\n'
    )
    PODMAN.chmod(0o755)


@contextmanager
def _alone() -> Iterator[None]:
    """One builder at a time, whichever worker or session it is in."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


_built: dict[str, str] = {}
_failed: dict[str, str] = {}


def image(name: str) -> str:
    """The tag of the image, built at the first call. What failed once fails again at once."""
    if name in _failed:
        pytest.fail(_failed[name])
    if name not in _built:
        with _alone():
            _prepare()
            try:
                base()
                _built[name] = _build(name)
                # What builds of other days left, so that the cache does not grow for ever.
                podman("image", "prune", "-f", "--filter=until=24h", check=False)
            except (AssertionError, subprocess.TimeoutExpired) as err:
                _failed[name] = str(err)
                raise
    return _built[name]


def base() -> None:
    """The Debian base; skips where no mirror of Debian answers or no container can run."""
    try:
        if not _has(BASE):
            options: list[str | Path] = ["--mirror", mirror(), "--builder", PODMAN]
            run(["images/base.sh", BASE, *options], seconds=_BUILD_SECONDS)
        podman("run", "--rm", "--network=none", BASE, "true")
    except AssertionError as err:
        pytest.skip(f"podman cannot make or run a Debian base here: {err}")


def _has(tag: str) -> bool:
    return bool(podman("images", "-q", tag).strip())


def _build(name: str) -> str:
    tag = f"localhost/samepage-test-{name}:latest"
    options: list[str | Path] = ["--base", BASE, "--tag", tag, "--builder", PODMAN]
    options += ["--wheel-base", BASE, "--wheel", wheel(), *private_settings()]
    run(
        ["images/build.sh", name, *options, "--", "--network", "host"],
        seconds=_BUILD_SECONDS,
    )
    return tag


@cache
def wheel() -> Path:
    """This tree's wheel, with the JupyterLab extension that scripts/setup.sh built."""
    out = CACHE / "dist"
    shutil.rmtree(out, ignore_errors=True)
    run(
        [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", out],
        env={
            **os.environ,
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SAMEPAGE_ARRAYS": "require",
        },
    )
    (built,) = out.glob("*.whl")
    return built


def mirror() -> str:
    """Where this machine gets its own release of Debian from; empty: debootstrap's own choice."""
    listed = run(
        ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"],
        check=False,
    )
    for line in listed.splitlines():
        address, _, release = line.partition(" ")
        if release == "bookworm":
            return address.rstrip("/")
    return ""


def authority() -> Path | None:
    """The file of authorities that this machine's own settings name, if they do."""
    names = (os.environ.get(name) for name in ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE"))
    found = next((name for name in names if name), None)
    return Path(found) if found and Path(found).is_file() else None


def private_settings() -> list[str | Path]:
    """Options of images/build.sh with this machine's settings for packages, and MARK in each."""
    ca = authority() or Path("/etc/ssl/certs/ca-certificates.crt")
    pip = ["[global]", f"trusted-host = {MARK}"]
    for name in ("index-url", "extra-index-url"):
        said = run([sys.executable, "-m", "pip", "config", "get", f"global.{name}"], check=False)
        addresses = [word for word in said.split() if word.startswith(("http://", "https://"))]
        if addresses:
            pip.append(f"{name} = {' '.join(addresses)}")
    acquire = [
        line
        for line in run(["apt-config", "dump"], check=False).splitlines()
        if re.match(r"Acquire::(Check-|http)", line)
    ]
    settings = {
        "pip-conf": "\n".join([*pip, "cert = /run/secrets/ca.crt", ""]),
        "apt-conf": "\n".join([f"// {MARK}", *acquire, ""]),
        "npmrc": f"; {MARK}\n",
        "ca": f"# {MARK}\n{ca.read_text()}" if ca.is_file() else f"# {MARK}\n",
    }
    options: list[str | Path] = []
    for name, text in settings.items():
        file = CACHE / name
        file.write_text(text)
        options += [f"--{name}", file]
    return options


def inspect(tag: str) -> dict[str, Any]:
    """What podman knows of an image."""
    found: list[dict[str, Any]] = json.loads(podman("image", "inspect", tag))
    return found[0]
