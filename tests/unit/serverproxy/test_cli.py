"""`samepage-apps`: what it tells on a terminal, to a program and by its exit status."""

from __future__ import annotations

import json
import subprocess
import sys
import types
from collections.abc import Callable, Iterator, Mapping
from copy import copy
from functools import partial
from importlib.metadata import Distribution, EntryPoint, PathDistribution
from pathlib import Path
from typing import Any

import pytest

from serverproxy.cli import main
from serverproxy.doctor import third_party
from serverproxy.doctor.finding import Finding
from serverproxy.doctor.masking import MASK, masked
from serverproxy.doctor.text import report, table
from serverproxy.supervisor.gate.report import Report
from tests.standins.machine import Machine
from tests.standins.rserver_table import write_r, write_rserver

MakePoint = Callable[[str, Callable[[], object]], EntryPoint]


@pytest.fixture
def full(machine: Machine) -> Machine:
    """A machine where both run."""
    machine.kit(machine.root / "usr/share/openrefine", "3.10.1")
    machine.java("21.0.1")
    write_rserver(machine.bin, "2024.12.0+467")
    write_r(machine.bin / "R")
    return machine


@pytest.fixture
def point(tmp_path: Path) -> Iterator[MakePoint]:
    """Makes entries of an installed distribution `their-apps`, each by a function."""
    info = tmp_path / "site/their_apps-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: their-apps\nVersion: 2.0\n")
    module = types.ModuleType("their_apps_entries")
    sys.modules[module.__name__] = module

    def make(name: str, describe: Callable[[], object]) -> EntryPoint:
        setattr(module, name, describe)
        lines = [
            f"{each} = {module.__name__}:{each}"
            for each in vars(module)
            if not each.startswith("__")
        ]
        text = "\n".join([f"[{third_party.GROUP}]", *lines, ""])
        (info / "entry_points.txt").write_text(text)
        distribution: Distribution = PathDistribution(info)
        (found,) = distribution.entry_points.select(name=name)
        return found

    yield make
    del sys.modules[module.__name__]


def told(capsys: pytest.CaptureFixture[str]) -> dict[str, dict[str, Any]]:
    answer = json.loads(capsys.readouterr().out)
    return {app["name"]: app for app in answer["apps"]}


def test_everything_is_told_about_ours(full: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    full.env |= {
        "JAVA_OPTIONS": "-Djavax.net.ssl.keyStorePassword=hush -Da=b",
        "SAMEPAGE_OPENREFINE_HEAP_MIB": "700",
        "JUPYTERHUB_SERVICE_PREFIX": "/user/alice/",
    }
    assert main(["doctor", "--json"], host=full.host(), points=[]) == 0
    apps = told(capsys)
    refine, studio = apps["openrefine"], apps["rstudio"]
    assert (refine["available"], refine["version"], refine["described_by"]) == (
        True,
        "3.10.1",
        "jupyter-samepage",
    )
    assert refine["argv"][0] == str(full.bin / "java")
    assert {"-Xmx700M", "-Drefine.port=<fresh port>", "-Da=b"} <= set(refine["argv"])
    assert f"-Djavax.net.ssl.keyStorePassword={MASK}" in refine["argv"]
    assert refine["heap_bytes"] == 700 << 20
    assert refine["data"] == str(full.home / ".local/share/openrefine")
    assert "can be written" in refine["data_note"]
    assert refine["transport"] == "tcp"
    assert "secret path" in refine["transport_note"]
    assert (studio["available"], studio["version"]) == (True, "2024.12.0+467, R 4.3.3")
    assert studio["transport"] == "unix"
    assert {
        "--www-socket=<private socket>",
        "--www-root-path=/user/alice/rstudio/",
        "--secure-cookie-key-file=<private folder>/secure-cookie-key",
    } <= set(studio["argv"])
    assert studio["heap_bytes"] is None
    assert studio["data"] == str(full.home)


def test_looking_starts_and_creates_nothing(full: Machine) -> None:
    before = set(full.home.rglob("*"))
    main(["doctor"], host=full.host(), points=[])
    assert set(full.home.rglob("*")) == before


def test_a_port_without_a_password_is_called_one(
    full: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    write_rserver(full.bin, "2023.12.1+402")
    assert main(["doctor", "rstudio", "--json"], host=full.host(), points=[]) == 1
    assert "TCP port" in told(capsys)["rstudio"]["reason"]
    full.env["SAMEPAGE_RSTUDIO_ALLOW_TCP"] = "1"
    assert main(["doctor", "rstudio", "--json"], host=full.host(), points=[]) == 0
    studio = told(capsys)["rstudio"]
    assert studio["transport"] == "tcp"
    assert "every user of this host" in studio["transport_note"]
    assert "--www-port=<fresh port>" in studio["argv"]


def test_a_bare_machine_says_why_and_what_to_do(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.distribution("ID=debian\n")
    assert main(["doctor"], host=machine.host(), points=[]) == 1
    text = " ".join(capsys.readouterr().out.split())
    assert "OpenRefine (openrefine): not available" in text
    assert "why OpenRefine is not installed here." in text
    assert "apt-get install openrefine" in text
    assert "starts with" not in text


def test_the_exit_status_is_of_those_named(
    machine: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    machine.kit(machine.root / "usr/share/openrefine", "3.10.1")
    machine.java("21.0.1")
    host = machine.host()
    assert main(["doctor", "openrefine"], host=host, points=[]) == 0
    assert "RStudio" not in capsys.readouterr().out
    assert main(["doctor", "openrefine", "rstudio"], host=host, points=[]) == 1
    assert main(["doctor"], host=host, points=[]) == 1
    assert main(["list"], host=host, points=[]) == 0


def test_an_unknown_name_is_an_error(full: Machine, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "openrefine", "matlab"], host=full.host(), points=[]) == 1
    out, err = capsys.readouterr()
    assert "OpenRefine 3.10.1" in out
    assert "no application 'matlab'" in err


def test_a_bad_setting_is_told_and_hides_nothing(
    full: Machine, capsys: pytest.CaptureFixture[str]
) -> None:
    full.env["SAMEPAGE_OPENREFINE_HEAP_MIB"] = "lots"
    assert main(["doctor", "--json"], host=full.host(), points=[]) == 1
    for app in told(capsys).values():
        assert "SAMEPAGE_OPENREFINE_HEAP_MIB" in app["reason"]
        assert app["argv"] is None


def test_entries_of_third_parties(
    full: Machine, point: MakePoint, capsys: pytest.CaptureFixture[str]
) -> None:
    full.on_path("thing")

    def raises() -> dict[str, object]:
        print("on standard output")
        raise ImportError("no module named nowhere")

    def command(port: int) -> list[str]:
        raise AssertionError("the doctor starts nothing")

    described: dict[str, Callable[[], object]] = {
        "listed": lambda: {
            "command": ["thing", "--port={port}", "--token", "hush"],
            "launcher_entry": {"title": "The Thing"},
        },
        "called": lambda: {"command": command, "unix_socket": True},
        "absent": lambda: {"command": ["/no/such", "{port}"]},
        "backend": lambda: {"port": 8080},
        "broken": raises,
        "odd": lambda: ["command"],
    }
    points = [point(name, describe) for name, describe in described.items()]
    points = [point(name, describe) for name, describe in described.items()]
    full.env["SAMEPAGE_APP_PORT_GATE"] = "off"
    assert main(["doctor", "--json"], host=full.host(), points=points) == 1
    apps = told(capsys)
    assert {apps[name]["described_by"] for name in described} == {"their-apps"}
    assert apps["listed"]["title"] == "The Thing"
    assert apps["listed"]["argv"] == ["thing", "--port={port}", "--token", MASK]
    assert apps["listed"]["available"]
    assert apps["listed"]["transport"] == "tcp"
    assert "open to all of its users" in apps["listed"]["transport_note"]
    assert "password of its own" in apps["backend"]["transport_note"]
    assert (apps["called"]["argv"], apps["called"]["transport"]) == (None, "unix")
    assert "decides at the start" in apps["called"]["argv_note"]
    assert "/no/such is not an executable file" in apps["absent"]["reason"]
    assert not apps["absent"]["available"]
    assert apps["backend"]["available"]
    assert "not started here" in apps["backend"]["argv_note"]
    assert "(ImportError: no module named nowhere)" in apps["broken"]["reason"]
    assert "their-apps" in apps["broken"]["fix"]
    assert "gave list" in apps["odd"]["reason"]
    assert main(["doctor", "listed", "called"], host=full.host(), points=points) == 0
    capsys.readouterr()
    assert main(["list"], host=full.host(), points=points) == 0
    text = capsys.readouterr().out
    assert "their-apps" in text
    assert "ImportError" in text


def test_the_doctor_tries_the_gate(
    full: Machine,
    point: MakePoint,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full.on_path("thing")
    points = [point("listed", lambda: {"command": ["thing", "{port}"]})]
    full.env["SAMEPAGE_APP_PORT_GATE"] = "on"
    for answer, said in (
        (Report(guarded=True), "are closed before the application sees them"),
        (Report(guarded=False, reason="seccomp: refused"), "cannot be kept out here: seccomp: ref"),
    ):
        monkeypatch.setattr(third_party, "probe", partial(copy, answer))
        main(["doctor", "--json", "listed"], host=full.host(), points=points)
        assert said in told(capsys)["listed"]["transport_note"]


def test_only_entries_asked_about_are_loaded(full: Machine, point: MakePoint) -> None:
    def bomb() -> Mapping[str, object]:
        raise SystemExit("loaded")

    points = [point("bomb", bomb)]
    assert main(["doctor", "openrefine"], host=full.host(), points=points) == 0


def test_ours_are_not_listed_twice() -> None:
    assert not {"openrefine", "rstudio"} & {each.name for each in third_party.installed()}


@pytest.mark.parametrize("command", [["doctor"], ["list"]])
def test_eighty_columns_and_no_colour_off_a_terminal(
    command: list[str], full: Machine, point: MakePoint, capsys: pytest.CaptureFixture[str]
) -> None:
    full.env["HOME"] = "/home/alice"
    program = "/opt/" + "a" * 20 + "/bin/thing"
    points = [point("listed", lambda: {"command": [program, *["--flag=value"] * 20]})]
    main(command, host=full.host(), points=points)
    text = capsys.readouterr().out
    assert "\033" not in text
    # A word that is longer by itself, as paths of this test are, stays whole: it can be copied.
    long = [line for line in text.splitlines() if len(line) > 80]
    assert all(len(line.removeprefix("  starts with").strip(" \\").split()) == 1 for line in long)


def test_colour_does_not_shift_the_columns() -> None:
    found = [
        Finding(name="available", title="A", described_by="one", available=True),
        Finding(name="b", title="B", described_by="two", available=False, reason="No."),
    ]
    plain = table(found)
    painted = table(found, colour=True)
    assert painted != plain
    for code in ("\033[32m", "\033[31m", "\033[0m"):
        painted = painted.replace(code, "")
    assert painted == plain
    first, second = plain.splitlines()[1:3]
    assert first.index("one") == second.index("two")
    assert "\033[31mnot available" in report(found, colour=True)


@pytest.mark.parametrize(
    ("argument", "shown"),
    [
        ("--token=abc", f"--token={MASK}"),
        ("-Ddb.password=/abc", f"-Ddb.password={MASK}"),
        ("API_KEY=abc", f"API_KEY={MASK}"),
        ("--ssl-key=/etc/key.pem", "--ssl-key=/etc/key.pem"),
        ("--ssl-key=abc", f"--ssl-key={MASK}"),
        ("--token={port}", "--token={port}"),
        ("--secure-cookie-key-file=/a", "--secure-cookie-key-file=/a"),
        ("https://me:word@host/x", f"https://{MASK}@host/x"),
        ("--auth-none=1", "--auth-none=1"),
        ("--token=", "--token="),
    ],
)
def test_secrets_are_masked(argument: str, shown: str) -> None:
    assert masked([argument]) == (shown,)


def test_a_secret_after_its_option_is_masked() -> None:
    assert masked(["x", "--password", "abc", "--key", "/a", "--no-token", "-v"]) == (
        "x",
        "--password",
        MASK,
        "--key",
        "/a",
        "--no-token",
        "-v",
    )


def test_ours_need_no_jupyter() -> None:
    text = (
        "import sys; from serverproxy.cli import main; main(['doctor', 'openrefine', 'rstudio']);"
        "sys.exit(any(name.split('.')[0] in {'jupyter_server', 'jupyter_server_proxy', 'traitlets',"
        " 'jupyter_core', 'jupyterlab', 'labext'} for name in sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", text],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "OpenRefine" in done.stdout


def test_a_closed_pipe_is_no_accident() -> None:
    command = f"{sys.executable} -m serverproxy.cli doctor --json | head -c 1"
    done = subprocess.run(
        ["/bin/sh", "-c", command],
        cwd=Path(__file__).parents[3],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("{", "")
