"""Several R on one machine: which get a card, and what it says."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from jupyter_server_proxy.config import ServerProcess

from serverproxy import rstudio
from serverproxy.catalog import list_apps
from serverproxy.errors import SettingError
from serverproxy.preflight.rstudio import find_r, look, versions_beside
from serverproxy.rstudio_options import r_version
from serverproxy.rstudio_versions import RVersion, conda_libraries
from serverproxy.settings import AppSettings
from serverproxy.supervised import wishes_of
from tests.standins.machine import Machine
from tests.standins.rserver_table import write_r, write_rserver

NONE = AppSettings()


def labels(machine: Machine, settings: AppSettings = NONE) -> list[str]:
    return [each.label for each in versions_beside(machine.host(), settings)]


def test_posits_builds_are_found_newest_first(machine: Machine) -> None:
    for version in ("4.2.3", "4.10.0", "4.3.1", "4.3.3"):
        write_r(machine.root / f"opt/R/{version}/bin/R", version)
    (machine.root / "opt/R/empty").mkdir()
    on_path = write_r(machine.bin / "R", "4.2.2")
    assert find_r(machine.host(), NONE) == on_path
    # 4.3 would be two of them.
    assert labels(machine) == ["4.10", "4.3.3", "4.3.1", "4.2"]


def test_the_default_has_no_second_card(machine: Machine) -> None:
    r = write_r(machine.root / "opt/R/4.3.3/bin/R")
    write_r(machine.root / "opt/R/4.4.1/bin/R", "4.4.1")
    (machine.bin / "R").symlink_to(r)  # as Posit's instructions have it
    assert labels(machine) == ["4.4"]


def test_without_one_on_the_path_the_newest_is_the_default(machine: Machine) -> None:
    newest = write_r(machine.root / "opt/R/4.4.1/bin/R", "4.4.1")
    write_r(machine.root / "opt/R/4.3.3/bin/R")
    assert find_r(machine.host(), NONE) == newest
    assert labels(machine) == ["4.3"]


def test_environments_of_conda(machine: Machine) -> None:
    for name in ("stats", "plain-python"):
        (machine.root / f"opt/conda/envs/{name}/conda-meta").mkdir(parents=True)
    r = write_r(machine.root / "opt/conda/envs/stats/bin/R")
    write_r(machine.bin / "R")
    (found,) = versions_beside(machine.host(), NONE)
    assert (found.label, found.r, found.title) == ("stats", r, "RStudio (R in stats)")
    assert found.name == "rstudio-stats"
    assert conda_libraries(found.r) == machine.root / "opt/conda/envs/stats/lib"
    assert conda_libraries(machine.bin / "R") is None


def test_the_setting_wins(machine: Machine) -> None:
    write_r(machine.root / "opt/R/4.4.1/bin/R", "4.4.1")
    write_r(machine.bin / "R")
    own = write_r(machine.home / "R-devel/bin/R", "4.5.0")
    machine.env["SAMEPAGE_RSTUDIO_R_VERSIONS"] = "R-devel=~/R-devel/bin/R : 4.3=/nonexistent/R"
    settings = AppSettings.from_env(machine.env)
    assert [(each.label, each.r) for each in versions_beside(machine.host(), settings)] == [
        ("R-devel", own),
        ("4.3", Path("/nonexistent/R")),
    ]
    machine.env["SAMEPAGE_RSTUDIO_R_VERSIONS"] = "none"
    assert labels(machine, AppSettings.from_env(machine.env)) == []


@pytest.mark.parametrize(
    "text", ["4.3", "=/opt/R", "4.3=relative", "a b=/opt/R", "a=/x:A=/y", "a/b=/x"]
)
def test_settings_that_cannot_be_used(text: str) -> None:
    with pytest.raises(SettingError, match="SAMEPAGE_RSTUDIO_R_VERSIONS"):
        AppSettings.from_env({"SAMEPAGE_RSTUDIO_R_VERSIONS": text})


def test_each_has_a_card_with_its_own_r(machine: Machine) -> None:
    write_rserver(machine.bin, "2026.08.0+173")
    write_r(machine.bin / "R", "4.2.2")
    write_r(machine.root / "opt/R/4.4.1/bin/R", "4.4.1")
    broken = machine.program(machine.root / "opt/R/4.3.3/bin/R")
    cards = {each["name"]: each for each in list_apps(machine.host())}
    assert cards["rstudio"]["version"] == "2026.08.0+173, R 4.2.2"
    assert cards["rstudio-4.4"]["title"] == "RStudio (R 4.4)"
    assert cards["rstudio-4.4"]["path"] == "rstudio-4.4/"
    assert cards["rstudio-4.4"]["version"] == "2026.08.0+173, R 4.4.1"
    assert cards["rstudio-4.4"]["available"] is True
    assert cards["rstudio-4.3"]["available"] is False
    assert str(broken) in str(cards["rstudio-4.3"]["reason"])


def test_a_missing_r_of_the_setting_is_told(machine: Machine) -> None:
    write_rserver(machine.bin, "2026.08.0+173")
    write_r(machine.bin / "R")
    machine.env["SAMEPAGE_RSTUDIO_R_VERSIONS"] = "4.3=/nonexistent/R"
    cards = {each["name"]: each for each in list_apps(machine.host())}
    assert cards["rstudio"]["available"] is True
    assert "/nonexistent/R" in str(cards["rstudio-4.3"]["reason"])
    assert "SAMEPAGE_RSTUDIO_R_VERSIONS" in str(cards["rstudio-4.3"]["fix"])


def test_the_entries_are_ones_of_jupyter_server_proxy(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_r(machine.home / "a/R"), write_r(machine.home / "b/R")
    monkeypatch.setenv(
        "SAMEPAGE_RSTUDIO_R_VERSIONS", f"a={machine.home / 'a/R'}:b={machine.home / 'b/R'}"
    )
    wishes = wishes_of(rstudio.describe()["command"])
    assert wishes is not None
    entries = dict(wishes.more())
    assert set(entries) == {"rstudio-a", "rstudio-b"}
    sockets = set()
    for name, entry in entries.items():
        process = ServerProcess(name=name, **entry)
        assert process.launcher_entry.path_info == f"{name}/"
        assert process.launcher_entry.title == f"RStudio (R {name[-1]})"
        assert process.environment["RSTUDIO_DATA_HOME"].endswith(f"/{name}")
        sockets.add(process.unix_socket)
        inner = wishes_of(process.command)
        assert inner is not None
        assert list(inner.more()) == []
    assert len(sockets) == 2
    monkeypatch.setenv("SAMEPAGE_RSTUDIO_R_VERSIONS", "4.3")
    with pytest.raises(SettingError):
        wishes.more()


def test_what_r_says_of_itself(machine: Machine) -> None:
    assert r_version('R version 4.2.2 Patched (2022-11-10 r83330) -- "Innocent"') == "4.2.2"
    assert r_version("WARNING: x\nR version 4.4.1 (2024-06-14)") == "4.4.1"
    assert r_version("R Under development (unstable) (2026-01-01 r1)") == "unstable"
    assert r_version("Rscript") is None
    r = write_r(machine.home / "R", "4.4.1")
    facts = look(machine.host(), NONE, RVersion(label="4.4", r=r))
    assert (facts.r, facts.r_version, facts.r_answers) == (r, "4.4.1", True)
    assert os.access(r, os.X_OK)
