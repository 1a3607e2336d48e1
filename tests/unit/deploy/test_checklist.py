"""docs/operators/checklist.md: every row has a test, and the tests are there."""

from __future__ import annotations

import re

import pytest

from tests.unit.deploy import manifests
from tests.unit.deploy.manifests import ROOT

PAGE = (ROOT / "docs/operators/checklist.md").read_text(encoding="utf-8")
ROWS = {int(number): rest for number, rest in re.findall(r"^\| (\d+) \|(.*)$", PAGE, re.MULTILINE)}
FOLDERS = ("tests/unit/deploy", "tests/integration")


def test_there_are_thirty_rows() -> None:
    assert sorted(ROWS) == list(range(1, 31))


@pytest.mark.parametrize("number", range(1, 31))
def test_a_row_has_tests_that_exist(number: int) -> None:
    named = re.findall(r"`(test_\w+\.py)::(test_\w+)`", ROWS[number])
    assert named
    for file, test in named:
        texts = [
            (ROOT / folder / file).read_text(encoding="utf-8")
            for folder in FOLDERS
            if (ROOT / folder / file).exists()
        ]
        assert any(f"def {test}(" in text for text in texts), f"{file} has no {test}"


def test_an_upgrade_meets_no_field_that_cannot_change() -> None:
    """Kubernetes refuses a change of a selector, so these stand for all versions."""
    wanted = {
        "samepage-agent": {
            "app.kubernetes.io/name": "samepage-agent",
            "app.kubernetes.io/component": "node-agent",
        },
        "samepage-agent-gpu": {
            "app.kubernetes.io/name": "samepage-agent",
            "app.kubernetes.io/component": "node-agent-gpu",
        },
    }
    for form, name, one in manifests.daemonsets():
        assert one["spec"]["selector"]["matchLabels"] == wanted[name], form
    service = manifests.plain()["Service", "samepage-agent"]["spec"]
    # Filled in by the cluster, and not to be changed afterwards.
    assert "clusterIP" not in service
    priority = manifests.plain()["PriorityClass", "samepage-agent"]
    assert (priority["value"], priority["preemptionPolicy"]) == (1000, "Never")


def test_both_architectures() -> None:
    for form, objects in manifests.forms().items():
        assert "kubernetes.io/arch" not in str(objects), form
    for path in (ROOT / "images").glob("*/Dockerfile"):
        text = path.read_text(encoding="utf-8")
        assert "--platform=" not in text
        assert not re.search(r"^(?!#).*(x86_64|amd64)", text, re.MULTILINE), path
