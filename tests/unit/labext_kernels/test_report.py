import pytest

from labext.kernels.provisioner import LaunchReport, read_report


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("merge yes\n", LaunchReport(started=True, merge=True), id="on"),
        pytest.param(
            "merge no Operation not permitted\n",
            LaunchReport(started=True, reason="Linux refused the opt-in (Operation not permitted)"),
            id="refused",
        ),
        pytest.param(
            "merge yes\nexec Exec format error\n",
            LaunchReport(started=False, reason="Exec format error"),
            id="exec failed",
        ),
    ],
)
def test_reports(text: str, expected: LaunchReport) -> None:
    assert read_report(text) == expected


@pytest.mark.parametrize(
    "text", ["", "\n", "mer", "merge", "merge ye", "merge no", "exec x\n", "3"]
)
def test_a_launcher_cut_short_did_not_start(text: str) -> None:
    report = read_report(text)
    assert not report.started
    assert report.reason
