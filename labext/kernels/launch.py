"""Opts this process in to KSM, then becomes the command it was given. Standard library only.

Run as ``python -I -S launch.py REPORT_FD COMMAND [ARGUMENT ...]``. Because of exec the kernel
keeps this process id, so interrupts, polling and parent checks work as without the launcher.
Whatever goes wrong before exec is reported and the command runs all the same.

Report, lines of text on REPORT_FD (closed by a successful exec): ``merge yes`` or
``merge no REASON``, then ``exec REASON`` when exec itself failed.

Nothing of the launcher may reach the command. Python ignores SIGPIPE and SIGXFSZ, which exec
hands on, and in the C locale it adds LC_CTYPE to its environment (PEP 538): both are undone.

Every kernel waits for this file: it imports no module that costs milliseconds (json, signal and
collections.abc cost 10 each) unless ctypes is missing.
"""

from __future__ import annotations

import os
import sys

PR_SET_MEMORY_MERGE = 67


def opt_in() -> str | None:
    """Mark all memory of this process mergeable: None on success, else why not. Never raises.

    Needs Linux >= 6.4 with CONFIG_KSM and no privilege; children inherit the mark.
    Source: prctl(2), PR_SET_MEMORY_MERGE; unused arguments must be zero.
    """
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl.argtypes = [ctypes.c_int, *[ctypes.c_ulong] * 4]
        prctl.restype = ctypes.c_int
        if prctl(PR_SET_MEMORY_MERGE, 1, 0, 0, 0) == 0:
            return None
        return os.strerror(ctypes.get_errno())
    except Exception as err:  # noqa: BLE001 - the kernel must start whatever happened here
        return f"{type(err).__name__}: {err}"


def restore_signals() -> None:
    """Give SIGPIPE and SIGXFSZ their default action again, as a stock start does."""
    try:
        import ctypes

        set_action = ctypes.CDLL(None).signal
        set_action.argtypes = [ctypes.c_int, ctypes.c_void_p]
        set_action.restype = ctypes.c_void_p
        # Their numbers on every Linux with CPython wheels (x86, ARM, POWER, s390, RISC-V).
        for number in (13, 25):
            set_action(number, None)
    except Exception:  # noqa: BLE001 - no ctypes here: the slow way is as good
        import signal

        for name in (signal.SIGPIPE, signal.SIGXFSZ):
            signal.signal(name, signal.SIG_DFL)


def original_environment() -> dict[bytes, bytes]:
    """The environment this process was started with, before Python changed it."""
    try:
        with open("/proc/self/environ", "rb") as block:  # noqa: PTH123 - pathlib is a slow import
            entries = block.read().split(b"\0")
    except OSError:
        return dict(os.environb)
    pairs = (entry.partition(b"=") for entry in entries if b"=" in entry)
    return {name: value for name, _, value in pairs}


def report(descriptor: int, line: str) -> None:
    """Tell the provisioner; one that is gone must not keep the kernel from starting."""
    try:
        os.write(descriptor, line.replace("\n", " ").encode(errors="replace") + b"\n")
    except OSError:
        return


def main(argv: list[str]) -> int:
    """Opt in, report, exec ``argv[2:]``; returns only when exec failed (127)."""
    descriptor, command = int(argv[1]), argv[2:]
    os.set_inheritable(descriptor, False)
    reason = opt_in()
    report(descriptor, "merge yes" if reason is None else f"merge no {reason}")
    restore_signals()
    try:
        os.execvpe(command[0], command, original_environment())
    except OSError as err:
        report(descriptor, f"exec {err}")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv))
