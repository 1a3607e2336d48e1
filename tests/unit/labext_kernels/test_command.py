import pytest

from labext.kernels.command import ALIGNED, BOOT, LAUNCHER, opt_in_survives_exec, through_boot
from labext.kernels.command import through_launcher as launcher
from nodeagent.ksm import processes


def test_a_template_is_known_by_its_script() -> None:
    """The agent imports nothing of ours, and counts what a fork shares once."""
    assert f"{ALIGNED}\0".endswith(processes._TEMPLATE)


@pytest.mark.parametrize(
    ("release", "survives"),
    [
        ("6.4.0", False),
        ("6.8.0-45-generic", False),
        ("6.9.12", False),
        ("6.10.0", True),
        ("6.18.44-fc", True),
        ("7.2.13", True),
        ("5.15.0", False),
        ("unknown", True),
    ],
)
def test_releases_that_keep_an_opt_in_over_exec(release: str, survives: bool) -> None:
    assert opt_in_survives_exec(release) is survives


def test_the_launcher_gets_the_command_unchanged() -> None:
    command = ["/opt/R/bin/R", "--slave", "-e", "IRkernel::main()", "--args", "x y", "--", "-I"]
    wrapped = launcher(command, python="/usr/bin/python3", report_fd=7)
    assert wrapped == ["/usr/bin/python3", "-I", "-S", str(LAUNCHER), "7", "own", *command]


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        pytest.param(
            ["/v/bin/python3.12", "-m", "ipykernel_launcher", "-f", "c.json"],
            ["/v/bin/python3.12", str(BOOT), "5", "ipykernel_launcher", "-f", "c.json"],
            id="ipykernel",
        ),
        pytest.param(
            ["python", "-Xfrozen_modules=off", "-m", "xeus", "-f", "c"],
            ["python", "-Xfrozen_modules=off", str(BOOT), "5", "xeus", "-f", "c"],
            id="options of Python stay in front",
        ),
        pytest.param(["python", "kernel.py", "-m", "x"], None, id="a script"),
        pytest.param(["python", "-c", "import x", "-m", "x"], None, id="code"),
        pytest.param(["python", "-W", "error", "-m", "x"], None, id="option with a value"),
        pytest.param(["R", "-m", "x"], None, id="not Python"),
        pytest.param(["python", "-m"], None, id="no module"),
        pytest.param(["python"], None, id="bare"),
        pytest.param([], None, id="empty"),
    ],
)
def test_only_python_modules_start_from_inside(
    command: list[str], expected: list[str] | None
) -> None:
    assert through_boot(command, report_fd=5) == expected
