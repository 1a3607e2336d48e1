import json
from pathlib import Path
from typing import Any

import pytest

from labext.kernels.drift import drift, main, shared_pages

ONE: dict[str, Any] = {
    "python": "cpython-311 ab",
    "environment": {"LANG": "1"},
    "folders": {"/lib": "2"},
    "modules": ["numpy"],
    "layout": "3",
    "pages": ["a", "b", "c", "d"],
}


def test_like_kernels() -> None:
    assert drift(ONE, ONE) == []
    assert shared_pages(ONE, ONE) == 1.0


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"python": "x"}, "different versions of Python"),
        ({"environment": {"LANG": "2"}}, "the variable LANG differs"),
        ({"environment": {}}, "the variable LANG differs"),
        ({"folders": {"/lib": "2", "/home/bo": "9"}}, "/home/bo differs"),
        ({"modules": ["numpy", "pandas"]}, "pandas"),
        ({"layout": "x"}, "no reason that was noted"),
    ],
)
def test_each_difference_is_named(change: dict[str, Any], words: str) -> None:
    (sentence,) = drift(ONE, ONE | change)
    assert words in sentence


def test_pages() -> None:
    assert shared_pages(ONE, ONE | {"pages": ["a", "x", "c", "d"]}) == 0.75
    assert shared_pages(ONE, ONE | {"pages": None}) is None


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "a").write_text(json.dumps(ONE))
    (tmp_path / "b").write_text(json.dumps({"fingerprint": ONE | {"python": "x"}}))
    assert main([str(tmp_path / "a"), str(tmp_path / "a")]) == 0
    assert main([str(tmp_path / "a"), str(tmp_path / "b")]) == 1
    assert "100.0%" in capsys.readouterr().out
    assert main([str(tmp_path / "missing"), str(tmp_path / "b")]) == 2
