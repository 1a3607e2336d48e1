"""Opts this process in to KSM, then becomes the command it was given. Standard library only.

Run as ``python -I -S launch.py REPORT_FD LAYOUT COMMAND [ARGUMENT ...]``. Because of exec the
kernel keeps this process id, so interrupts, polling and parent checks work as without the launcher.

LAYOUT ``own``: the command is a kernel as it is. Whatever goes wrong before exec is reported and
the command runs all the same. REPORT_FD is closed by a successful exec.

LAYOUT ``fixed`` or a number of bytes: the command is the start of an aligned kernel. Address
randomisation is off in it; a number becomes its stack limit, which moves all mappings by an amount
that only those know who know the number. REPORT_FD is a socket and stays open in the command, as
descriptor 3. Descriptors 0 to 2 are kept as 4 to 6 and are the null device until the kernel knows
whose it is: what Python allocates for a file, a pipe and a terminal differs. When a step is refused
the launcher ends: there is another way to start the kernel.

Report, lines of text on REPORT_FD: ``merge yes`` or ``merge no REASON``; with a layout also
``merge later`` (this Linux has no such call), ``layout yes`` or ``layout no REASON``;
``exec REASON`` when exec itself failed.

Nothing of the launcher may reach the command. Python ignores SIGPIPE and SIGXFSZ, which exec
hands on, and in the C locale it adds LC_CTYPE to its environment (PEP 538): both are undone.

Every kernel waits for this file: it imports no module that costs milliseconds (json, signal and
collections.abc cost 10 each) unless ctypes is missing.
"""

from __future__ import annotations

import os
import sys

PR_SET_MEMORY_MERGE = 67
ADDR_NO_RANDOMIZE = 0x0040000
EINVAL = 22
KEPT_DESCRIPTOR = 3
KEPT_STREAMS = (4, 5, 6)


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


def fix_layout(stack: int | None) -> str | None:
    """Switch off address randomisation for what this process becomes: None, or why not.

    `stack` is the limit (bytes) to set for it. Children of the kernel get both back from
    `aligned.layout`. Refused by the seccomp profiles of Docker and containerd.
    Source: personality(2), setrlimit(2).
    """
    try:
        import ctypes

        personality = ctypes.CDLL(None, use_errno=True).personality
        personality.argtypes = [ctypes.c_ulong]
        current = personality(0xFFFFFFFF)
        if current == -1 or personality(current | ADDR_NO_RANDOMIZE) == -1:
            return os.strerror(ctypes.get_errno())
        if stack is not None:
            import resource

            hard = resource.getrlimit(resource.RLIMIT_STACK)[1]
            resource.setrlimit(resource.RLIMIT_STACK, (stack, hard))
    except Exception as err:  # noqa: BLE001 - as in opt_in
        return f"{type(err).__name__}: {err}"
    return None


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


def set_streams_aside() -> None:
    """Keep descriptors 0 to 2 as 4 to 6, those that are open, and put the null device there.

    Whatever else is open at these numbers is closed. Errors: OSError.
    """
    for number, kept in enumerate(KEPT_STREAMS):
        try:
            os.dup2(number, kept)
        except OSError:  # it is closed, and is to be closed in the kernel
            with_nothing(kept)
    null = os.open(os.devnull, os.O_RDWR)
    for number in range(3):
        os.dup2(null, number)
    if null > 2:
        os.close(null)


def with_nothing(descriptor: int) -> None:
    """Close it if it is open."""
    try:
        os.close(descriptor)
    except OSError:
        return


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
    """Opt in, report, exec ``argv[3:]``; returns only when that cannot be (0 or 127)."""
    descriptor, layout, command = int(argv[1]), argv[2], argv[3:]
    os.set_inheritable(descriptor, False)
    reason = opt_in()
    # Linux before 6.4: an aligned kernel can opt in what it has loaded, region by region.
    later = layout != "own" and reason == os.strerror(EINVAL)
    answer = "later" if later else "yes" if reason is None else f"no {reason}"
    report(descriptor, f"merge {answer}")
    environment = original_environment()
    if layout != "own":
        if reason is not None and not later:
            return 0
        reason = fix_layout(None if layout == "fixed" else int(layout))
        report(descriptor, "layout yes" if reason is None else f"layout no {reason}")
        if reason is not None:
            return 0
        # Differs between servers, and would be read before the kernel knows whose it is.
        environment.pop(b"JPY_PARENT_PID", None)
        if descriptor != KEPT_DESCRIPTOR:
            os.dup2(descriptor, KEPT_DESCRIPTOR)
            os.close(descriptor)
            descriptor = KEPT_DESCRIPTOR
        else:
            os.set_inheritable(descriptor, True)
        try:
            set_streams_aside()
        except OSError as err:
            report(descriptor, f"streams {err}")
            return 0
    restore_signals()
    try:
        os.execvpe(command[0], command, environment)
    except OSError as err:
        report(descriptor, f"exec {err}")
    return 127


if __name__ == "__main__":
    sys.exit(main(sys.argv))
