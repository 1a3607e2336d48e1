"""How a kernel's command line is wrapped so that it opts in. Pure."""

import re
from collections.abc import Sequence
from pathlib import Path

LAUNCHER = Path(__file__).with_name("launch.py")
BOOT = Path(__file__).with_name("boot.py")
_PYTHON = re.compile(r"(python|pypy)[0-9.]*")
_FIRST_KEPT = (6, 10)


def opt_in_survives_exec(release: str) -> bool:
    """Whether Linux `release` (as from uname) scans memory opted in before exec: 6.10 and later.

    A release that cannot be read counts as recent. Distributions may have mended an older one;
    opting in once more from inside does no harm there.
    """
    numbers = re.match(r"(\d+)\.(\d+)", release)
    return numbers is None or (int(numbers[1]), int(numbers[2])) >= _FIRST_KEPT


def through_launcher(command: Sequence[str], *, python: str, report_fd: int) -> list[str]:
    """The command behind `launch`, run by `python` (the server's, isolated and without site)."""
    return [python, "-I", "-S", str(LAUNCHER), str(report_fd), *command]


def through_boot(command: Sequence[str], *, report_fd: int) -> list[str] | None:
    """A `python -m MODULE` command behind `boot`; None for any other form of command."""
    if not command or not _PYTHON.fullmatch(Path(command[0]).name):
        return None
    for place, word in enumerate(command[1:-1], start=1):
        if word == "-m":
            return [*command[:place], str(BOOT), str(report_fd), *command[place + 1 :]]
        # An option with its value in the next word (-W, -X, -c) makes the form unsure.
        if not word.startswith("-") or word in {"-c", "-W", "-X", "-"}:
            return None
    return None
