"""Writes the JSON schema of a course manifest, for editors: docs/courses/*.schema.json."""

from __future__ import annotations

import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def main() -> int:
    """0 when it is written."""
    sys.path.insert(0, str(ROOT))
    from labext.courses.manifest.schema import published

    file = ROOT / "docs" / "courses" / "samepage-course.schema.json"
    file.write_text(json.dumps(published(), indent=2) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
