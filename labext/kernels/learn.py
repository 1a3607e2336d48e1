"""Which installed packages this user's kernels really import: ``python -m labext.kernels.learn``.

Kernels report names when they are quiet (`aligned.attendant`); when one ends its names are added to
`samepage/imports.json` in the Jupyter data folder: counts of kernels by name, nothing else. The
most frequent ones belong into `preload_modules`.
"""

import contextlib
import json
import os
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path

from jupyter_core.paths import jupyter_data_dir

_MOST_NAMES = 2000


def imports_file() -> Path:
    """Where the counts are."""
    return Path(jupyter_data_dir()) / "samepage" / "imports.json"


def add(counts: Mapping[str, int], names: Iterable[str]) -> dict[str, int]:
    """The counts with one kernel more; the rarest are forgotten beyond 2000 names. Pure."""
    total = Counter(counts)
    total.update(set(names))
    return dict(total.most_common(_MOST_NAMES))


def suggested(counts: Mapping[str, int], share: float = 0.3) -> list[str]:
    """What at least this share of the kernels imported, packages before their parts. Pure."""
    most = max(counts.values(), default=0)
    wanted = [name for name, count in counts.items() if count >= share * most]
    return sorted(wanted, key=lambda name: (name.count("."), -counts[name], name))


def read(file: Path) -> dict[str, int]:
    """The counts so far; {} when there are none, or none that can be read."""
    try:
        found = json.loads(file.read_text())
    except (OSError, ValueError):
        return {}
    if not isinstance(found, dict):
        return {}
    return {str(k): v for k, v in found.items() if isinstance(v, int)}


def take_in(report: Path, *, file: Path) -> None:
    """Add an ended kernel's report, if it wrote one, and delete it. Errors: OSError."""
    try:
        names = json.loads(report.read_text())["modules"]
    except FileNotFoundError:
        return
    except (OSError, ValueError, KeyError, TypeError):
        names = []
    with contextlib.suppress(FileNotFoundError):
        report.unlink()
    if not names:
        return
    file.parent.mkdir(parents=True, exist_ok=True)
    beside = file.with_name(f"{file.name}.{os.getpid()}")
    beside.write_text(json.dumps(add(read(file), map(str, names))))
    beside.replace(file)


def main() -> int:
    """Print what to preload, as a value for SAMEPAGE_PRELOAD."""
    counts = read(imports_file())
    if not counts:
        print("No kernel has reported its imports yet.", file=sys.stderr)
        return 1
    for name in suggested(counts):
        print(f"{counts[name]:6} {name}", file=sys.stderr)
    print(" ".join(suggested(counts)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
