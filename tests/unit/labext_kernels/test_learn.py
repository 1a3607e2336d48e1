import json
from pathlib import Path

from labext.kernels.learn import add, read, suggested, take_in


def test_counts_are_of_kernels() -> None:
    assert add({"numpy": 2}, ["numpy", "numpy", "pandas"]) == {"numpy": 3, "pandas": 1}
    assert len(add({str(n): 2 for n in range(2500)}, [])) == 2000


def test_what_is_worth_preloading() -> None:
    counts = {"sklearn.linear_model": 8, "pandas": 9, "numpy": 10, "seldom": 1}
    assert suggested(counts) == ["numpy", "pandas", "sklearn.linear_model"]
    assert suggested({}) == []


def test_a_report_is_taken_in_once(tmp_path: Path) -> None:
    report, file = tmp_path / "report.json", tmp_path / "data" / "imports.json"
    report.write_text(json.dumps({"modules": ["numpy"]}))
    take_in(report, file=file)
    take_in(report, file=file)
    assert read(file) == {"numpy": 1}
    assert not report.exists()


def test_nonsense_does_no_harm(tmp_path: Path) -> None:
    report, file = tmp_path / "report.json", tmp_path / "imports.json"
    report.write_text("{")
    take_in(report, file=file)
    assert not report.exists()
    file.write_text("[1]")
    assert read(file) == {}
    assert read(tmp_path / "missing") == {}
