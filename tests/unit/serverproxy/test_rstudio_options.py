"""Options of rserver by version."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from serverproxy.errors import AppError
from serverproxy.rstudio_options import (
    RStudioRun,
    arguments,
    known_options,
    root_path,
    version_from_banner,
)
from tests.standins.rserver_table import TABLES

RUN = RStudioRun(
    private=Path("/tmp/p"),
    socket=None,
    port=4321,
    base_url="/user/alice/",
    uid=1000,
    login="alice",
    r=Path("/usr/bin/R"),
)


def given(version: str, run: RStudioRun) -> dict[str, str]:
    options = {}
    for argument in arguments(TABLES[version], run):
        name, _, value = argument.removeprefix("--").partition("=")
        options[name] = value
    return options


@pytest.mark.parametrize("version", sorted(TABLES))
def test_only_known_options_and_never_open_to_the_network(version: str) -> None:
    socket = Path("/tmp/p/s") if "www-socket" in TABLES[version] else None
    options = given(version, replace(RUN, socket=socket))
    assert set(options) <= set(TABLES[version])
    assert options["auth-none"] == "1"
    assert options["server-daemonize"] == "0"
    assert options["www-frame-origin"] == "same"
    if socket is None:
        assert options["www-address"] == "127.0.0.1"
        assert options["www-port"] == "4321"
    else:
        assert options["www-socket"] == "/tmp/p/s"
        assert "www-port" not in options
        assert "www-address" not in options


def test_everything_private_is_in_the_private_folder() -> None:
    options = given("2024.12.0+467", RUN)
    for name in (
        "server-data-dir",
        "database-config-file",
        "secure-cookie-key-file",
        "server-pid-file",
    ):
        assert options[name].startswith("/tmp/p/")
    assert options["www-root-path"] == "/user/alice/rstudio/"
    assert options["rsession-which-r"] == "/usr/bin/R"
    assert options["server-user"] == "alice"


@pytest.mark.parametrize(("uid", "lowered"), [(0, True), (999, True), (1000, False)])
def test_small_user_ids_are_let_in(uid: int, lowered: bool) -> None:
    options = given("1.4.1717", replace(RUN, uid=uid))
    assert (options.get("auth-minimum-user-id") == "0") is lowered


def test_an_unsuitable_version_is_refused() -> None:
    with pytest.raises(AppError, match="www-socket") as caught:
        arguments(TABLES["1.4.1717"], replace(RUN, socket=Path("/s")))
    assert caught.value.code == "rserver_unsuitable"
    without = {name for name in TABLES["1.4.1717"] if name != "www-address"}
    with pytest.raises(AppError, match="www-address"):
        arguments(without, RUN)


@pytest.mark.parametrize(
    ("base_url", "path"),
    [
        ("/", "/rstudio/"),
        ("/user/alice/", "/user/alice/rstudio/"),
        ("/user/alice", "/user/alice/rstudio/"),
        ("/user//al%40ice//", "/user/al%40ice/rstudio/"),
    ],
)
def test_root_path_has_no_doubled_slash(base_url: str, path: str) -> None:
    assert root_path(base_url, "rstudio") == path


def test_help_and_version_texts() -> None:
    text = (
        "command-line options:\n  --help  print help --not-an-option\n"
        "  -h [ --short ]  x\n  --www-port arg (=8787)\n\t--auth-none arg (=1)\n"
    )
    assert known_options(text) == {"help", "short", "www-port", "auth-none"}
    assert version_from_banner("2024.12.0+467 (Kousa Dogwood) for Ubuntu") == "2024.12.0+467"
    assert version_from_banner("RStudio Server v1.4.1717") == "1.4.1717"
    assert version_from_banner("nothing") is None
