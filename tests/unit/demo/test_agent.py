"""What the demo says about the agent's /v1/node."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from demo import agent
from demo.agent import sentence

KSM: dict[str, Any] = {"supported": True, "mode": "observe", "problem": None}


@pytest.mark.parametrize(
    ("ksm", "is_root", "part"),
    [
        pytest.param({"mode": "tune"}, True, "put back as found", id="tune"),
        pytest.param({}, False, "tuning it needs root", id="observe"),
        pytest.param({}, True, "as asked", id="root-observes"),
        pytest.param({"mode": "off"}, True, "left alone", id="off"),
        pytest.param({"supported": False}, True, "no KSM", id="no-ksm"),
        pytest.param(
            {"problem": {"message": "Read-only.", "fix": "Mount it."}},
            True,
            "Read-only. Mount it.",
            id="problem",
        ),
        pytest.param({"problem": {"message": "Gone.", "fix": None}}, True, "Gone.", id="no-fix"),
    ],
)
def test_sentence(ksm: dict[str, Any], is_root: bool, part: str) -> None:
    assert part in sentence(KSM | ksm, is_root=is_root)


def test_a_path_that_no_socket_may_have_is_left_out() -> None:
    shortest = Path("/" + "x" * 106)
    assert agent.node_socket(shortest) == shortest
    assert agent.node_socket(Path("/" + "x" * 107)) is None
    # Bytes count, not letters.
    assert agent.node_socket(Path("/" + "ä" * 54)) is None
    assert "--node-socket" not in agent.command(9747, "auto", None)
    assert agent.command(9747, "auto", shortest)[-2:] == ["--node-socket", str(shortest)]
