"""Assignments of nbgrader, released as folders of a course: what grading relies on survives."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.integration.courses_classroom import Classroom, code


def graded(name: str, source: str, **facts: Any) -> dict[str, Any]:
    """A cell as `nbgrader generate_assignment` writes it."""
    metadata = {
        "deletable": False,
        "editable": not facts.get("locked", False),
        "nbgrader": {
            "cell_type": "code",
            "checksum": f"{len(source):032x}",
            "grade": False,
            "grade_id": name,
            "locked": False,
            "schema_version": 3,
            "solution": False,
            "task": False,
            **facts,
        },
    }
    return code(name, source, metadata=metadata)


def assignment(*cells: dict[str, Any]) -> str:
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    return json.dumps(
        {
            "cells": list(cells),
            "metadata": {"kernelspec": kernel},
            "nbformat": 4,
            "nbformat_minor": 5,
        },
        indent=1,
    )


SOLUTION = graded("squares", "def squares(n):\n    # YOUR CODE HERE\n", solution=True)
TEST = graded("test_squares", "assert squares(2) == [1, 4]\n", grade=True, locked=True, points=2)


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish({"release/ps1/p1.ipynb": assignment(SOLUTION, TEST)})
    room.pull()
    return room


def cells(room: Classroom) -> dict[str, Any]:
    text = room.files()["release/ps1/p1.ipynb"]
    book: Any = nbformat.reads(text, as_version=4)  # type: ignore[no-untyped-call]  # theirs
    nbformat.validate(book)
    found = {
        cell.metadata.nbgrader.grade_id: cell for cell in book.cells if "nbgrader" in cell.metadata
    }
    graded = [cell for cell in book.cells if "nbgrader" in cell.metadata]
    # nbgrader refuses a notebook in which an id occurs twice.
    assert len(found) == len(graded)
    return found


def answered(room: Classroom, **more: Any) -> None:
    book = json.loads(room.files()["release/ps1/p1.ipynb"])
    book["cells"][0]["source"] = ["def squares(n):\n", "    return [1, 4]\n"]
    book["cells"][0]["execution_count"] = 1
    book["cells"][0]["metadata"].update(more)
    book["cells"].insert(1, code("scratch", "squares(2)\n"))
    room.write({"release/ps1/p1.ipynb": json.dumps(book)})


def test_the_answer_and_the_new_test_are_both_there(room: Classroom) -> None:
    answered(room, collapsed=True)
    harder = graded(
        "test_squares", "assert squares(3) == [1, 4, 9]\n", grade=True, locked=True, points=5
    )
    extra = graded("test_more", "assert squares(0) == []\n", grade=True, locked=True, points=1)
    room.teacher.publish({"release/ps1/p1.ipynb": assignment(SOLUTION, harder, extra)})
    room.pull()
    found = cells(room)
    assert found.keys() == {"squares", "test_squares", "test_more"}
    assert found["squares"].source == "def squares(n):\n    return [1, 4]\n"
    assert found["squares"].metadata.nbgrader == SOLUTION["metadata"]["nbgrader"]
    assert found["squares"].metadata.collapsed is True
    assert found["test_squares"].source == "assert squares(3) == [1, 4, 9]\n"
    assert found["test_squares"].metadata.nbgrader == harder["metadata"]["nbgrader"]
    assert found["test_squares"].metadata.editable is False


def test_metadata_that_a_student_damaged_comes_back(room: Classroom) -> None:
    book = json.loads(room.files()["release/ps1/p1.ipynb"])
    book["cells"][1]["metadata"]["nbgrader"]["points"] = 100
    room.write({"release/ps1/p1.ipynb": json.dumps(book)})
    again = graded("test_squares", TEST["source"][0], grade=True, locked=True, points=3)
    room.teacher.publish({"release/ps1/p1.ipynb": assignment(SOLUTION, again)})
    room.pull()
    assert cells(room)["test_squares"].metadata.nbgrader.points == 3


def test_both_rewrote_the_answer_cell(room: Classroom) -> None:
    """The teacher's version goes beside as a text cell, which is not one to be graded."""
    answered(room)
    other = graded("squares", "def squares(count):\n    # YOUR CODE HERE\n", solution=True)
    room.teacher.publish({"release/ps1/p1.ipynb": assignment(other, TEST)})
    room.pull()
    found = cells(room)
    assert found["squares"].source == "def squares(n):\n    return [1, 4]\n"
    assert found["squares"].metadata.nbgrader == other["metadata"]["nbgrader"]
    assert "count" in room.files()["release/ps1/p1.ipynb"]
