"""What the Courses panel asks for, on a real course: news, versions, take, copy, undo, redo."""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import time
from pathlib import Path
from typing import Any

import pytest

from labext.courses.desk import acts, news, versions
from labext.courses.desk.place import Place
from labext.courses.errors import CourseError
from labext.courses.merge.note import TAG
from labext.courses.merge.wellformed import is_valid, parse
from labext.courses.store import Store
from tests.integration.courses_classroom import Classroom, code, notebook

TEN = "".join(f"line {number}\n" for number in range(10))


@pytest.fixture
def room(tmp_path: Path) -> Classroom:
    room = Classroom(tmp_path)
    room.teacher.publish({"a.txt": TEN, "b.txt": "b\n", "lab/n.ipynb": notebook(("one", "x = 1"))})
    room.pull()
    return room


def place(room: Classroom) -> Place:
    return Place(root=room.root, target="course", state_dir=room.state)


def told(room: Classroom) -> list[tuple[str, bool, dict[str, str]]]:
    items = news.read(place(room)).items
    return [(i.act, i.undone, {file.path: file.kind for file in i.files}) for i in items]


def refused(code: str, act: Any, *arguments: Any, **named: Any) -> CourseError:
    with pytest.raises(CourseError) as caught:
        act(*arguments, **named)
    assert caught.value.code == code
    return caught.value


def update(room: Classroom, files: dict[str, str | bytes | None]) -> str:
    """A pull with news; its id."""
    room.teacher.publish(files)
    room.pull()
    newest = news.read(place(room)).items[0].id
    assert newest is not None
    return newest


def choose(room: Classroom, row: int) -> acts.CellChoice:
    """A row of the notebook as it is now."""
    found = versions.compare(place(room), "lab/n.ipynb")
    sides = [side.blob for side in (found.yours, found.teachers) if side is not None]
    assert sides[0] is not None
    assert sides[1] is not None
    return acts.CellChoice(row=row, yours=sides[0], teachers=sides[1])


class TestNews:
    def test_the_first_delivery_is_no_news_to_undo(self, room: Classroom) -> None:
        found = news.read(place(room))
        assert found.unseen == 0
        assert [item.id for item in found.items] == [None]
        assert {file.path for file in found.items[0].files} == {"a.txt", "b.txt", "lab/n.ipynb"}

    def test_pulls_newest_first_with_every_kind(self, room: Classroom) -> None:
        room.write({"b.txt": None, "a.txt": TEN.replace("line 1\n", "mine\n")})
        update(room, {"new.txt": "n\n", "a.txt": TEN.replace("line 8\n", "course\n")})
        update(room, {"new.txt": None, "a.txt": TEN.replace("line 1\n", "course\n")})
        second, first = told(room)
        assert first[2] == {"a.txt": "merged", "b.txt": "restored", "new.txt": "new"}
        kinds = dict(second[2])
        beside = next(path for path in kinds if "__course_" in path)
        assert kinds == {"a.txt": "kept_yours", "new.txt": "deleted", beside: "new"}
        files = {file.path: file.of for file in news.read(place(room)).items[0].files}
        assert files == {"a.txt": None, "new.txt": None, beside: "a.txt"}

    def test_seen_and_unseen(self, room: Classroom) -> None:
        update(room, {"a.txt": "1\n", "c.txt": "1\n"})
        assert news.read(place(room)).unseen == 2
        news.mark(place(room), ["a.txt"])
        assert news.read(place(room)).unseen == 1
        later = time.time() + 5
        news.mark(place(room), None, lambda: later)
        assert news.read(place(room)).unseen == 0

    def test_an_update_after_that_is_new_again(self, room: Classroom) -> None:
        update(room, {"a.txt": "1\n"})
        news.mark(place(room), ["a.txt"], lambda: time.time() - 3600)
        assert news.read(place(room)).unseen == 1

    def test_a_damaged_memory_of_what_was_seen(self, room: Classroom) -> None:
        update(room, {"a.txt": "1\n"})
        file = place(room).store().path(".seen.json")
        file.write_text("{broken")
        assert news.read(place(room)).unseen == 1

    def test_before_the_first_pull(self, tmp_path: Path) -> None:
        (tmp_path / "home").mkdir()
        nothing = Place(root=tmp_path / "home", target="x", state_dir=tmp_path / "state")
        assert news.read(nothing) == news.News(unseen=0, items=())
        assert refused("never_pulled", versions.compare, nothing, "a").fix


class TestVersions:
    def test_three_texts(self, room: Classroom) -> None:
        theirs = TEN.replace("line 8\n", "course\n")
        room.write({"a.txt": TEN.replace("line 1\n", "mine\n")})
        update(room, {"a.txt": theirs})
        found = versions.compare(place(room), "a.txt")
        assert found.form == "text"
        assert found.yours is not None
        assert found.teachers is not None
        assert found.base is not None
        assert found.base.text == TEN
        assert found.teachers.text == theirs
        assert found.yours.text == theirs.replace("line 1\n", "mine\n")

    def test_a_new_file_has_no_base_and_a_deleted_one_no_teachers(self, room: Classroom) -> None:
        room.write({"b.txt": "mine\n"})
        update(room, {"c.txt": "c\n", "b.txt": None})
        assert versions.compare(place(room), "c.txt").base is None
        gone = versions.compare(place(room), "b.txt")
        assert gone.teachers is None
        assert gone.base is not None
        assert gone.base.text == "b\n"

    def test_a_notebook_by_cell_without_outputs(self, room: Classroom) -> None:
        output = {"output_type": "stream", "name": "stdout", "text": ["secret" * 999]}
        room.write({"lab/n.ipynb": notebook(code("one", "x = 2", outputs=[output]), ("me", "y"))})
        update(room, {"lab/n.ipynb": notebook(("one", "x = 3"), ("new", "z"))})
        found = versions.compare(place(room), "lab/n.ipynb")
        assert found.form == "notebook"
        assert found.rows is not None
        assert [row.status for row in found.rows] == ["changed", "note", "yours", "same"]
        first = found.rows[0]
        cells = [first.yours, first.teachers, first.base]
        assert [cell.source for cell in cells if cell] == ["x = 2", "x = 3", "x = 1"]
        assert "secret" not in str(found)

    @pytest.mark.parametrize(
        ("content", "form"),
        [
            pytest.param(b"\0\1", "binary", id="binary"),
            # Its id stands in the environment of every git.
            pytest.param(b"a" * (2 << 20), "too_large", id="too large"),
        ],
    )
    def test_what_cannot_be_shown_says_so(self, room: Classroom, content: bytes, form: str) -> None:
        update(room, {"c.bin": content})
        found = versions.compare(place(room), "c.bin")
        assert found.form == form
        assert found.yours is not None
        assert found.yours.text is None
        assert found.yours.bytes == len(content)

    def test_a_file_bigger_than_memory_is_not_read(self, room: Classroom) -> None:
        with (room.course / "a.txt").open("r+b") as file:
            file.truncate(1 << 40)
        found = versions.compare(place(room), "a.txt")
        assert found.form == "too_large"
        assert found.yours is not None
        assert found.yours.blob is None

    @pytest.mark.parametrize(
        "path",
        ["../secret", "/etc/passwd", "", ".", "lab", "lab/../../secret", ".git/config", "a.txt\0"],
    )
    def test_no_way_out(self, room: Classroom, path: str) -> None:
        (room.root / "secret").write_text("s")
        for act in (versions.compare, acts.take, acts.copy):
            refused("no_such_file", act, place(room), path)

    def test_own_files_of_the_student_are_not_asked_for(self, room: Classroom) -> None:
        room.write({"diary.txt": "d"})
        refused("no_such_file", versions.compare, place(room), "diary.txt")

    def test_links_are_not_followed(self, room: Classroom) -> None:
        secret = room.root / "secret"
        secret.mkdir()
        (secret / "n.ipynb").write_text("s")
        (room.course / "lab/n.ipynb").unlink()
        (room.course / "lab").rmdir()
        (room.course / "lab").symlink_to(secret)
        for act in (versions.compare, acts.take, acts.copy):
            refused("behind_link", act, place(room), "lab/n.ipynb")
        assert (secret / "n.ipynb").read_text() == "s"
        (room.course / "a.txt").unlink()
        (room.course / "a.txt").symlink_to(secret / "n.ipynb")
        assert versions.compare(place(room), "a.txt").form == "link"
        done = acts.take(place(room), "a.txt")
        assert done.beside is not None
        assert (room.course / done.beside).is_symlink()
        assert room.files()["a.txt"] == TEN

    def test_a_pipe_in_place_of_a_file(self, room: Classroom) -> None:
        (room.course / "a.txt").unlink()
        os.mkfifo(room.course / "a.txt")
        assert versions.compare(place(room), "a.txt").form == "other"


class TestTake:
    def test_yours_stays_beside_and_it_can_be_undone(self, room: Classroom) -> None:
        room.write({"a.txt": "mine\n"})
        done = acts.take(place(room), "a.txt")
        assert done.beside is not None
        assert room.files()["a.txt"] == TEN
        assert room.files()[done.beside] == "mine\n"
        item = news.read(place(room)).items[0]
        assert (item.act, item.undone) == ("take", False)
        assert item.id is not None
        acts.undo(place(room), item.id)
        assert room.files()["a.txt"] == "mine\n"
        assert done.beside not in room.files()
        assert room.pull().message == "Everything is up to date."

    def test_nothing_to_take(self, room: Classroom) -> None:
        assert acts.take(place(room), "a.txt").beside is None
        assert len(news.read(place(room)).items) == 1

    def test_a_copy_says_so_in_its_name(self, room: Classroom) -> None:
        room.write({"a.txt": "mine\n"})
        one, two = acts.copy(place(room), "a.txt"), acts.copy(place(room), "a.txt")
        assert one.path.startswith("a__course_")
        assert one.path != two.path
        files = room.files()
        assert (files["a.txt"], files[one.path], files[two.path]) == ("mine\n", TEN, TEN)
        assert room.pull().message == "Everything is up to date."

    def test_an_update_that_was_sent_back_can_be_taken_file_by_file(self, room: Classroom) -> None:
        pull = update(room, {"a.txt": "course\n", "b.txt": "course\n"})
        acts.undo(place(room), pull)
        assert room.files()["a.txt"] == TEN
        compared = versions.compare(place(room), "a.txt").teachers
        assert compared is not None
        assert compared.text == "course\n"
        acts.take(place(room), "a.txt")
        assert (room.files()["a.txt"], room.files()["b.txt"]) == ("course\n", "b\n")
        room.teacher.publish({"a.txt": "course\nmore\n"})
        room.pull()
        assert (room.files()["a.txt"], room.files()["b.txt"]) == ("course\nmore\n", "course\n")

    def test_one_cell(self, room: Classroom) -> None:
        room.write({"lab/n.ipynb": notebook(("one", "x = 2"), ("me", "y"))})
        update(room, {"lab/n.ipynb": notebook(("one", "x = 3"), ("new", "z"))})
        assert TAG in room.files()["lab/n.ipynb"]
        choice = choose(room, 0)
        acts.take_cell(place(room), "lab/n.ipynb", choice)
        content = room.files()["lab/n.ipynb"]
        now = parse(content.encode())
        assert now is not None
        assert is_valid(now)
        assert TAG not in content
        assert now["cells"][0]["id"] == "one"
        assert now["cells"][0]["source"] == ["x = 3"]
        assert '"y"' in content
        refused("changed", acts.take_cell, place(room), "lab/n.ipynb", choice)
        item = news.read(place(room)).items[0]
        assert item.id is not None
        acts.undo(place(room), item.id)
        assert TAG in room.files()["lab/n.ipynb"]

    @pytest.mark.parametrize("row", [-1, 99])
    def test_a_cell_that_is_not_there(self, room: Classroom, row: int) -> None:
        choice = choose(room, row)
        refused("no_such_cell", acts.take_cell, place(room), "lab/n.ipynb", choice)


class TestUndo:
    def test_undo_and_redo(self, room: Classroom) -> None:
        pull = update(room, {"a.txt": "course\n", "c.txt": "c\n"})
        acts.undo(place(room), pull)
        assert room.files()["a.txt"] == TEN
        assert "c.txt" not in room.files()
        assert told(room)[0][1] is True
        assert news.read(place(room)).unseen == 0
        refused("already_undone", acts.undo, place(room), pull)
        acts.redo(place(room), pull)
        assert room.files()["a.txt"] == "course\n"
        assert told(room)[0][1] is False
        refused("not_undone", acts.redo, place(room), pull)
        assert room.pull().message == "Everything is up to date."
        acts.undo(place(room), pull)
        assert room.files()["a.txt"] == TEN

    def test_an_older_pull(self, room: Classroom) -> None:
        older = update(room, {"a.txt": "course\n"})
        update(room, {"b.txt": "course\n"})
        undone = acts.undo(place(room), older)
        assert undone.paths == ("a.txt",)
        assert (room.files()["a.txt"], room.files()["b.txt"]) == (TEN, "course\n")
        assert room.pull().message == "Everything is up to date."
        assert room.files()["a.txt"] == TEN
        room.write({"b.txt": "course\nmine\n"})
        room.teacher.publish({"a.txt": "course 2\n", "b.txt": "b 2\ncourse\n"})
        room.pull()
        assert room.files()["a.txt"] == "course 2\n"
        assert room.files()["b.txt"] == "b 2\ncourse\nmine\n"

    def test_what_was_changed_since_stays(self, room: Classroom) -> None:
        pull = update(room, {"a.txt": "course\n", "b.txt": "course\n"})
        room.write({"a.txt": "mine\n"})
        undone = acts.undo(place(room), pull)
        assert (undone.paths, undone.kept) == (("b.txt",), ("a.txt",))
        assert room.files()["a.txt"] == "mine\n"

    def test_after_many_pulls_and_a_gc_of_our_git_data(self, room: Classroom) -> None:
        pull = update(room, {"a.txt": "course\n"})
        place(room).repository().git.read("gc", "--quiet", "--prune=now")
        acts.undo(place(room), pull)
        assert room.files()["a.txt"] == TEN
        assert room.try_pull().state == "up_to_date"

    def test_an_unknown_pull(self, room: Classroom) -> None:
        for name in ("x", "../../base", ""):
            refused("nothing_to_undo", acts.undo, place(room), name or "nothing")


class TestWhilePulling:
    def test_nothing_is_changed_but_all_can_be_read(self, room: Classroom) -> None:
        pull = update(room, {"a.txt": "course\n"})
        store = Store(folder=room.state, target=room.course.resolve())
        with store.path(".lock").open("r+") as other:
            fcntl.flock(other, fcntl.LOCK_EX)
            for act in (acts.take, acts.copy):
                assert refused("pulling", act, place(room), "a.txt").fix
            refused("pulling", acts.undo, place(room), pull)
            assert versions.compare(place(room), "a.txt").form == "text"
            assert news.read(place(room)).unseen == 1
        acts.take(place(room), "a.txt")


class TestEditedMeanwhile:
    def test_a_deferred_file_waits_and_the_rest_arrives(self, room: Classroom) -> None:
        room.teacher.publish({"a.txt": "course\n", "c.txt": "c\n"})
        result = room.pull(deferred=("a.txt",))
        assert result.waiting == ("a.txt",)
        assert (room.files()["a.txt"], room.files()["c.txt"]) == (TEN, "c\n")
        room.write({"a.txt": f"{TEN}mine\n"})
        result = room.pull(deferred=("a.txt",))
        assert (result.waiting, room.files()["a.txt"]) == (("a.txt",), f"{TEN}mine\n")
        room.write({"a.txt": TEN})
        assert room.pull().waiting == ()
        assert room.files()["a.txt"] == "course\n"

    @pytest.mark.parametrize(
        "files",
        [
            {"lab/n.ipynb": None, "lab": "now a file\n"},
            {"lab/n.ipynb": None},
            {"lab/n.ipynb": None, "moved.ipynb": notebook(("one", "x = 1"))},
        ],
    )
    def test_nor_does_its_folder_go(
        self, room: Classroom, files: dict[str, str | bytes | None]
    ) -> None:
        before = room.files()["lab/n.ipynb"]
        work = room.teacher.work
        if "lab" in files:
            (work / "lab/n.ipynb").unlink()
            (work / "lab").rmdir()
            files = {"lab": files["lab"]}
        room.teacher.publish(files)
        result = room.pull(deferred=("lab/n.ipynb",))
        assert "lab/n.ipynb" in result.waiting
        assert room.files()["lab/n.ipynb"] == before
        room.pull()
        assert "lab/n.ipynb" not in room.files()
        room.nothing_left()

    def test_unsaved_edits_are_merged_after_all(self, room: Classroom) -> None:
        update(room, {"a.txt": TEN.replace("line 8\n", "course\n")})
        unsaved = TEN.replace("line 1\n", "mine\n")
        acts.merge_unsaved(place(room), "a.txt", unsaved.encode())
        text = room.files()["a.txt"]
        assert "mine\n" in text
        assert "course\n" in text

    def test_unsaved_edits_of_the_same_line_win_and_the_courses_is_beside(
        self, room: Classroom
    ) -> None:
        theirs = TEN.replace("line 1\n", "course\n")
        update(room, {"a.txt": theirs})
        unsaved = TEN.replace("line 1\n", "mine\n")
        acts.merge_unsaved(place(room), "a.txt", unsaved.encode())
        assert room.files()["a.txt"] == unsaved
        assert room.beside("a.txt", "course") == [theirs]

    def test_unsaved_edits_from_before_two_pulls(self, room: Classroom) -> None:
        known = hashlib.sha256(TEN.encode()).hexdigest()
        one = TEN.replace("line 4\n", "first\n")
        room.teacher.publish({"a.txt": one})
        room.pull()
        room.teacher.publish({"a.txt": one.replace("line 8\n", "second\n")})
        room.pull()
        unsaved = TEN.replace("line 1\n", "mine\n")
        acts.merge_unsaved(place(room), "a.txt", unsaved.encode(), known=known)
        wanted = unsaved.replace("line 4\n", "first\n").replace("line 8\n", "second\n")
        assert room.files()["a.txt"] == wanted
        unknown = hashlib.sha256(b"another").hexdigest()
        refused("changed", acts.merge_unsaved, place(room), "a.txt", b"x", known=unknown)
        assert room.files()["a.txt"] == wanted

    def test_unsaved_cells(self, room: Classroom) -> None:
        update(room, {"lab/n.ipynb": notebook(("one", "x = 1"), ("new", "z"))})
        unsaved = json.loads(notebook(("one", "x = 1\nmine"), ("me", "y")))
        acts.merge_unsaved(place(room), "lab/n.ipynb", json.dumps(unsaved).encode())
        merged = parse(room.files()["lab/n.ipynb"].encode())
        assert merged is not None
        assert {cell["id"] for cell in merged["cells"]} == {"one", "new", "me"}

    def test_no_merge_without_a_pull(self, room: Classroom) -> None:
        refused("changed", acts.merge_unsaved, place(room), "a.txt", b"x")
        update(room, {"a.txt": "course\n"})
        room.write({"a.txt": "saved meanwhile\n"})
        refused("changed", acts.merge_unsaved, place(room), "a.txt", b"x")
