"""What keeps RStudio from running."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serverproxy.preflight.rstudio import (
    RStudioFacts,
    find_r,
    find_rserver,
    judge,
    knows_socket,
    look,
)
from serverproxy.settings import AppSettings
from tests.standins.machine import Machine
from tests.standins.rserver_table import TABLES, write_r, write_rserver

GOOD = RStudioFacts(
    rserver=Path("/usr/lib/rstudio-server/bin/rserver"),
    configured=None,
    options=frozenset(TABLES["2024.12.0+467"]),
    version="2024.12.0+467",
    r=Path("/usr/bin/R"),
    configured_r=None,
    closed_rpc_key=None,
    distribution=frozenset({"debian"}),
)
KEY = Path("/etc/rstudio/session-rpc-key")


def test_all_there() -> None:
    report = judge(GOOD)
    assert (report.available, report.reason, report.version) == (True, None, "2024.12.0+467")


@pytest.mark.parametrize(
    ("facts", "code", "in_reason", "in_fix"),
    [
        (replace(GOOD, rserver=None), "not_installed", "not installed", "download/rstudio-server"),
        (
            replace(GOOD, rserver=None, configured=Path("/opt/rs")),
            "rserver_wrong",
            "/opt/rs",
            "SAMEPAGE_RSTUDIO_RSERVER",
        ),
        (replace(GOOD, options=None), "rserver_broken", "rstudio-server/bin/rserver", "--help"),
        (
            replace(GOOD, options=frozenset({"www-port"})),
            "rserver_unsuitable",
            "single user",
            "current RStudio Server",
        ),
        (replace(GOOD, r=None), "r_missing", "needs R", "apt-get install r-base-core"),
        (
            replace(GOOD, r=None, distribution=frozenset({"fedora"})),
            "r_missing",
            "needs R",
            "dnf install R-core",
        ),
        (replace(GOOD, r=None, distribution=frozenset()), "r_missing", "needs R", "cran"),
        (
            replace(GOOD, r=None, configured_r=Path("/opt/R")),
            "r_wrong",
            "/opt/R",
            "SAMEPAGE_RSTUDIO_R",
        ),
        (replace(GOOD, r_answers=False), "r_broken", "/usr/bin/R", "--version"),
        (
            replace(GOOD, version="2026.07.0+1", closed_rpc_key=KEY),
            "rpc_key_closed",
            str(KEY),
            "2026.08",
        ),
    ],
)
def test_not_available(facts: RStudioFacts, code: str, in_reason: str, in_fix: str) -> None:
    report = judge(facts)
    assert not report.available
    assert report.code == code
    assert in_reason in (report.reason or "")
    assert in_fix in (report.fix or "")


@pytest.mark.parametrize("version", ["2024.12.0+467", "2026.08.0+3", "2026.04.1", None])
def test_other_versions_do_not_need_the_system_key(version: str | None) -> None:
    assert judge(replace(GOOD, version=version, closed_rpc_key=KEY)).available


def test_finding_rserver_and_r(machine: Machine) -> None:
    none = AppSettings()
    assert find_rserver(machine.host(), none) is None
    assert find_r(machine.host(), none) is None
    packaged = machine.program(machine.root / "usr/lib/rstudio-server/bin/rserver")
    assert find_rserver(machine.host(), none) == packaged
    r = machine.program(machine.root / "opt/R/bin/R")
    (machine.root / "etc/rstudio").mkdir(parents=True)
    (machine.root / "etc/rstudio/rserver.conf").write_text("# x\nrsession-which-r = /opt/R/bin/R\n")
    assert find_r(machine.host(), none) == r
    on_path, r_on_path = machine.on_path("rserver"), machine.on_path("R")
    assert find_rserver(machine.host(), none) == on_path
    assert find_r(machine.host(), none) == r_on_path
    chosen = AppSettings(rstudio_rserver=packaged, rstudio_r=r)
    assert find_rserver(machine.host(), chosen) == packaged
    assert find_r(machine.host(), chosen) == r
    wrong = AppSettings(rstudio_rserver=machine.home / "no", rstudio_r=machine.home / "no")
    assert find_rserver(machine.host(), wrong) is None
    assert find_r(machine.host(), wrong) is None


@pytest.mark.parametrize("version", sorted(TABLES))
def test_looking_at_an_installed_version(machine: Machine, version: str) -> None:
    rserver = write_rserver(machine.bin, version)
    write_r(machine.bin / "R")
    facts = look(machine.host(), AppSettings())
    assert facts.options == frozenset(TABLES[version])
    assert facts.version == version
    socket = "www-socket" in TABLES[version]
    assert judge(facts).available is socket
    assert knows_socket(rserver) is socket
    if not socket:
        assert judge(facts).code == "tcp_only"
        assert "SAMEPAGE_RSTUDIO_ALLOW_TCP=1" in str(judge(facts).fix)
    allowed = AppSettings(rstudio_allow_tcp=True)
    assert judge(look(machine.host(), allowed)).available


def test_the_option_is_found_across_a_block_border(tmp_path: Path) -> None:
    file = tmp_path / "rserver"
    file.write_bytes(b"x" * ((1 << 20) - 4) + b"www-socket" + b"y" * 100)
    assert knows_socket(file)
    assert not knows_socket(tmp_path / "absent")


def test_an_rserver_that_fails(machine: Machine) -> None:
    machine.on_path("rserver", "#!/bin/sh\nexit 3\n")
    assert judge(look(machine.host(), AppSettings())).code == "rserver_broken"
