"""What makes aligned kernels alike: program, environment and plan. Kernels of one recipe merge."""

import json
import os
import stat
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from .command import ALIGNED, PythonKernel

#: Imported before the student comes, where installed: what the first cell of a course imports.
DEFAULT_MODULES = (
    "numpy",
    "numpy.random",
    "pandas",
    "matplotlib.pyplot",
    "matplotlib_inline.backend_inline",
    "scipy",
    "sklearn",
    "sklearn.linear_model",
    "stack_data",
)
#: What IPython imports at a student's first completion, whatever the course: preloaded always.
TOOLS = ("jedi",)
_KEPT_DESCRIPTOR = 3
_LAUNCHER_SECONDS = 10.0


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """`program` is an absolute path; `layout` as in `launch`; `environment` sorted pairs."""

    program: str
    options: tuple[str, ...]
    environment: tuple[tuple[str, str], ...]
    modules: tuple[str, ...]
    each_seconds: float
    total_seconds: float
    layout: str = "fixed"
    usual_stack: int = 0
    merge_again: bool = False
    arrays: bool = True

    @property
    def longest_seconds(self) -> float:
        """After which its preparation has failed, whatever it is doing."""
        limit = self.total_seconds * (1 + len(self.modules)) + _LAUNCHER_SECONDS
        return min(limit, 3 * self.total_seconds)

    def command(self) -> list[str]:
        """The command line that the launcher becomes."""
        plan = {
            "modules": list(self.modules),
            "each": self.each_seconds,
            "total": self.total_seconds,
            "stack": None if self.layout == "fixed" else [int(self.layout), self.usual_stack],
            "merge_again": self.merge_again,
            "fonts": 0,
            "compiled": 0,
            "arrays": self.arrays,
        }
        start = [str(ALIGNED), str(_KEPT_DESCRIPTOR), json.dumps(plan)]
        return [self.program, *self.options, *start]


def assignment(
    kernel: PythonKernel,
    *,
    command: list[str],
    environment: Mapping[str, str],
    folder: str,
    report: str | None,
    quiet_seconds: float,
    array_bytes: int,
) -> bytes:
    """Whom an aligned kernel is to become, as one line for its socket."""
    fields = {
        "command": command,
        "module": kernel.module,
        "arguments": list(kernel.arguments),
        "environment": dict(environment),
        "folder": folder,
        "report": report,
        "settings": {"quiet_seconds": quiet_seconds, "array_bytes": array_bytes},
    }
    return json.dumps(fields).encode() + b"\n"


def private_cache(
    temporary: Path | None = None, environment: Mapping[str, str] = os.environ
) -> str:
    """A folder for caches of the preload (fonts), at the same path for all of one uid: below
    XDG_RUNTIME_DIR, where nobody else can make it first, else below the temporary folder.

    Errors: OSError when somebody else owns it or others may write there.
    """
    user = os.getuid()
    # As many digits as make all paths equally long: the length of a path shifts the heap.
    digits = 10
    base = Path(environment.get("XDG_RUNTIME_DIR", ""))
    if _is_ours(base):
        if base.name == str(user):
            digits = 20 - len(base.name)
    else:
        base = temporary if temporary is not None else Path(tempfile.gettempdir())
    folder = base / f"samepage-{user:0{digits}d}"
    folder.mkdir(mode=0o700, exist_ok=True)
    if not _is_ours(folder):
        raise PermissionError(f"{folder} is not a folder of this user alone")
    return str(folder)


def _is_ours(folder: Path) -> bool:
    """Whether nobody else can write there, or put a link in its place."""
    try:
        found = folder.lstat()
    except OSError:
        return False
    return (
        folder.is_absolute()
        and stat.S_ISDIR(found.st_mode)
        and found.st_uid == os.getuid()
        and not found.st_mode & 0o077
    )
