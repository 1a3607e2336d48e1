"""Writes deploy/dashboards: `python -m scripts.dashboards [--check]`."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from scripts.dashboards.dashboard import dashboard_json
from scripts.dashboards.gpu import GPU
from scripts.dashboards.node import NODE

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy" / "dashboards"


def rendered() -> dict[Path, str]:
    """Every written file and its text."""
    return {
        FOLDER / f"{board.uid}.json": json.dumps(dashboard_json(board), indent=2) + "\n"
        for board in (NODE, GPU)
    }


def main(arguments: list[str]) -> int:
    """Exit status: 1 when --check finds a file out of date."""
    old = {
        path: text
        for path, text in rendered().items()
        if not path.exists() or path.read_text(encoding="utf-8") != text
    }
    for path, text in old.items():
        name = path.relative_to(ROOT)
        if "--check" in arguments:
            print(f"{name} is out of date. Type: make dashboards", file=sys.stderr)
        else:
            path.write_text(text, encoding="utf-8")
            print(name)
    return 1 if old and "--check" in arguments else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
