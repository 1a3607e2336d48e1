"""docs/courses/merging.md and the tests have the same numbers."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[3]


def test_every_case_has_a_test_and_every_test_a_case() -> None:
    page = (ROOT / "docs/courses/merging.md").read_text(encoding="utf-8")
    cases = re.findall(r"^\| (\d\d) \|", page, re.MULTILINE)
    files = [
        *(ROOT / "tests/integration").glob("test_courses_promise*.py"),
        ROOT / "tests/integration/test_courses_fuzz.py",
    ]
    tests = {
        number
        for file in files
        for number in re.findall(r"^def test_(\d\d)_", file.read_text(), re.MULTILINE)
    }
    assert len(cases) == len(set(cases))
    assert set(cases) == tests
