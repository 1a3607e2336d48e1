"""Units for a plain host: what systemd makes of them, and what they may do."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest
from traitlets.config import Config

from nodeagent.config import load
from tests.unit.deploy.manifests import ROOT

FOLDER = ROOT / "deploy/systemd"
UNITS = sorted(FOLDER.glob("*.service"))
PAGE = ROOT / "docs/operators/plain-host.md"
PROGRAM = "/opt/samepage/bin/samepage-agent"

needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="no systemd-analyze here"
)
EVERY = pytest.mark.parametrize("unit", UNITS, ids=lambda path: path.stem)


def settings(unit: Path) -> dict[str, list[str]]:
    """Directive -> values, in their order."""
    found: dict[str, list[str]] = {}
    for line in unit.read_text(encoding="utf-8").splitlines():
        name, equals, value = line.partition("=")
        if equals and re.fullmatch("[A-Za-z]+", name):
            found.setdefault(name, []).append(value)
    return found


@needs_systemd
@EVERY
def test_systemd_knows_every_word(unit: Path, tmp_path: Path) -> None:
    program = tmp_path / "samepage-agent"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    for other in UNITS:
        text = other.read_text(encoding="utf-8").replace(PROGRAM, str(program))
        (tmp_path / other.name).write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", tmp_path / unit.name],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.stdout + done.stderr == ""
    assert done.returncode == 0


@needs_systemd
@EVERY
def test_the_exposure_is_as_the_page_says(unit: Path) -> None:
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=true", "--no-pager", unit],
        capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    match = re.search(r"Overall exposure level for (\S+): ([0-9.]+)", done.stdout)
    assert match is not None
    said = re.search(rf"`{unit.name}` \| .*\| ([0-9.]+) \|", PAGE.read_text(encoding="utf-8"))
    assert said is not None
    # Newer versions of systemd know more tests; the page names the version it was measured with.
    assert float(match[2]) <= float(said[1]) + 0.3
    assert float(said[1]) <= 2.0


@EVERY
def test_capabilities_are_none_or_the_one_to_read(unit: Path) -> None:
    found = settings(unit)
    wanted = "CAP_DAC_READ_SEARCH" if unit.stem == "samepage-reader" else ""
    assert found["CapabilityBoundingSet"] == [wanted]
    assert found["AmbientCapabilities"] == [""]
    assert found["NoNewPrivileges"] == ["yes"]
    # That capability also opens files by handle, past every folder; not here.
    assert "~@privileged" in found["SystemCallFilter"][1]


@EVERY
def test_only_ksm_can_be_written(unit: Path) -> None:
    found = settings(unit)
    assert found["ProtectSystem"] == ["strict"]
    assert found["ProtectKernelTunables"] == ["yes"]
    assert found["ProtectHome"] == ["yes"]
    written = found.get("ReadWritePaths", [])
    assert written == (["/sys/kernel/mm/ksm"] if unit.stem == "samepage-agent" else [])


def test_who_reads_processes_has_no_network_and_who_has_it_sees_none() -> None:
    """The tuner, which answers on loopback, sees names of processes and reads none of them."""
    found = {unit.stem: settings(unit) for unit in UNITS}
    assert found["samepage-reader"]["PrivateNetwork"] == ["yes"]
    assert found["samepage-reader"]["RestrictAddressFamilies"] == ["AF_UNIX"]
    assert found["samepage-agent"]["IPAddressDeny"] == ["any"]
    assert found["samepage-agent"]["IPAddressAllow"] == ["localhost"]
    # "invisible" lets root's group see everything: test_what_protectproc_hides_from_root.
    assert found["samepage-courses"]["ProtectProc"] == ["ptraceable"]
    for name in ("samepage-agent", "samepage-reader"):
        assert "ProtectProc" not in found[name]


#: Processes in a procfs mounted as ProtectProc= does, for root without a capability.
COUNT = """
mount -t proc -o hidepid={how} proc {folder} || exit 77
setpriv --clear-groups --bounding-set=-all --inh-caps=-all --no-new-privs ls {folder}
"""


@pytest.mark.skipif(os.geteuid() != 0 or shutil.which("setpriv") is None, reason="mounts need root")
def test_what_protectproc_hides_from_root(tmp_path: Path) -> None:
    """What the units' comments say of Linux."""
    seen: dict[str, set[str]] = {}
    for name, how in (("invisible", "2"), ("ptraceable", "4")):
        done = subprocess.run(
            ["unshare", "-m", "sh", "-c", COUNT.format(how=how, folder=tmp_path)],
            capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        if done.returncode == 77:
            pytest.skip(f"procfs cannot be mounted here: {done.stderr.strip()}")
        assert done.returncode == 0, done.stderr
        seen[name] = {word for word in done.stdout.split() if word.isdigit()}
    me = str(os.getpid())
    assert me in seen["invisible"]
    assert me not in seen["ptraceable"]


def test_what_was_found_outlives_a_crash() -> None:
    found = settings(FOLDER / "samepage-agent.service")
    assert found["RuntimeDirectoryPreserve"] == ["yes"]
    assert found["Restart"] == ["on-failure"]
    assert int(found["TimeoutStopSec"][0].removesuffix("s")) >= 30


@EVERY
def test_bounds(unit: Path) -> None:
    found = settings(unit)
    assert {"CPUQuota", "MemoryMax", "TasksMax"} <= set(found)


@EVERY
def test_the_agent_accepts_its_settings(unit: Path) -> None:
    found = settings(unit)
    env = dict(entry.split("=", 1) for entry in found["Environment"])
    config = load({name: value for name, value in env.items() if name != "HOME"}, {})
    folders = {f"/run/{each}" for line in found["RuntimeDirectory"] for each in line.split()}
    for path in (config.node_socket, config.facts_socket, config.state_dir):
        # The reader's socket lies in the reader's folder.
        own = folders | {"/run/samepage-reader"}
        assert path is None or str(path.parent) in own or str(path) in own
    if config.course_cache is not None:
        assert str(config.course_cache) == f"/var/cache/{found['CacheDirectory'][0]}"
        assert config.listen.port != load({}, {}).listen.port


def test_the_littlest_jupyterhubs_snippet() -> None:
    made = Config()
    text = (ROOT / "deploy/tljh/samepage.py").read_text(encoding="utf-8")
    exec(compile(text, "samepage.py", "exec"), {"get_config": lambda: made})
    assert made.Spawner.cmd == ["/opt/tljh/user/bin/samepage-singleuser"]
    environment = made.Spawner.environment.get_value({"KEPT": "1"})
    assert environment["KEPT"] == "1"
    cache = settings(FOLDER / "samepage-courses.service")["CacheDirectory"][0]
    assert environment["SAMEPAGE_COURSE_CACHE"] == f"/var/cache/{cache}"
