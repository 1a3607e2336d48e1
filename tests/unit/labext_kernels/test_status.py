import pytest

from labext.kernels.ledger import KernelLedger, KernelRecord, Outcome
from labext.kernels.merged import KsmStat
from labext.kernels.status import kernels_status, with_node
from labext.kernels.support import Support

CAN = Support(available=True)
CANNOT = Support(available=False, message="This Linux cannot", fix="Use Linux 6.4")


def of(*outcomes: Outcome, is_default: bool | None = True) -> KernelLedger:
    ledger = KernelLedger(is_default=is_default)
    for number, outcome in enumerate(outcomes):
        reason = None if outcome == "on" else f"because {outcome}"
        ledger.note(KernelRecord(kernel_id=str(number), pid=number, outcome=outcome, reason=reason))
    return ledger


@pytest.mark.parametrize(
    ("ledger", "support", "environment", "state", "part"),
    [
        pytest.param(of(), CAN, {}, "ok", "that you start opt in", id="none running"),
        pytest.param(of("on", "on"), CAN, {}, "ok", "2 of 2", id="all"),
        pytest.param(of("on", "off"), CAN, {}, "ok", "1 of 2 kernels", id="one switched off"),
        pytest.param(of("off"), CAN, {}, "off", "because off", id="all switched off"),
        pytest.param(of("on", "refused"), CAN, {}, "failed", "because refused", id="refused"),
        pytest.param(of("uncertain"), CAN, {}, "failed", "because uncertain", id="uncertain"),
        pytest.param(of("part"), CANNOT, {}, "ok", "(because part)", id="regions only"),
        pytest.param(of(), CANNOT, {}, "failed", "Use Linux 6.4", id="not on this Linux"),
        pytest.param(of(), CAN, {"SAMEPAGE_MERGE": "0"}, "off", "SAMEPAGE_MERGE=0", id="off"),
        pytest.param(
            KernelLedger(is_default=False, not_default_because="an admin chose"),
            CAN,
            {},
            "off",
            "an admin chose",
            id="another default",
        ),
    ],
)
def test_one_sentence(
    ledger: KernelLedger, support: Support, environment: dict[str, str], state: str, part: str
) -> None:
    status = kernels_status(
        ledger=ledger,
        environment=environment,
        ask=lambda: support,
        read=lambda _: KsmStat(merge_any=True),
    )
    assert status.state == state
    assert part in status.message
    assert ".." not in status.message
    assert status.message.endswith(".")


def test_the_process_is_believed_over_our_notes() -> None:
    status = kernels_status(
        ledger=of("on"), environment={}, ask=lambda: CAN, read=lambda _: KsmStat(merge_any=False)
    )
    assert status.state == "failed"
    assert "dropped" in status.message


def test_linux_without_the_line_leaves_our_notes() -> None:
    status = kernels_status(
        ledger=of("on"), environment={}, ask=lambda: CAN, read=lambda _: KsmStat()
    )
    assert status.state == "ok"


def test_a_kernel_that_ended_is_forgotten() -> None:
    ledger = of("refused")
    ledger.forget("0")
    ledger.forget("never seen")
    assert (
        kernels_status(ledger=ledger, environment={}, ask=lambda: CAN, read=lambda _: None).state
        == "ok"
    )


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (None, ""),
        ({}, ""),
        ({"kernels": None}, ""),
        ({"kernels": {"alike": None, "drifted": None}}, ""),
        ({"kernels": {"alike": 0, "drifted": 0}}, ""),
        ({"kernels": {"alike": 12, "drifted": 0}}, " 12 kernels of this node are aligned alike."),
        (
            {"kernels": {"alike": 12, "drifted": 2}},
            " 12 kernels of this node are aligned alike, 2 drifted apart and share little; the "
            "operator sees why.",
        ),
    ],
)
def test_what_the_node_counted_follows(node: dict[str, object] | None, words: str) -> None:
    assert with_node("One.", node) == f"One.{words}"
