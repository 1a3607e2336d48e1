"""The memory benchmark's own arithmetic: who comes first, when 90 % was reached, what differs."""

import argparse
import dataclasses
from pathlib import Path

import pytest

from benchmarks.memory import jobs
from benchmarks.memory_class import visits
from benchmarks.memory_page import notes, ratio_interval, tables
from benchmarks.memory_readings import Use, seconds_to, thinned
from benchmarks.memory_results import (
    ChargeResult,
    ClassResult,
    Made,
    PairResult,
    Results,
    Stage,
    load,
    save,
)

MADE = Made(when="today", command="python -m benchmarks.memory", machine="one core", load=0.1)


def stage(frames: int, to_ninety: float | None = 20.0) -> Stage:
    kernels = Use(mapped=2000, frames=frames, best=frames - 10)
    return Stage(
        kernels=kernels,
        whole=Use(mapped=4000, frames=frames + 50, best=frames),
        machine=frames + 100,
        seconds=60,
        ended="rest",
        to_ninety=to_ninety,
    )


def one(letter: str, frames: int, *, ksmd: float = 3.0, ninety: float | None = 20.0) -> ClassResult:
    return ClassResult(
        letter=letter,
        name=f"way {letter}",
        students=2,
        settings={"stations": 1, "notebooks": ["x"], "apart": 1.0, "patience": 60.0},
        start_seconds=[0.5, 0.7],
        import_seconds=[0.1, 0.1],
        notebook_seconds=[2.0, 2.0],
        aligned=2 if letter == "f" else 0,
        from_spare=0,
        imports=stage(frames, ninety),
        after=stage(frames, ninety),
        ksmd_cpu=ksmd,
        tuner_cpu=0.5,
        idle_share=None if letter == "a" else 0.001,
        idle_seconds=10,
        others_share=0.01,
        curve=[(0.0, 0), (5.0, 100)],
        notebooks_at=30.0,
        made=MADE,
    )


def test_every_class_comes_once_in_an_order_that_the_seed_draws() -> None:
    first = jobs(["16:abc", "8:af"], 1)
    assert sorted(first) == [(8, "a"), (8, "f"), (16, "a"), (16, "b"), (16, "c")]
    assert jobs(["16:abc", "8:af"], 1) == first
    assert any(jobs(["16:abc", "8:af"], seed) != first for seed in range(2, 6))


@pytest.mark.parametrize("text", ["16", "x:af", "16:", "16:xyz"])
def test_a_class_that_cannot_be_read_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="16:abcdef"):
        jobs([text], 1)


def test_seconds_run_from_the_mark_and_are_zero_for_what_was_saved_before() -> None:
    points = [(0.0, 0), (10.0, 50), (20.0, 90), (30.0, 100)]
    assert seconds_to(points, 10.0, 90) == 10.0
    assert seconds_to(points, 10.0, 40) == 0.0
    assert seconds_to(points, 10.0, 101) is None
    assert seconds_to(points, 10.0, 0) is None


def test_what_fell_again_before_the_mark_is_waited_for() -> None:
    assert seconds_to([(0.0, 100), (10.0, 20), (15.0, 100)], 10.0, 90) == 5.0


def test_thinning_keeps_both_ends() -> None:
    points = [(float(number), number) for number in range(1001)]
    kept = thinned(points, 100)
    assert (kept[0], kept[-1]) == (points[0], points[-1])
    assert len(kept) < 130
    assert thinned([], 100) == []


def test_the_interval_holds_the_ratio_and_narrows_with_agreement() -> None:
    middle, low, high = ratio_interval([1.0] * 8, [1.02] * 8)
    assert middle == pytest.approx(1.02)
    assert low == pytest.approx(high)
    _, low, high = ratio_interval([1.0] * 8, [0.8, 1.3] * 4)
    assert low < 1.05 < high


def test_results_come_back_from_their_file_as_they_were(tmp_path: Path) -> None:
    file = tmp_path / "results.json"
    held = Results(classes=[one("a", 2000), one("f", 200)], facts={"not run: d": "no advisor"})
    held.pairs = PairResult(
        settings={},
        start_stock=[1.0, 1.1],
        start_alone=[2.0, 2.1],
        start_spare=[0.2, 0.3],
        import_stock=[2.0, 2.0],
        import_samepage=[0.1, 0.1],
        rounds=[([4.0, 4.1], [4.0, 4.2])],
        tidy_before=[200, 210],
        tidy_after=[180, 190],
        garbage_stock=[300, 300],
        garbage_before=[290, 300],
        garbage_after=[200, 200],
        tidy_seconds=[0.1, 0.1],
        others_share=0.0,
        made=MADE,
    )
    held.put_charge(
        ChargeResult(
            donors=2,
            version="v1",
            unmerged=[100, 100],
            merged=[20, 20],
            restarted=0,
            after_restart=[110, 20],
            settled=[20, 20],
            mapped=[100, 100],
            donor_charge=90,
            made=MADE,
        )
    )
    save(held, file)
    assert load(file) == held
    assert len(tables(held)) == 4


def test_a_way_measured_again_takes_the_old_place() -> None:
    held = Results()
    held.put(one("a", 2000))
    held.put(one("a", 1900))
    assert [each.after.kernels.frames for each in held.classes] == [1900]


def test_targets_are_judged() -> None:
    def told(ours: ClassResult, students: int) -> str:
        ways = [one("a", 2000), one("c", 1900), ours]
        found = Results(classes=[dataclasses.replace(way, students=students) for way in ways])
        return "\n".join(notes(found))

    said = told(one("f", 200), 16)
    assert "after imports: 10% of (a), with templates 12%" in said
    assert said.count(": met.") == 6
    # What a class of two has in common is shared by two: the target is for sixteen.
    assert told(one("f", 200), 2).count(": met.") == 4
    slow = dataclasses.replace(one("f", 900, ksmd=9.0, ninety=None), idle_share=0.02)
    said = told(slow, 16)
    assert said.count("**missed**") == 6
    assert "after > 60 s" in said


def test_students_come_look_around_and_open_their_notebooks() -> None:
    options = argparse.Namespace(apart=2.0, look_around=3.0)
    assert visits(3, True, options) == [
        (0.0, 0, True),
        (2.0, 1, True),
        (3.0, 0, False),
        (4.0, 2, True),
        (5.0, 1, False),
        (7.0, 2, False),
    ]
    assert [(moment, comes) for moment, _, comes in visits(2, False, options)] == [
        (0.0, True),
        (0.0, False),
        (2.0, True),
        (2.0, False),
    ]
