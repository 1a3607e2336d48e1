"""The course benchmarks run as a whole, small: figures are not judged here, their working is."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import course_kills, course_pull, course_rush
from benchmarks.course_throttle import Bucket


@pytest.mark.timeout(150)
def test_a_small_class_makes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    small = ["--students", "4", "--spread", "0.3", "--megabytes", "1", "--output", str(tmp_path)]
    assert course_rush.main(small) == 0
    page = (tmp_path / "course_rush.md").read_text()
    assert "| nbgitpuller | 4 of 4 |" in page
    assert "| ours, without cache | 4 of 4 |" in page
    assert "| ours, with cache | 4 of 4 |" in page
    assert "| one upstream fetch per course and node | 1 pack, 5 requests | met |" in page
    assert (tmp_path / "course_rush.png").stat().st_size > 10_000


@pytest.mark.timeout(150)
def test_a_small_course_makes_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("matplotlib")
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    small = ["--rounds", "1", "--files", "60", "--megabytes", "1", "--output", str(tmp_path)]
    assert course_pull.main(small) == 0
    page = (tmp_path / "course_pull.md").read_text()
    assert (
        "| nothing new writes nothing (60 files, 1 MB) | 0 files or folders changed | met |" in page
    )


@pytest.mark.filterwarnings("ignore:This process:DeprecationWarning")
def test_kills_are_counted_and_checked(tmp_path: Path) -> None:
    counts, broken = course_kills.run(8, tmp_path)
    assert broken == []
    assert counts["killed"] >= 7, "the last may come to its end in the moment that is left"
    assert counts["calls in one pull"] > 100


def test_a_lost_file_after_a_kill_would_be_seen(tmp_path: Path) -> None:
    room = course_kills.Room(tmp_path)
    room.course.mkdir(parents=True)
    (room.course / "a.txt").write_text("half")
    with pytest.raises(course_kills.BrokenPromiseError, match="neither the old nor the new"):
        room.check({"a.txt": "old"}, {"a.txt": "new"})
    with pytest.raises(course_kills.BrokenPromiseError, match="is not there"):
        room.check({"a.txt": "half"}, {})


def test_a_bucket_lets_so_much_pass() -> None:
    now = [0.0]
    bucket = Bucket(10.0, 20.0, lambda: now[0])
    assert bucket.take(20.0) == 0.0
    assert bucket.take(5.0) == 0.5
    assert not bucket.try_take(1.0)
    now[0] = 1.0
    assert bucket.try_take(5.0)
    assert not bucket.try_take(1.0)
