"""The numbers of docs/sizing.md are those of the benchmarks."""

from __future__ import annotations

import pytest

from scripts.sizing_page import PAGE, PageError, measured, rendered

MEMORY = """
## Per student, 40 students (share of (a) in brackets)

| way | after imports, MB | of the possible | after the notebooks, MB | of the possible |
| --- | --- | --- | --- | --- |
| (a) Linux as it comes | 150.0 (100%) | 0% | 200.0 (100%) | 0% |
| (f) Samepage | 15.0 (10%) | 99% | 30.0 (15%) | 98% |

Made 2026-11-22 11:10 UTC
"""
AGENT = "| mode | RSS, MB | CPU, of one core |\n|---|---|---|\n| tune | 33.1 | 0.23% |\n"


def test_the_page_is_what_the_benchmarks_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "type: make sizing"


def test_rows_become_a_table() -> None:
    made = measured(MEMORY, AGENT)
    assert "Kernels of a class of 40" in made
    assert "| (a) Linux as it comes | 150 | 200 | 100% |" in made
    assert "| (f) Samepage | 15 | 30 | 15% |" in made
    assert "33.1 MB and 0.23% of a core" in made


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(f)", "(x)", "no way"),
        ("| way", "| what", "0 tables"),
        ("150.0 (100%)", "- (100%)", "no number"),
        ("40 students", "students", "how many"),
    ],
)
def test_another_benchmark_is_noticed(old: str, new: str, said: str) -> None:
    with pytest.raises(PageError, match=said):
        measured(MEMORY.replace(old, new), AGENT)
