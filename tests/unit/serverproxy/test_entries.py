"""The entries for jupyter-server-proxy, and the launcher's list."""

from __future__ import annotations

import os
import xml.etree.ElementTree as ElementTree
from collections.abc import Callable
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest
from jupyter_server_proxy.config import ServerProcess
from tornado.web import HTTPError

from serverproxy import openrefine, rstudio
from serverproxy.apps import AppDefinition
from serverproxy.catalog import AppItem, list_apps
from serverproxy.errors import AppError
from serverproxy.openrefine import java_command, java_options, start_command
from serverproxy.preflight.openrefine_home import OpenRefineHome
from serverproxy.redirects import keep_inside
from tests.standins.machine import Machine
from tests.standins.rserver_table import write_r, write_rserver

DESCRIBE = {"openrefine": openrefine.describe, "rstudio": rstudio.describe}
DEFINITIONS = (openrefine.DEFINITION, rstudio.DEFINITION)


def snapshot(*folders: Path) -> set[str]:
    return {str(path) for folder in folders for path in folder.rglob("*")}


@pytest.mark.parametrize("name", sorted(DESCRIBE))
def test_entries_have_only_options_that_exist(name: str) -> None:
    entry = DESCRIBE[name]()
    assert set(entry) <= set(ServerProcess.class_trait_names())
    process = ServerProcess(name=name, **entry)
    assert process.timeout == 90
    assert process.launcher_entry.enabled is False
    assert process.launcher_entry.path_info == f"{name}/"
    assert process.rewrite_response is keep_inside
    assert process.request_headers_override["Authorization"] == ""


@pytest.mark.parametrize("name", sorted(DESCRIBE))
def test_describing_creates_nothing_and_runs_nothing(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = machine.home / "ran"
    for program in ("rserver", "java", "refine", "R"):
        machine.on_path(program, f"#!/bin/sh\ntouch {ran}\n")
    for variable, value in machine.env.items():
        monkeypatch.setenv(variable, value)
    monkeypatch.setattr("tempfile.tempdir", str(machine.home))
    before = snapshot(machine.home, machine.root, machine.bin)
    DESCRIBE[name]()
    assert snapshot(machine.home, machine.root, machine.bin) == before


def test_a_bad_setting_does_not_hide_the_address(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SAMEPAGE_RSTUDIO_RSERVER", "relative")
    for describe in DESCRIBE.values():
        assert describe()["command"]


def test_openrefine_gets_no_cookies_and_a_loopback_host() -> None:
    assert openrefine.describe()["request_headers_override"] == {
        "Authorization": "",
        "Cookie": "",
        "Host": "127.0.0.1",
    }


HOME = OpenRefineHome(folder=Path("/o r"), libraries=Path("/o r/server"), version="3.6.2")


def test_java_command() -> None:
    command = java_command(
        java=Path("/j/bin/java"),
        home=HOME,
        port=4242,
        data_dir=Path("/home/a b/or"),
        heap_mib=700,
        autosave_minutes=1,
        more=("-Dx=1",),
    )
    assert command[0] == "/j/bin/java"
    assert command[-3:] == ["-cp", "/o r/server/*", "com.google.refine.Refine"]
    assert "-Xmx700M" in command
    assert "-Xms64M" in command
    for option in (
        "refine.interface=127.0.0.1",
        "refine.host=127.0.0.1",
        "refine.port=4242",
        "refine.headless=true",
        "refine.autosave=1",
        "refine.data_dir=/home/a b/or",
        "refine.webapp=/o r/webapp",
        "refine.display.new.version.notice=false",
        "refine.max_form_content_size=67108864",
    ):
        assert f"-D{option}" in command
    assert command.index("-Dx=1") > command.index("-Drefine.port=4242")


def test_java_options() -> None:
    assert java_options("") == ()
    assert java_options("-Da=1 '-Db=two words'") == ("-Da=1", "-Db=two words")
    with pytest.raises(AppError, match="JAVA_OPTIONS"):
        java_options("-Da='1")


def test_openrefine_start_command_of_a_machine(machine: Machine) -> None:
    kit = machine.kit(machine.root / "usr/share/openrefine")
    machine.java("17.0.1")
    machine.env["SAMEPAGE_OPENREFINE_HEAP_MIB"] = "300"
    machine.env["JAVA_OPTIONS"] = "-Dmine=1"
    command = start_command(5000, machine.host())
    assert command[0] == str(machine.bin / "java")
    assert "-Xmx300M" in command
    assert "-Dmine=1" in command
    assert f"-Dsamepage.server={os.getpid()}" in command
    assert f"{kit}/server/target/lib/*" in command
    assert f"-Drefine.data_dir={machine.home}/.local/share/openrefine" in command


@pytest.mark.parametrize("name", sorted(DESCRIBE))
def test_a_click_without_the_application_says_what_to_do(
    name: str, machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(machine.bin))
    monkeypatch.setenv("HOME", str(machine.home))
    monkeypatch.setenv("SAMEPAGE_OPENREFINE_HOME", str(machine.home / "a%s{b}"))
    monkeypatch.setenv("SAMEPAGE_RSTUDIO_RSERVER", str(machine.home / "a%s{b}"))
    process = ServerProcess(name=name, **DESCRIBE[name]())
    arguments = {"port": 1234} if name == "openrefine" else {"port": 0, "base_url": "/"}
    command: Callable[..., list[str]] = process.command
    with pytest.raises(HTTPError) as caught:
        command(**arguments)
    assert caught.value.status_code == 503
    text = str(caught.value.log_message) % caught.value.args
    assert f"{machine.home}/a%s{{b}}" in text
    assert f"SAMEPAGE_{'OPENREFINE_HOME' if name == 'openrefine' else 'RSTUDIO_RSERVER'}" in text


def by_name(items: list[AppItem]) -> dict[str, AppItem]:
    return {item["name"]: item for item in items}


def test_a_machine_without_anything_says_what_to_type(machine: Machine) -> None:
    machine.distribution("ID=debian\n")
    items = list_apps(machine.host())
    assert [item["name"] for item in items] == ["openrefine", "rstudio"]
    apps = by_name(items)
    assert apps["openrefine"]["available"] is False
    assert apps["openrefine"]["reason"] == "OpenRefine is not installed here."
    assert "apt-get install openrefine" in str(apps["openrefine"]["fix"])
    assert apps["rstudio"]["available"] is False
    assert "rstudio-server" in str(apps["rstudio"]["fix"])


def test_a_machine_with_everything(machine: Machine) -> None:
    machine.kit(machine.root / "usr/share/openrefine", "3.10.1")
    machine.java("21.0.1")
    write_rserver(machine.bin, "2024.12.0+467")
    write_r(machine.bin / "R")
    apps = by_name(list_apps(machine.host()))
    assert apps["openrefine"] == AppItem(
        name="openrefine",
        title="OpenRefine",
        description=openrefine.DEFINITION.description,
        icon_svg=openrefine.DEFINITION.icon_svg(),
        path="openrefine/",
        new_browser_tab=True,
        available=True,
        reason=None,
        fix=None,
        rank=10,
        version="3.10.1",
    )
    assert apps["rstudio"]["available"] is True
    assert apps["rstudio"]["version"] == "2024.12.0+467, R 4.3.3"


def test_a_bad_setting_is_told_and_hides_nothing(machine: Machine) -> None:
    machine.env["SAMEPAGE_OPENREFINE_HEAP_MIB"] = "lots"
    for item in list_apps(machine.host()):
        assert item["available"] is False
        assert "SAMEPAGE_OPENREFINE_HEAP_MIB" in str(item["reason"])


def test_without_the_proxy_no_application(
    machine: Machine, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("serverproxy.catalog.find_spec", lambda name: None)
    for item in list_apps(machine.host()):
        assert "pip install jupyter-server-proxy" in str(item["fix"])


@pytest.mark.parametrize("definition", DEFINITIONS, ids=lambda definition: definition.name)
def test_icons_follow_the_theme(definition: AppDefinition) -> None:
    text = definition.icon_svg()
    assert text is not None
    root = ElementTree.fromstring(text)
    assert root.tag == "{http://www.w3.org/2000/svg}svg"
    painted = [element for element in root.iter() if element.get("fill")]
    assert painted
    # JupyterLab recolours these two with the theme; any other colour stays as it is.
    assert all(element.get("class") in {"jp-icon3", "jp-icon-brand1"} for element in painted)


def test_a_missing_icon_is_no_icon() -> None:
    definition = AppDefinition(name="x", title="X", description="", icon="absent.svg", rank=1)
    assert definition.icon_svg() is None


def test_entry_points_of_the_installed_distribution() -> None:
    try:
        installed = distribution("jupyter-samepage")
    except PackageNotFoundError:
        pytest.skip("jupyter-samepage is not installed")
    entries = {
        point.name: point
        for point in installed.entry_points
        if point.group == "jupyter_serverproxy_servers"
    }
    assert {name: point.load() for name, point in entries.items()} == DESCRIBE
