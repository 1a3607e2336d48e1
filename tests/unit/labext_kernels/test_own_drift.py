"""What a server says of its own kernels that share little with the others'."""

import asyncio
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from labext.gpu_kernels import RunningKernel
from labext.kernels.aligned.fingerprint import fingerprint
from labext.kernels.drift import drift
from labext.kernels.ledger import Alignment, AlignmentState, KernelLedger, KernelRecord
from labext.kernels.own_drift import KernelNotes, parse
from labext.node import NoAnswerError, WrongAnswerError

RUNNING = (
    RunningKernel(id="a", pid=1, state="idle", path="work/a.ipynb"),
    RunningKernel(id="b", pid=2, state="idle"),
)
TOLD = {"id": "a", "state": "drifted", "cause": "variable", "name": "LANG"}


def ledger(**kernels: AlignmentState) -> KernelLedger:
    found = KernelLedger()
    for name, state in kernels.items():
        reason = None if state == "aligned" else "/home/ada has its own numpy"
        alignment = Alignment(state=state, reason=reason, fingerprint={})
        found.note(KernelRecord(kernel_id=name, pid=1, outcome="on", alignment=alignment))
    return found


def notes(seen: KernelLedger, answer: Mapping[str, Any] | Exception | None) -> list[dict[str, Any]]:
    """`answer` None: nobody may be asked."""

    async def ask() -> Mapping[str, Any]:
        assert answer is not None, "asked"
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def running() -> tuple[RunningKernel, ...]:
        return RUNNING

    return asyncio.run(KernelNotes(seen, ask, running).read())


def test_a_drifted_kernel_is_told_with_its_notebook() -> None:
    assert notes(ledger(a="aligned", b="aligned"), {"kernels": [TOLD]}) == [
        {
            "kernel_id": "a",
            "state": "drifted",
            "cause": "variable",
            "name": "LANG",
            "path": "work/a.ipynb",
        }
    ]


def test_an_own_version_is_told_without_an_agent() -> None:
    (found,) = notes(ledger(b="unsuited", gone="unsuited"), None)
    assert (found["kernel_id"], found["state"], found["path"]) == ("b", "unsuited", None)
    assert found["name"] == "/home/ada has its own numpy"


@pytest.mark.parametrize(
    "answer",
    [
        {"kernels": []},
        {"kernels": [TOLD | {"id": "somebody else's"}]},
        {"kernels": [TOLD | {"state": "alike"}]},
        {"kernels": {}},
        {"kernels": [1]},
        {},
        WrongAnswerError("answered 404", status=404),
        NoAnswerError("refused"),
    ],
)
def test_nothing_is_said_when_all_is_well_or_nobody_knows(answer: Any) -> None:
    assert notes(ledger(a="aligned"), answer) == []
    assert notes(ledger(a="off", b="refused"), None) == []


def test_a_cause_of_a_newer_agent_is_no_cause() -> None:
    told = {"kernels": [TOLD | {"cause": "moon", "name": 5}]}
    (found,) = parse(told, ledger(a="aligned"))
    assert (found.cause, found.name) == ("unknown", None)


def test_a_fingerprint_has_the_versions_of_what_was_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("numpy-2.1.dist-info", "Pillow-11.0.dist-info", "other-1.dist-info", "numpy"):
        (tmp_path / name).mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path), str(tmp_path / "none")])
    first = fingerprint(["numpy", "numpy.linalg", "PIL", "json"])
    assert first["versions"] == {"numpy": "2.1", "pillow": "11.0"}
    assert first["prefix"] == sys.prefix
    (tmp_path / "numpy-2.1.dist-info").rename(tmp_path / "numpy-2.2.dist-info")
    second = fingerprint(["numpy", "numpy.linalg", "PIL", "json"])
    assert "numpy is version 2.1 and 2.2" in drift(first, second)
