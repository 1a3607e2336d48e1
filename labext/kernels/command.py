"""How a kernel's command line is wrapped so that it opts in. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
BOOT = Path(__file__).with_name("boot.py")
ALIGNED = Path(__file__).with_name("aligned") / "start.py"
_IPYTHON_FAMILY = frozenset({"ipykernel_launcher", "ipykernel"})
# Options after which Python would not read the hash seed from its environment, or would stay.
_UNFIT_OPTIONS = re.compile(r"-[A-Za-z]*[EIi]")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_FIRST_KEPT = (6, 10)


def opt_in_survives_exec(release: str) -> bool:
    """Whether Linux `release` (as from uname) scans memory opted in before exec: 6.10 and later.

    A release that cannot be read counts as recent. Distributions may have mended an older one;
    opting in once more from inside does no harm there.
    """
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= _FIRST_KEPT


def through_launcher(
    command: Sequence[str], *, python: str, report_fd: int, layout: str = "own"
) -> list[str]:
    """The command behind `launch`, run by `python` (the server's, isolated and without site).

    `layout`: see `launch`.
    """
    return [python, "-I", "-S", str(LAUNCHER), str(report_fd), layout, *command]


@dataclass(frozen=True, kw_only=True)
class PythonKernel:
    """A kernel started as ``PROGRAM OPTIONS -m MODULE ARGUMENTS``."""

    program: str
    options: tuple[str, ...]
    module: str
    arguments: tuple[str, ...]


def ipython_kernel(command: Sequence[str]) -> PythonKernel | None:
    """The command of an IPython kernel taken apart; None for any other kernel or form."""
    place = _module_option(command)
    if place is None or command[place + 1] not in _IPYTHON_FAMILY:
        return None
    options = tuple(command[1:place])
    if any(_UNFIT_OPTIONS.match(option) and option[:2] not in {"-X", "-W"} for option in options):
        return None
    return PythonKernel(
        program=command[0],
        options=options,
        module=command[place + 1],
        arguments=tuple(command[place + 2 :]),
    )


def through_boot(command: Sequence[str], *, report_fd: int) -> list[str] | None:
    """A `python -m MODULE` command behind `boot`; None for any other form of command."""
    place = _module_option(command)
    if place is None:
        return None
    return [*command[:place], str(BOOT), str(report_fd), *command[place + 1 :]]


def _module_option(command: Sequence[str]) -> int | None:
    if not command or not _PYTHON.fullmatch(Path(command[0]).name):
        return None
    for place, word in enumerate(command[1:-1], start=1):
        if word == "-m":
            return place
        # An option with its value in the next word (-W, -X, -c) makes the form unsure.
        if not word.startswith("-") or word in {"-c", "-W", "-X", "-"}:
            return None
    return None
