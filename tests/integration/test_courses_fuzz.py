"""docs/courses/merging.md, case 99: random histories; thousands by `benchmarks.course_fuzz`."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.course_fuzz import BrokenPromiseError, Side, _check, one


@pytest.mark.parametrize(("first", "count", "whole"), [(1000, 10, True), (2000, 30, False)])
def test_99_random_histories(tmp_path: Path, first: int, count: int, whole: bool) -> None:
    for seed in range(first, first + count):
        assert one(seed, tmp_path / str(seed), pulls=3, whole=whole)["pulls"] == 6


@pytest.mark.parametrize(
    ("written", "message"),
    [("s1q\n", "did not arrive"), ("t1q\n", "is lost"), ("s1q t1q\n<<<<<<< x\n", "markers")],
)
def test_a_broken_promise_would_be_seen(tmp_path: Path, written: str, message: str) -> None:
    import random

    chance = random.Random(1)
    teacher = Side(folder=tmp_path, who="t", chance=chance, texts={"t1q"})
    student = Side(folder=tmp_path, who="s", chance=chance, texts={"s1q"})
    (tmp_path / "a.txt").write_text(written)
    with pytest.raises(BrokenPromiseError, match=message):
        _check(teacher, student)
