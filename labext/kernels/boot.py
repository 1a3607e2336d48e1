"""Opts a Python kernel in to KSM from inside, for Linux before 6.10. Standard library only.

Run by the *kernel's* Python in place of ``-m MODULE``:
``python boot.py REPORT_FD MODULE [ARGUMENT ...]``. Linux 6.4 to 6.6 drop the opt-in at exec, 6.7
to 6.9 keep the mark but never scan the new memory (mended by commit 3a9e567ca45f), so there it
has to be made after exec. Setting a mark that is set already does nothing: clear it first.

Then the module runs through the function that ``-m`` itself uses, with the same ``sys.argv``,
``sys.path`` and ``__main__``. Only ``sys.orig_argv`` and the process list show the difference.
The report is that of `launch`. Any Python from 3.6 on must be able to run this file.
"""

import os
import sys
from pathlib import Path

PR_SET_MEMORY_MERGE = 67


def opt_in() -> "str | None":
    """None on success, else why the kernel refused."""
    try:
        import ctypes

        prctl = ctypes.CDLL(None, use_errno=True).prctl
        prctl.argtypes = [ctypes.c_int] + [ctypes.c_ulong] * 4
        for value in (0, 1):
            if prctl(PR_SET_MEMORY_MERGE, value, 0, 0, 0) != 0:
                return os.strerror(ctypes.get_errno())
    except Exception as err:  # noqa: BLE001 - the kernel must start whatever happened here
        return f"{type(err).__name__}: {err}"
    return None


def main() -> None:
    """Opt in, report, and run the module as ``-m`` does."""
    descriptor, module = int(sys.argv[1]), sys.argv[2]
    reason = opt_in()
    try:
        line = "merge yes" if reason is None else f"merge no {reason}"
        os.write(descriptor, line.encode(errors="replace") + b"\n")
        os.close(descriptor)
    except OSError:
        pass  # nobody listens any more; the kernel starts all the same
    sys.argv[:3] = [sys.argv[0]]
    if not getattr(sys.flags, "safe_path", False):
        sys.path[0] = str(Path.cwd())
    import runpy

    runpy._run_module_as_main(module)  # type: ignore[attr-defined]  # what `python -m` calls


if __name__ == "__main__":
    main()
