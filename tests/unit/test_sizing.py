"""The numbers of docs/sizing.md are those of the benchmarks."""

from __future__ import annotations

import pytest

from scripts.sizing_page import MEMORY as MEASURED
from scripts.sizing_page import PAGE, ROOT, PageError, class_of_sixteen, measured, rendered

MEMORY = """
## 8 students: MB per student (share of (a) in brackets)

| way | after imports | with template | after the notebooks | with template |
| --- | --- | --- | --- | --- |
| (a) Linux as it comes | 1 (100%) | - | 2 (100%) | - |

## 16 students: MB per student (share of (a) in brackets)

| way | after imports | with template | after the notebooks | with template |
| --- | --- | --- | --- | --- |
| (a) Linux as it comes | 150.0 (100%) | - | 200.0 (100%) | - |
| (f) Samepage | 15.0 (10%) | 20.0 | 30.0 (15%) | 34.5 |

## 16 students: cost

| way | CPU, s |
| --- | --- |
| (f) Samepage | 5 |

Made 2026-11-22 11:10 UTC
"""
AGENT = "| mode | RSS, MB | CPU, of one core |\n|---|---|---|\n| tune | 33.1 | 0.23% |\n"


def test_the_page_is_what_the_benchmarks_say() -> None:
    assert PAGE.read_text(encoding="utf-8") == rendered(), "type: make sizing"


def test_the_first_page_says_what_was_measured() -> None:
    stock, ours = class_of_sixteen(MEASURED.read_text(encoding="utf-8"))
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert (
        f"takes {ours.idle:.0f} MB after the usual imports in place of {stock.idle:.0f}" in readme
    )
    assert f"and {ours.worked:.0f} after the sample course's four notebooks" in readme
    assert f"in place of {stock.worked:.0f} ([measured]" in readme


def test_rows_become_a_table() -> None:
    made = measured(MEMORY, AGENT)
    assert "Kernels of a class of 16" in made
    assert "| (a) Linux as it comes | 150 | 200 | 100% | - |" in made
    assert "| (f) Samepage | 15 | 30 | 15% | 34.5 |" in made
    assert "33.1 MB and 0.23% of a core" in made


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("(f)", "(x)", "no way"),
        ("| way", "| what", "0 tables"),
        ("150.0 (100%)", "- (100%)", "no number"),
        ("16 students: MB", "15 students: MB", "no class of 16"),
    ],
)
def test_another_benchmark_is_noticed(old: str, new: str, said: str) -> None:
    with pytest.raises(PageError, match=said):
        measured(MEMORY.replace(old, new), AGENT)
