"""Which command `samepage-singleuser` becomes, and when it may start aligned."""

import os
import sys
from pathlib import Path

import pytest

from labext.kernels.aligned.server import differing, variables_read
from labext.kernels.server_start import (
    NoCommandError,
    Stock,
    find_stock,
    hindrance,
    script_python,
)


def program(folder: Path, name: str, first: str = "#!/usr/bin/python3") -> Path:
    file = folder / name
    file.write_text(f"{first}\n")
    file.chmod(0o755)
    return file


def test_the_hubs_command_comes_first(tmp_path: Path) -> None:
    lab = program(tmp_path, "jupyter-lab")
    nowhere = {"PATH": "/nonexistent"}
    assert find_stock(["--x"], nowhere, beside=tmp_path).words == (str(lab), "--x")
    hub = program(tmp_path, "jupyterhub-singleuser")
    found = find_stock(["--x"], nowhere, beside=tmp_path)
    assert found == Stock(words=(str(hub), "--x"), python="/usr/bin/python3")
    chosen = nowhere | {"SAMEPAGE_SINGLEUSER": "jupyter-lab --debug"}
    assert find_stock(["a b"], chosen, beside=tmp_path).words == (str(lab), "--debug", "a b")


def test_without_any_command_it_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(NoCommandError, match="install jupyterhub"):
        find_stock([], {"PATH": "/nonexistent"}, beside=tmp_path)


@pytest.mark.parametrize(
    ("first", "python"),
    [
        ("#!/opt/conda/bin/python3.11", "/opt/conda/bin/python3.11"),
        ("#! /usr/bin/python3", None),
        ("#!/usr/bin/python3 -I", None),
        ("#!/usr/bin/env python3", None),
        ("#!/bin/sh", None),
        ("\x7fELF", None),
    ],
)
def test_python_of_a_script(tmp_path: Path, first: str, python: str | None) -> None:
    assert script_python(program(tmp_path, "server", first)) == python


def test_a_linked_script_is_not_taken_for_a_plain_one(tmp_path: Path) -> None:
    link = tmp_path / "link"
    link.symlink_to(program(tmp_path, "server"))
    assert script_python(link) is None


def test_what_keeps_a_server_from_starting_aligned() -> None:
    stock = Stock(words=("/bin/server",), python=sys.executable)
    wanted = {"SAMEPAGE_ALIGNED": "1"}
    assert hindrance(stock, wanted, open_files=[0, 1, 2]) is None
    assert hindrance(stock, {"SAMEPAGE_ALIGNED": "0"}, open_files=[]) == "SAMEPAGE_ALIGNED=0"
    assert "open already" in (hindrance(stock, wanted, open_files=[0, 5]) or "")
    assert hindrance(stock, wanted | {"PYTHONMALLOC": "debug"}, open_files=[]) is not None
    other = Stock(words=("/bin/server",), python=None)
    assert "no" in (hindrance(other, wanted, open_files=[]) or "")


def test_variables_that_were_read_are_known(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ONE_OF_MINE", "1")
    with variables_read() as read:
        os.environ.get("ONE_OF_MINE")
        os.getenv("MISSING")
        _ = "IN_IT" in os.environ
    os.environ.get("PATH")
    assert {"ONE_OF_MINE", "MISSING"} <= read
    assert "PATH" not in read
    assert differing(read, {"ONE_OF_MINE": "1"}, {"ONE_OF_MINE": "1", "PATH": "x"}) is None
    assert "MISSING" in (differing(read, {}, {"MISSING": "x"}) or "")
