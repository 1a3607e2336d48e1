"""Notebook merges: what must hold for any three notebooks."""

from __future__ import annotations

import json
from typing import Any

import nbformat
from hypothesis import given, settings
from hypothesis import strategies as st

from labext.courses.merge.cells import pair, source_of
from labext.courses.merge.note import TAG, note, untouched_note_of
from labext.courses.merge.notebook import merge_notebooks, related
from labext.courses.merge.wellformed import parse

Cells = list[dict[str, Any]]


def code(name: str, source: str, **changes: Any) -> dict[str, Any]:
    return {
        "cell_type": "code",
        "id": name,
        "metadata": {},
        "source": source,
        "outputs": [],
        "execution_count": None,
        **changes,
    }


def text(name: str, source: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "id": name, "metadata": {}, "source": source}


def encoded(cells: Cells, minor: int = 5, **metadata: Any) -> bytes:
    return json.dumps(
        {"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": minor}
    ).encode()


def merged(base: Cells | None, ours: Cells, theirs: Cells) -> Cells:
    result = merge_notebooks(
        None if base is None else encoded(base), encoded(ours), encoded(theirs)
    )
    assert result is not None
    content = json.loads(result.content)
    nbformat.validate(content)
    names = [cell["id"] for cell in content["cells"]]
    assert len(set(names)) == len(names)
    return list(content["cells"])


def sources(cells: Cells) -> list[str]:
    return [source_of(cell) for cell in cells]


BASE = [code("a", "one\n"), text("b", "two\n"), code("c", "three\n")]


def test_a_notebook_that_is_the_same_stays_byte_for_byte() -> None:
    ours = json.dumps(json.loads(encoded(BASE)), indent=7).encode()
    theirs = json.dumps(json.loads(encoded(BASE)), indent=2).encode()
    result = merge_notebooks(encoded(BASE), ours, theirs)
    assert result is not None
    assert result.content == ours


def test_the_courses_bytes_when_the_student_changed_nothing() -> None:
    theirs = encoded([*BASE, code("d", "four\n")])
    result = merge_notebooks(encoded(BASE), encoded(BASE), theirs)
    assert result is not None
    assert result.content == theirs


def test_a_cell_both_edited_in_other_lines() -> None:
    base = [code("a", "1\n2\n3\n")]
    cells = merged(base, [code("a", "mine\n2\n3\n")], [code("a", "1\n2\ncourse\n")])
    assert sources(cells) == ["mine\n2\ncourse\n"]


def test_deleted_by_one_and_changed_by_the_other() -> None:
    ours = [BASE[0], text("b", "mine\n")]
    theirs = [code("a", "one\n"), code("c", "course\n")]
    assert sources(merged(BASE, ours, theirs)) == ["one\n", "mine\n", "course\n"]


def test_deleted_by_either() -> None:
    assert sources(merged(BASE, BASE[1:], BASE[:2])) == ["two\n"]


def test_without_a_base_the_same_cells_are_paired() -> None:
    ours = [code("a", "mine\n"), BASE[1]]
    cells = merged(None, ours, BASE)
    assert sources(cells)[0] == "mine\n"
    assert TAG in cells[1]["metadata"]["tags"]
    assert sources(cells)[2:] == ["two\n", "three\n"]


def test_related() -> None:
    assert related(encoded(BASE), encoded([code("x", "one\n"), text("b", "other")]))
    assert not related(encoded([code("m", "mine\n")]), encoded(BASE))
    assert not related(b"", encoded(BASE))


def test_metadata_by_key() -> None:
    base = encoded(BASE, kernelspec={"name": "python3", "display_name": "x"}, course="1")
    ours = encoded(BASE, kernelspec={"name": "mine", "display_name": "x"}, course="1")
    theirs = encoded(BASE, kernelspec={"name": "theirs", "display_name": "x"}, course="2")
    result = merge_notebooks(base, ours, theirs)
    assert result is not None
    metadata = json.loads(result.content)["metadata"]
    assert metadata == {"kernelspec": {"name": "mine", "display_name": "x"}, "course": "2"}


def test_a_note_is_known_until_the_student_writes_in_it() -> None:
    cell = note(code("x", "a ```` b\n"), "x")
    assert "`````" in cell["source"]
    assert untouched_note_of(cell) == "x"
    assert untouched_note_of({**cell, "source": cell["source"] + "mine"}) is None
    assert untouched_note_of(code("x", "y")) is None


def test_what_cannot_be_merged_by_cell() -> None:
    good = encoded(BASE)
    for bad in (b"", b"{}", b"[1]", b'{"nbformat": 3}', b"\xff", b"[" * 100_000):
        assert merge_notebooks(good, bad, good) is None
        assert merge_notebooks(good, good, bad) is None
    lone = encoded([code("a", "\ud800")])
    assert parse(lone) is not None
    assert merge_notebooks(good, encoded([*BASE, code("m", "m")]), lone) is None


def test_pairs_by_likeness_between_neighbours() -> None:
    one = [code("1", "import numpy as np\nx = np.zeros(3)\n"), code("2", "z\n")]
    other = [code("8", "import numpy as np\nx = np.zeros(30)\n"), code("9", "z\n")]
    assert pair(one, other) == {0: 0, 1: 1}


words = st.text(alphabet="abc\n `", max_size=12)
names = st.sampled_from([f"id{n}" for n in range(9)])


@st.composite
def cells_of(draw: st.DrawFn) -> Cells:
    drawn = draw(st.lists(st.tuples(names, words, st.booleans()), max_size=6))
    taken: dict[str, dict[str, Any]] = {}
    for name, source, is_code in drawn:
        taken.setdefault(name, code(name, source) if is_code else text(name, source))
    return list(taken.values())


@st.composite
def edited(draw: st.DrawFn, base: Cells, who: str) -> tuple[Cells, list[str]]:
    """An edit history, and the texts that `who` wrote in it, each of them to be found again."""
    cells = [dict(cell) for cell in base]
    wrote: dict[int, str] = {}
    for number in range(draw(st.integers(0, 5))):
        act = draw(st.sampled_from(["edit", "append", "insert", "delete", "move", "copy"]))
        place = draw(st.integers(0, max(0, len(cells) - 1)))
        mark = f"{who}{number}\n"
        if act == "append" or not cells:
            cells.append(code(draw(names), mark))
        elif act == "insert":
            cells.insert(place, text(draw(names), mark))
        elif act == "edit":
            cells[place] = {**cells[place], "source": source_of(cells[place]) + "\n" + mark}
        elif act == "delete":
            cells.pop(place)
        elif act == "move":
            cells.insert(draw(st.integers(0, len(cells) - 1)), cells.pop(place))
        else:
            cells.insert(place, {**cells[place]})
    seen: set[str] = set()
    for number, cell in enumerate(cells):
        if cell["id"] in seen:
            cell["id"] = f"{who}-{number}"
        seen.add(cell["id"])
    everything = "".join(source_of(cell) for cell in cells)
    wrote = {n: f"{who}{n}\n" for n in range(6) if f"{who}{n}\n" in everything}
    return cells, list(wrote.values())


@st.composite
def histories(draw: st.DrawFn) -> tuple[Cells, tuple[Cells, list[str]], tuple[Cells, list[str]]]:
    base = draw(cells_of())
    return base, draw(edited(base, "mine")), draw(edited(base, "course"))


@settings(max_examples=250, deadline=None)
@given(histories())
def test_any_three_notebooks(
    history: tuple[Cells, tuple[Cells, list[str]], tuple[Cells, list[str]]],
) -> None:
    base, (ours, mine), (theirs, course) = history
    cells = merged(base, ours, theirs)  # valid, and every id once
    everything = "".join(f"{source}\n" for source in sources(cells))
    for mark in (*mine, *course):
        assert mark in everything
    assert "<<<<" not in everything
    assert merged(base, ours, theirs) == cells
    # Pulled again with nothing new, nothing changes.
    again = merge_notebooks(encoded(theirs), encoded(cells), encoded(theirs))
    assert again is not None
    assert again.content == encoded(cells)


@settings(max_examples=100, deadline=None)
@given(histories())
def test_one_side_alone(
    history: tuple[Cells, tuple[Cells, list[str]], tuple[Cells, list[str]]],
) -> None:
    base, (ours, _), _ = history
    assert sources(merged(base, ours, base)) == sources(ours)
    assert sources(merged(base, base, ours)) == sources(ours)
