"""The course's repository: the same commits everywhere, updates on top."""

from __future__ import annotations

import json
import os
import re
import subprocess
from pathlib import Path

import nbformat
import pytest

from demo import course_repository
from demo.course_repository import CourseError


def git(repository: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["git", *arguments],
        cwd=repository,
        capture_output=True,
        text=True,
        check=True,
        env={"PATH": os.environ["PATH"], "GIT_CONFIG_GLOBAL": os.devnull},
    )
    return done.stdout


@pytest.fixture(scope="module")
def first(tmp_path_factory: pytest.TempPathFactory) -> course_repository.Course:
    return course_repository.ensure(tmp_path_factory.mktemp("first"), stations=1)


@pytest.fixture
def own(first: course_repository.Course, tmp_path: Path) -> course_repository.Course:
    """A copy to change."""
    path = tmp_path / first.path.name
    git(tmp_path, "clone", "--quiet", "--mirror", str(first.path), str(path))
    digest = git(first.path, "config", course_repository.DIGEST_KEY).strip()
    git(path, "config", course_repository.DIGEST_KEY, digest)
    return course_repository.Course(path=path, commit=first.commit, built=False)


def test_the_same_commit_whatever_the_user_has_set(
    first: course_repository.Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = tmp_path / "home"
    home.mkdir()
    (home / ".gitconfig").write_text(
        "[user]\n name = Someone\n[core]\n autocrlf = true\n[commit]\n gpgsign = true\n"
        "[init]\n defaultBranch = trunk\n"
    )
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_AUTHOR_DATE", "2001-01-01T00:00:00Z")
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "elsewhere"))
    monkeypatch.setenv("TZ", "Asia/Tokyo")
    again = course_repository.ensure(tmp_path / "again", stations=1)
    assert again.built
    assert again.commit == first.commit
    assert not (tmp_path / "elsewhere").exists()


def test_what_is_in_it(first: course_repository.Course) -> None:
    assert first.built
    names = git(first.path, "ls-tree", "-r", "--name-only", "main").split()
    assert {"README.md", "data/bike_counts.csv", "data/stations.csv"} < set(names)
    assert sum(name.endswith(".ipynb") for name in names) == 5
    assert git(first.path, "fsck", "--strict", "--no-progress") == ""
    assert git(first.path, "symbolic-ref", "HEAD").strip() == "refs/heads/main"
    packs = list((first.path / "objects/pack").glob("*.pack"))
    assert len(packs) == 1


def test_a_second_call_makes_nothing(first: course_repository.Course) -> None:
    again = course_repository.ensure(first.path.parent, stations=1)
    assert not again.built
    assert again.commit == first.commit
    assert [path.name for path in first.path.parent.iterdir()] == [first.path.name]


def test_updates_follow_each_other(own: course_repository.Course) -> None:
    root = own.path.parent
    update = course_repository.publish_update(root)
    assert update.number == 1
    assert git(own.path, "rev-parse", "main^").strip() == own.commit
    changes = git(own.path, "diff", "--name-status", "main^", "main").split()
    assert changes == ["M", "03-pandas.ipynb", "A", "NEWS.md"]

    for number in range(2, len(course_repository.QUESTIONS) + 2):
        assert course_repository.publish_update(root).number == number
    notebook = json.loads(git(own.path, "show", "main:03-pandas.ipynb"))
    nbformat.validate(notebook)
    ids = [cell["id"] for cell in notebook["cells"]]
    assert len(set(ids)) == len(ids)
    assert git(own.path, "show", "main:NEWS.md").count("## Week") == 6


def test_the_first_update_changes_a_cell_that_students_answer(
    own: course_repository.Course,
) -> None:
    course_repository.publish_update(own.path.parent)
    changed = git(own.path, "diff", "-U0", "main^", "main", "--", "03-pandas.ipynb")
    gone = [line for line in changed.splitlines() if re.match("-[^-]", line)]
    assert gone == ['-    "# Your code here\\n"']
    assert course_repository.CLEARER.strip() in changed


def test_a_later_update_only_adds_lines(own: course_repository.Course) -> None:
    """A rewritten notebook would be a conflict for everyone who worked in it."""
    course_repository.publish_update(own.path.parent)
    course_repository.publish_update(own.path.parent)
    added, removed, _ = git(
        own.path, "diff", "--numstat", "main^", "main", "--", "03-pandas.ipynb"
    ).split()
    assert int(added) > 10
    assert int(removed) == 0


def test_a_changed_course_is_a_commit_on_top(
    own: course_repository.Course, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = own.path.parent
    published = course_repository.publish_update(root)
    revised = tmp_path / "revised"
    revised.mkdir()
    for path in course_repository.course_files()[1:]:
        (revised / path.name).write_bytes(path.read_bytes())
    (revised / "README.md").write_text("# New\n")
    monkeypatch.setattr(course_repository, "COURSE_FOLDER", revised)
    course = course_repository.ensure(root, stations=1)
    assert course.built
    assert git(own.path, "rev-parse", "main^").strip() == published.commit
    assert git(own.path, "show", "main:README.md") == "# New\n"
    names = git(own.path, "ls-tree", "-r", "--name-only", "main").split()
    assert "01-first-steps.ipynb" not in names
    assert "NEWS.md" in names
    assert not course_repository.ensure(root, stations=1).built
    assert course_repository.publish_update(root).number == 2


def test_a_start_that_was_killed_leaves_nothing(tmp_path: Path) -> None:
    half = tmp_path / f".{course_repository.NAME}.abc/new.git"
    half.mkdir(parents=True)
    assert course_repository.ensure(tmp_path, stations=1).built
    assert [path.name for path in tmp_path.iterdir()] == [f"{course_repository.NAME}.git"]


def test_an_update_without_a_course(tmp_path: Path) -> None:
    with pytest.raises(CourseError, match="Start the demo once"):
        course_repository.publish_update(tmp_path)


def test_a_damaged_repository_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / f"{course_repository.NAME}.git").mkdir()
    with pytest.raises(CourseError, match=r"rev-parse .* failed: "):
        course_repository.ensure(tmp_path, stations=1)


def test_with_exercise_keeps_the_rest() -> None:
    before = {"cells": [{"id": "a"}], "metadata": {"x": "ä"}, "nbformat": 4, "nbformat_minor": 5}
    text = course_repository.with_exercise(json.dumps(before), 3, "Why?", "Because.")
    after = json.loads(text)
    assert "ä" in text
    assert after["cells"][0] == {"id": "a"}
    assert [cell["id"] for cell in after["cells"][1:]] == ["week-03-question", "week-03-answer"]
