"""Merges of lines and of text files."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labext.courses.merge.content import Outcome, merge
from labext.courses.merge.lines import MOST_LINES, merge_lines
from labext.courses.merge.text import is_text, merge_text
from labext.courses.merge.values import merge_values
from labext.courses.sync.mergefile import merge_file

texts = st.lists(st.sampled_from(["a\n", "b\n", "c\n", "d\n"]), max_size=8)


@pytest.mark.parametrize(
    ("base", "ours", "theirs", "expected"),
    [
        ("abc", "abc", "axc", "axc"),
        ("abc", "xbc", "abc", "xbc"),
        ("abc", "xbc", "aby", "xby"),
        ("abc", "axc", "axc", "axc"),
        ("abc", "axc", "ayc", None),
        ("abc", "abcx", "abcy", None),
        ("abc", "xabc", "abcy", "xabcy"),
        ("abc", "ac", "abcd", "acd"),
        ("", "x", "y", None),
        ("", "", "y", "y"),
        ("abc", "", "abc", ""),
    ],
)
def test_lines(base: str, ours: str, theirs: str, expected: str | None) -> None:
    result = merge_lines(list(base), list(ours), list(theirs))
    assert result == (None if expected is None else list(expected))


def test_too_many_lines_are_not_compared() -> None:
    many = ["x\n"] * (MOST_LINES + 1)
    assert merge_lines(many, many, [*many, "y\n"]) is None


@given(texts, texts)
def test_lines_of_one_side_alone(base: list[str], side: list[str]) -> None:
    assert merge_lines(base, side, base) == side
    assert merge_lines(base, base, side) == side
    assert merge_lines(base, side, side) == side


@given(texts, texts, texts)
def test_lines_do_not_depend_on_who_is_who(
    base: list[str], ours: list[str], theirs: list[str]
) -> None:
    assert merge_lines(base, ours, theirs) == merge_lines(base, theirs, ours)


@settings(max_examples=40, deadline=None)
@given(texts, texts, texts)
def test_files_have_no_markers(base: list[str], ours: list[str], theirs: list[str]) -> None:
    old, mine, course = ("".join(side).encode() for side in (base, ours, theirs))
    result = merge_text("a.py", old, mine, course, merge_file)
    assert b"<<<<" not in result.content
    assert set(result.content.splitlines()) <= {b"a", b"b", b"c", b"d"}


@pytest.mark.parametrize(
    ("ours", "theirs", "expected"),
    [
        (b"x\r\nb\r\nc\r\n", b"a\nb\ny\n", b"x\r\nb\r\ny\r\n"),
        (b"x\nb\nc\n", b"a\r\nb\r\ny\r\n", b"x\r\nb\r\ny\r\n"),
        (b"x\nb\nc\n", b"a\nb\ny", b"x\nb\ny"),
    ],
    ids=["students", "courses", "no-end"],
)
def test_line_ends(ours: bytes, theirs: bytes, expected: bytes) -> None:
    assert merge_text("a", b"a\nb\nc\n", ours, theirs, merge_file).content == expected


def test_json_that_a_merge_would_break() -> None:
    base, ours, theirs = b"[\n1,\n2\n]\n", b"[\n1\n]\n", b"[\n0,\n1,\n2\n]\n"
    result = merge_text("a.json", base, ours, theirs, lambda *_: (b"[1,,", False))
    assert (result.content, result.conflict) == (ours, True)


def test_what_is_text() -> None:
    assert is_text("ü\n".encode("latin-1"))
    assert not is_text(b"a\0b")
    assert not is_text(bytes(9 << 20))


def test_by_what_a_file_is() -> None:
    def never(*_: bytes) -> tuple[bytes, bool]:
        raise AssertionError

    assert merge("a.bin", b"\0", b"\0m", b"\0c", never) == Outcome(
        content=b"\0m", keep_courses=True
    )
    assert merge("a.txt", None, b"m", b"c", never) == Outcome(content=b"m", keep_courses=True)
    assert merge("a.ipynb", b"x", b"m", b"c", never) == Outcome(content=b"m", keep_courses=True)


def test_objects_by_key() -> None:
    base = {"same": 1, "mine": 1, "theirs": 1, "both": 1, "gone": 1, "in": {"a": 1, "b": 1}}
    ours = {"same": 1, "mine": 2, "theirs": 1, "both": 2, "gone": 1, "in": {"a": 2, "b": 1}}
    theirs = {"same": 1, "mine": 1, "theirs": 3, "both": 3, "in": {"a": 1, "b": 3}, "new": 3}
    expected = {
        "same": 1,
        "mine": 2,
        "theirs": 3,
        "both": 2,
        "in": {"a": 2, "b": 3},
        "new": 3,
    }
    assert merge_values(base, ours, theirs) == expected
    assert merge_values(base, ours, theirs, theirs_first=frozenset({"both"}))["both"] == 3
