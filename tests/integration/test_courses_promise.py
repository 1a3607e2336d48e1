"""docs/courses/merging.md, case by case: what the student and the course did to files."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import nbformat
import pytest

from tests.integration.courses_classroom import Classroom, code, kinds, notebook

TEN = "".join(f"line {n}\n" for n in range(10))
FIRST: dict[str, str | bytes | None] = {
    "a.txt": TEN,
    "lab/b.txt": "b\n",
    "data.bin": b"\0\1\2",
    "lab.ipynb": notebook(("a", "import math\n"), ("b", "x = 1\ny = 2\nz = 3\n"), ("c", "x\n")),
}


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish(FIRST)
    room.pull()
    return room


def cells(room: Classroom, name: str = "lab.ipynb") -> list[Any]:
    content = json.loads((room.course / name).read_text())
    nbformat.validate(content)
    ids = [cell["id"] for cell in content["cells"]]
    assert len(set(ids)) == len(ids)
    return list(content["cells"])


def sources(room: Classroom, name: str = "lab.ipynb") -> list[str]:
    return ["".join(cell["source"]) for cell in cells(room, name)]


def test_01_nothing_new_writes_nothing(room: Classroom) -> None:
    def seen() -> dict[str, int]:
        places = [*room.course.rglob("*"), *room.repository.rglob("*")]
        return {str(path): path.lstat().st_mtime_ns for path in places}

    before = seen()
    assert room.pull().message == "Everything is up to date."
    assert seen() == before


def test_02_only_the_course_changed(room: Classroom) -> None:
    room.teacher.publish({"a.txt": TEN + "more\n", "new/deep/c.txt": "c\n"})
    assert kinds(room.pull()) == {"a.txt": "updated", "new/deep/c.txt": "new"}
    assert room.files()["new/deep/c.txt"] == "c\n"
    room.nothing_left()


def test_03_only_the_student_changed(room: Classroom) -> None:
    room.write({"a.txt": "mine\n"})
    room.teacher.publish({"lab/b.txt": "b2\n"})
    room.pull()
    assert room.files()["a.txt"] == "mine\n"


def test_04_both_changed_other_lines(room: Classroom) -> None:
    room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
    room.teacher.publish({"a.txt": TEN.replace("line 8\n", "course\n")})
    assert kinds(room.pull()) == {"a.txt": "merged"}
    expected = TEN.replace("line 1\n", "mine\n").replace("line 8\n", "course\n")
    assert room.files()["a.txt"] == expected


def test_05_both_changed_the_same_line(room: Classroom) -> None:
    room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
    theirs = TEN.replace("line 1\n", "course\n").replace("line 8\n", "also\n")
    room.teacher.publish({"a.txt": theirs})
    assert kinds(room.pull())["a.txt"] == "kept_yours"
    text = room.files()["a.txt"]
    assert "mine\n" in text
    assert "also\n" in text
    assert "<<<<" not in text
    assert room.beside("a.txt", "course") == [theirs]


def test_06_binary_files(room: Classroom) -> None:
    room.write({"data.bin": b"\0mine"})
    room.teacher.publish({"data.bin": b"\0course"})
    room.pull()
    assert room.files()["data.bin"] == "\0mine"
    assert room.beside("data.bin", "course") == ["\0course"]


def test_07_the_course_deletes(room: Classroom) -> None:
    room.write({"a.txt": "mine\n"})
    room.teacher.publish({"a.txt": None, "lab/b.txt": None})
    assert kinds(room.pull()) == {"a.txt": "kept_yours", "lab/b.txt": "deleted"}
    assert not (room.course / "lab").exists()
    assert room.files()["a.txt"] == "mine\n"
    assert room.pull().message == "Everything is up to date."


def test_08_the_student_deletes(room: Classroom) -> None:
    room.write({"a.txt": None, "lab/b.txt": None})
    room.teacher.publish({"lab/b.txt": None})
    assert kinds(room.pull()) == {"a.txt": "restored"}
    assert room.files()["a.txt"] == TEN


def test_09_the_course_renames_what_the_student_changed(room: Classroom) -> None:
    room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
    room.teacher.publish({"a.txt": None, "z.txt": TEN.replace("line 8\n", "course\n")})
    assert kinds(room.pull()) == {"z.txt": "renamed"}
    files = room.files()
    assert "a.txt" not in files
    assert "mine\n" in files["z.txt"]
    assert "course\n" in files["z.txt"]


def test_10_renamed_onto_a_file_of_the_students(room: Classroom) -> None:
    room.write({"z.txt": "mine\n"})
    room.teacher.publish({"a.txt": None, "z.txt": TEN})
    room.pull()
    assert room.files()["z.txt"] == TEN
    assert room.beside("z.txt", "yours") == ["mine\n"]
    assert "a.txt" not in room.files()


def test_11_both_renamed(room: Classroom) -> None:
    (room.course / "a.txt").rename(room.course / "mine.txt")
    room.teacher.publish({"a.txt": None, "z.txt": TEN})
    room.pull()
    assert room.files()["mine.txt"] == room.files()["z.txt"] == TEN


@pytest.mark.parametrize(
    "name", ["new.txt", "ü ñ.txt", 'q"u\t\\o.txt', "-x", "new\nline.txt", ".hidden", "x" * 250]
)
def test_12_an_own_file_in_the_way(room: Classroom, name: str) -> None:
    room.write({".gitignore": "*\n", name: "mine\n"})
    room.teacher.publish({name: "course\n"})
    room.pull()
    files = room.files()
    assert files[name] == "course\n"
    assert [path for path, text in files.items() if text == "mine\n"]
    assert room.pull().message == "Everything is up to date."


def test_13_two_pulls_in_one_second_move_files_of_one_name(room: Classroom) -> None:
    for number in range(3):
        name = "new.txt"
        room.write({name: f"mine {number}\n"})
        room.teacher.publish({name: f"course {number}\n"})
        room.pull()
        room.teacher.publish({name: None})
        room.pull()
        if (room.course / name).exists():
            room.write({name: None})
    texts = set(room.files().values())
    assert {"mine 0\n", "mine 1\n", "mine 2\n"} <= texts


def test_14_a_file_where_the_course_has_a_folder(room: Classroom) -> None:
    room.write({"week2": "mine\n"})
    room.teacher.publish({"week2/a.txt": "a\n", "week2/b/c.txt": "c\n"})
    room.pull()
    assert room.files()["week2/b/c.txt"] == "c\n"
    assert room.beside("week2", "yours") == ["mine\n"]


def test_15_a_folder_where_the_course_has_a_file(room: Classroom) -> None:
    room.write({"week2/mine.txt": "mine\n"})
    room.teacher.publish({"week2": "course\n"})
    room.pull()
    assert room.files()["week2"] == "course\n"
    assert "mine\n" in room.files().values()


@pytest.mark.parametrize("edited", [False, True])
def test_16_a_file_becomes_a_folder_and_back(room: Classroom, edited: bool) -> None:
    if edited:
        room.write({"a.txt": "mine\n"})
    room.teacher.publish({"a.txt": None})
    room.teacher.publish({"a.txt/in.txt": "in\n"})
    room.pull()
    assert room.files()["a.txt/in.txt"] == "in\n"
    if edited:
        room.write({"a.txt/own.txt": "own\n"})
    room.teacher.publish({"a.txt/in.txt": None})
    (room.teacher.work / "a.txt").rmdir() if (room.teacher.work / "a.txt").exists() else None
    room.teacher.publish({"a.txt": "back\n"})
    room.pull()
    assert room.files()["a.txt"] == "back\n"
    if edited:
        assert {"mine\n", "own\n"} <= set(room.files().values())
    assert room.pull().message == "Everything is up to date."


def test_17_links(room: Classroom) -> None:
    room.write({"a.txt": "mine\n"})
    work = room.teacher.work
    (work / "a.txt").unlink()
    (work / "a.txt").symlink_to("lab/b.txt")
    (work / "out").symlink_to("/etc/hostname")
    room.teacher.publish({})
    room.pull()
    files = room.files()
    assert files["a.txt"] == "-> lab/b.txt"
    assert room.beside("a.txt", "yours") == ["mine\n"]
    (room.course / "lab/b.txt").unlink()
    (room.course / "lab/b.txt").symlink_to("../data.bin")
    room.teacher.publish({"lab/b.txt": "b2\n"})
    room.pull()
    assert room.files()["lab/b.txt"] == "-> ../data.bin"
    assert room.beside("lab/b.txt", "course") == ["b2\n"]
    assert room.pull().message == "Everything is up to date."


def test_18_a_folder_moved_elsewhere_with_a_link_left(room: Classroom, tmp_path: Path) -> None:
    (room.course / "lab").rename(tmp_path / "scratch")
    (room.course / "lab").symlink_to(tmp_path / "scratch")
    room.teacher.publish({"lab/b.txt": "b2\n", "lab/c.txt": "c\n", "a.txt": "a2\n"})
    room.pull()
    assert [path.name for path in (tmp_path / "scratch").iterdir()] == ["b.txt"]
    assert (tmp_path / "scratch/b.txt").read_text() == "b\n"
    assert room.files()["a.txt"] == "a2\n"
    (room.course / "lab").unlink()
    room.pull()
    assert room.files()["lab/b.txt"] == "b2\n"


def test_19_line_ends(room: Classroom) -> None:
    room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
    theirs = TEN.replace("line 8\n", "course\n").replace("\n", "\r\n")
    room.teacher.publish({"a.txt": theirs})
    room.pull()
    text = room.files()["a.txt"]
    assert text == theirs.replace("line 1\r\n", "mine\r\n")
    assert room.pull().message == "Everything is up to date."


def test_20_modes(room: Classroom) -> None:
    room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
    (room.course / "data.bin").chmod(0o755)
    (room.teacher.work / "a.txt").chmod(0o755)
    room.teacher.publish({"data.bin": b"\0new"})
    room.pull()
    assert os.access(room.course / "a.txt", os.X_OK)
    assert "mine\n" in room.files()["a.txt"]
    room.teacher.publish({"lab/b.txt": "b2\n"})
    room.pull()
    assert os.access(room.course / "a.txt", os.X_OK)


def test_21_json_stays_json(room: Classroom) -> None:
    room.teacher.publish({"x.json": '{\n "a": 1,\n "b": 2\n}\n'})
    room.pull()
    room.write({"x.json": '{\n "a": 1,\n "b": 2,\n "mine": 3\n}\n'})
    theirs = '{\n "course": 0,\n "a": 1,\n "b": 2\n}\n'
    room.teacher.publish({"x.json": theirs})
    room.pull()
    assert json.loads(room.files()["x.json"])["mine"] == 3


def test_22_a_very_large_file(room: Classroom) -> None:
    big = b"0123456,789\n" * (1 << 20)
    room.teacher.publish({"big.csv": big})
    room.pull()
    room.write({"big.csv": big + b"mine"})
    room.teacher.publish({"big.csv": b"course" + big})
    room.pull()
    assert (room.course / "big.csv").read_bytes() == big + b"mine"
    assert len(room.beside("big.csv", "course")) == 1


def test_23_only_upper_and_lower_case_differ(room: Classroom) -> None:
    room.write({"a.txt": TEN + "mine\n"})
    room.teacher.publish({"a.txt": None, "A.txt": TEN})
    room.pull()
    assert room.files()["A.txt"] == TEN + "mine\n"
    assert "a.txt" not in room.files()


def test_30_notebook_other_cells(room: Classroom) -> None:
    room.write({"lab.ipynb": notebook(("a", "import math\n"), ("b", "mine\n"), ("c", "x\n"))})
    room.teacher.publish(
        {"lab.ipynb": notebook(("a", "import math, os\n"), ("b", "x = 1\ny = 2\nz = 3\n"))}
    )
    assert kinds(room.pull()) == {"lab.ipynb": "merged"}
    assert sources(room) == ["import math, os\n", "mine\n"]


def test_31_notebook_the_same_cell(room: Classroom) -> None:
    first = notebook(("a", "import math\n"), ("b", "x = 1\ny = MINE\nz = 3\n"), ("c", "x\n"))
    room.write({"lab.ipynb": first})
    theirs = notebook(("a", "import math\n"), ("b", "x = 1\ny = COURSE\nz = 3\n"), ("c", "x\n"))
    room.teacher.publish({"lab.ipynb": theirs})
    room.pull()
    texts = sources(room)
    assert texts[1] == "x = 1\ny = MINE\nz = 3\n"
    assert "y = COURSE" in texts[2]
    assert cells(room)[2]["cell_type"] == "markdown"
    assert cells(room)[2]["metadata"]["samepage"]["source"] == "x = 1\ny = COURSE\nz = 3\n"
    room.teacher.publish({"lab.ipynb": theirs.replace("COURSE", "AGAIN")})
    room.pull()
    texts = sources(room)
    assert len(texts) == 4
    assert "y = AGAIN" in texts[2]


def test_32_notebook_outputs_never_conflict(room: Classroom) -> None:
    output = {"name": "stdout", "output_type": "stream", "text": ["mine\n"]}
    run = code("c", "x\n", execution_count=7, outputs=[output])
    room.write({"lab.ipynb": notebook(("a", "import math\n"), ("b", "mine\n"), run)})
    theirs = code("c", "x\n", execution_count=3, outputs=[{**output, "text": ["theirs\n"]}])
    room.teacher.publish({"lab.ipynb": notebook(("a", "import os\n"), ("b", "mine\n"), theirs)})
    room.pull()
    assert len(cells(room)) == 3
    assert cells(room)[2]["outputs"] == [output]
    assert sources(room)[0] == "import os\n"


def test_33_notebook_both_append(room: Classroom) -> None:
    base = (("a", "import math\n"), ("b", "x = 1\ny = 2\nz = 3\n"), ("c", "x\n"))
    room.write({"lab.ipynb": notebook(*base, ("m", "mine\n"))})
    room.teacher.publish({"lab.ipynb": notebook(*base, ("t", "course\n"))})
    room.pull()
    assert {"mine\n", "course\n"} <= set(sources(room))


def test_34_notebook_written_anew_with_another_indent(room: Classroom) -> None:
    mine = notebook(("a", "import math\n"), ("b", "mine\n"), ("c", "x\n"))
    room.write({"lab.ipynb": mine})
    theirs = notebook(("a", "import math\n"), ("b", "x = 1\ny = 2\nz = 3\n"), ("c", "x + 1\n"))
    room.teacher.publish({"lab.ipynb": json.dumps(json.loads(theirs), indent=4)})
    room.pull()
    assert sources(room) == ["import math\n", "mine\n", "x + 1\n"]
    before = room.files()
    room.teacher.publish({"lab.ipynb": json.dumps(json.loads(theirs), indent=2)})
    assert room.pull().message == "Everything is up to date."
    assert room.files() == before


def test_35_notebook_one_id_twice(room: Classroom) -> None:
    base = (("a", "import math\n"), ("b", "x = 1\ny = 2\nz = 3\n"), ("c", "x\n"))
    room.write({"lab.ipynb": notebook(("new", "mine\n"), *base)})
    room.teacher.publish({"lab.ipynb": notebook(*base, ("new", "course\n"))})
    room.pull()
    assert sources(room) == ["mine\n", *[source for _, source in base], "course\n"]


def test_36_notebook_the_course_moves_a_cell_that_was_answered(room: Classroom) -> None:
    room.write({"lab.ipynb": notebook(("a", "import math\n"), ("b", "mine\n"), ("c", "x\n"))})
    moved = notebook(("c", "x\n"), ("a", "import math\n"), ("b", "x = 1\ny = 2\nz = 3\n"))
    room.teacher.publish({"lab.ipynb": moved})
    room.pull()
    assert sources(room) == ["x\n", "import math\n", "mine\n"]


def test_37_notebook_nbgrader_metadata(room: Classroom) -> None:
    grade = {"nbgrader": {"grade": True, "points": 2}}
    room.write({"lab.ipynb": notebook(("a", "mine\n"), ("b", "x = 1\ny = 2\nz = 3\n"))})
    room.teacher.publish({"lab.ipynb": notebook(code("a", "import math\n", metadata=grade))})
    room.pull()
    assert cells(room)[0]["metadata"] == grade
    assert sources(room) == ["mine\n"]


@pytest.mark.parametrize("broken", ["", "   ", "<<<<<<< HEAD\n{}\n", '{"cells": 5}'])
def test_38_notebook_that_is_none_any_more(room: Classroom, broken: str) -> None:
    room.write({"lab.ipynb": broken})
    theirs = notebook(("a", "new\n"))
    room.teacher.publish({"lab.ipynb": theirs})
    room.pull()
    assert room.files()["lab.ipynb"] == theirs
    assert room.beside("lab.ipynb", "yours") == ([broken] if broken.strip() else [])


def test_39_notebook_markers_of_the_students_own_merge(room: Classroom) -> None:
    cell = "<<<<<<< HEAD\nmine\n=======\nother\n>>>>>>> x\n"
    room.write({"lab.ipynb": notebook(("a", cell), ("b", "x = 1\n"))})
    room.teacher.publish({"lab.ipynb": notebook(("a", "import math\n"), ("t", "new\n"))})
    room.pull()
    assert cell in sources(room)
    assert "new\n" in sources(room)


def test_40_notebook_of_an_older_format(room: Classroom) -> None:
    old = json.loads(notebook(("a", "one\n"), ("b", "two\n")))
    old["nbformat_minor"] = 4
    for cell in old["cells"]:
        del cell["id"]
    room.teacher.publish({"old.ipynb": json.dumps(old)})
    room.pull()
    room.write({"old.ipynb": notebook(("r1", "one\n"), ("r2", "mine\n"), ("r3", "two\n"))})
    old["cells"][1]["source"] = "two, better\n"
    room.teacher.publish({"old.ipynb": json.dumps(old)})
    room.pull()
    assert sources(room, "old.ipynb") == ["one\n", "mine\n", "two, better\n"]
