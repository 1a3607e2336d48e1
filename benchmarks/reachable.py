"""Lets other users run this interpreter, for this process and its children only.

An interpreter below a private home cannot be run by the students' users. Instead of
opening that home, the benchmark starts itself again in a mount namespace of its own, in which the
home holds nothing but the interpreter.
"""

import os
import signal
import stat
import sys
import tempfile
from pathlib import Path

_MARK = "SAMEPAGE_BENCHMARK_REACHABLE"
_SCRIPT = """
set -e
mount --make-rprivate /
mount --bind "$2" "$3"
mount -t tmpfs -o mode=755 samepage "$1"
mkdir -p "$2"
mount --move "$3" "$2"
rmdir "$3"
shift 3
exec "$@"
"""


def blocked_by(path: Path) -> Path | None:
    """The first folder on the way to `path` that other users may not pass; None: none."""
    for folder in (*reversed(path.parents), path):
        if folder.is_dir() and not folder.stat().st_mode & stat.S_IXOTH:
            return folder
    return None


def end_on_signal() -> None:
    """Have SIGTERM unwind, so that KSM is put back."""
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))


def ensure(module: str) -> None:
    """Call first of all. Returns where nothing is in the way; else becomes the module, run anew.

    `module`: as in `python -m`. Needs root.
    """
    prefix = Path(sys.base_prefix)
    wall = blocked_by(prefix)
    if wall is None or os.environ.get(_MARK):
        return
    place = tempfile.mkdtemp(prefix="samepage-reachable-")
    again = [sys.executable, "-m", module, *sys.argv[1:]]
    shell = ["unshare", "--mount", "sh", "-c", _SCRIPT, "sh", str(wall), str(prefix), place]
    # Exec all the way: a signal to the benchmark must reach the benchmark.
    os.execvpe(shell[0], [*shell, *again], os.environ | {_MARK: "1"})
