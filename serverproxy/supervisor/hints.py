"""From an exit code and the last lines to a cause and what to do about it. Pure."""

from __future__ import annotations

import re
import signal
from collections.abc import Sequence
from dataclasses import dataclass

from serverproxy.supervisor.gate.report import GATE_DIED
from serverproxy.supervisor.state import Failure


@dataclass(frozen=True, kw_only=True)
class Hint:
    """A known cause: `pattern` in the last lines, and one of `exit_codes` unless that is empty."""

    code: str
    message: str
    fix: str
    pattern: re.Pattern[str] | None = None
    exit_codes: frozenset[int] = frozenset()

    def fits(self, returncode: int | None, text: str) -> bool:
        """Whether it explains this end."""
        if self.exit_codes and returncode not in self.exit_codes:
            return False
        return self.pattern is None or self.pattern.search(text) is not None


def _pattern(text: str) -> re.Pattern[str]:
    return re.compile(text, re.IGNORECASE)


# The first that fits wins: the particular before the general.
HINTS: tuple[Hint, ...] = (
    Hint(
        code="gate_died",
        exit_codes=frozenset({GATE_DIED}),
        pattern=_pattern(r"(?m)^samepage gate: the process "),
        message="The process that kept other users out of its port was killed.",
        fix="Open it again. If that goes on, the memory limit may be too small.",
    ),
    Hint(
        code="rstudio_rpc_key",
        pattern=_pattern(
            r"session-rpc-key.*(permission denied|error 13|system error)"
            r"|(permission denied|error 13).*session-rpc-key"
        ),
        message="RStudio cannot read its key file session-rpc-key, which belongs to root.",
        fix="Remove /var/lib/rstudio-server/session-rpc-key or /etc/rstudio/session-rpc-key when "
        "the image is built, or use RStudio 2026.08 or newer.",
    ),
    Hint(
        code="heap_too_large",
        pattern=_pattern(
            r"could not reserve enough space"
            r"|invalid maximum heap size"
            r"|initial heap size set to a larger value than the maximum"
            r"|insufficient memory for the java runtime"
            r"|failed to map .* for committing reserved memory"
        ),
        message="Java could not reserve its heap: it is larger than the memory that is left.",
        fix="Close other programs or kernels, or set a smaller heap.",
    ),
    Hint(
        code="java_out_of_memory",
        pattern=_pattern(r"java\.lang\.OutOfMemoryError|OutOfMemoryError: "),
        message="Java ran out of heap.",
        fix="Work with less data at once, or give the application a larger heap.",
    ),
    Hint(
        code="java_too_old",
        pattern=_pattern(
            r"UnsupportedClassVersionError|requires java version"
            r"|(needs|requires) (at least )?java \d+"
        ),
        message="The installed Java is too old for this application.",
        fix="Install the Java version its documentation asks for, and point JAVA_HOME to it.",
    ),
    Hint(
        code="no_java",
        pattern=_pattern(
            r"\bjava['\"]?: (command )?not found"
            r"|(could not|cannot|can't) (find|locate)( or load)? (the )?(a )?java\b"
            r"|JAVA_HOME .*(not set|not defined|invalid|does not)"
            r"|no java (runtime|virtual machine)"
        ),
        message="There is no Java.",
        fix="Install a Java runtime, and point JAVA_HOME to it.",
    ),
    Hint(
        code="address_in_use",
        pattern=_pattern(r"address (is )?already in use|EADDRINUSE|port \d+ is (already )?in use"),
        message="The port it was given was taken by another program meanwhile.",
        fix="Try again; each start gets another port.",
    ),
    Hint(
        code="disk_full",
        pattern=_pattern(r"no space left on device|ENOSPC|disk quota exceeded|EDQUOT"),
        message="The disk is full, or your quota is used up.",
        fix="Delete files you do not need, then try again.",
    ),
    Hint(
        code="command_not_found",
        exit_codes=frozenset({127}),
        message="A program it needs is not installed.",
        fix="The last lines below name it. Ask the administrator to install it.",
    ),
    Hint(
        code="command_not_found",
        pattern=_pattern(r": (command )?not found$|ModuleNotFoundError: |No module named "),
        message="A program or module it needs is not installed.",
        fix="The last lines below name it. Ask the administrator to install it.",
    ),
    Hint(
        code="permission_denied",
        exit_codes=frozenset({126}),
        message="Its command may not be executed.",
        fix="Make the file executable, or check that its file system is not mounted noexec.",
    ),
    Hint(
        code="permission_denied",
        pattern=_pattern(r"permission denied|EACCES|PermissionError|AccessDeniedException"),
        message="It may not read or write a file it needs.",
        fix="The last lines below name the file. Check who owns it.",
    ),
)

_READ_ON = "The last lines of its log tell more."


def signal_name(returncode: int | None) -> str | None:
    """Such as "SIGKILL" for -9; None for an exit code."""
    if returncode is None or returncode >= 0:
        return None
    try:
        return signal.Signals(-returncode).name
    except ValueError:
        return f"signal {-returncode}"


def explain_exit(
    title: str,
    *,
    returncode: int | None,
    was_ready: bool,
    log_tail: Sequence[str],
    oom_kills: int | None,
) -> Failure:
    """Failure for an application that ended by itself.

    returncode: as of subprocess; None when unknown. oom_kills: how many processes the kernel killed
    for memory in our control group during the run; None when it does not tell.
    """
    when = "while it was running" if was_ready else "before it answered"
    name = signal_name(returncode)
    exit_code = returncode if name is None else None

    def failure(code: str, message: str, fix: str) -> Failure:
        return Failure(
            code=code,
            message=message,
            fix=fix,
            exit_code=exit_code,
            signal=name,
            log_tail=tuple(log_tail),
        )

    # A shell reports a child that a signal killed as 128 + its number.
    if oom_kills and returncode in (-signal.SIGKILL, 128 + signal.SIGKILL, None):
        return failure(
            "out_of_memory",
            f"{title} was killed {when}, because the memory limit was reached.",
            "Close other kernels or programs, or work with less data at once, then try again.",
        )
    text = "\n".join(log_tail)
    for hint in HINTS:
        if hint.fits(returncode, text):
            return failure(hint.code, f"{title} ended {when}. {hint.message}", hint.fix)
    if name is not None:
        return failure("killed", f"{title} was ended by {name} {when}.", _READ_ON)
    code = "crashed" if was_ready else "exited_early"
    told = "with an unknown exit code" if exit_code is None else f"with exit code {exit_code}"
    return failure(code, f"{title} ended {told} {when}.", _READ_ON)


def explain_timeout(title: str, *, waited_s: float, log_tail: Sequence[str]) -> Failure:
    """Failure for an application that runs but does not answer in time."""
    text = "\n".join(log_tail)
    hint = next((one for one in HINTS if one.pattern and one.fits(None, text)), None)
    message = f"{title} did not answer within {waited_s:g} s and was stopped."
    return Failure(
        code="start_timeout",
        message=f"{message} {hint.message}" if hint else message,
        fix=hint.fix if hint else f"Try again when the machine is less busy. {_READ_ON}",
        log_tail=tuple(log_tail),
        cause=hint.code if hint else None,
    )
