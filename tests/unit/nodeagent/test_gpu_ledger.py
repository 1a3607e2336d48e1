"""Reservations and records: no gigabyte twice, the same answer again, byte for byte."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.gpu.canonical import encode
from nodeagent.gpu.reading import unknown
from nodeagent.gpu.sharing.decide import decide
from nodeagent.gpu.sharing.ledger import Ledger, LedgerMovedError, release, reserve
from nodeagent.gpu.sharing.policy import GIB
from nodeagent.gpu.sharing.record import Record, RecordError, lines, read_records, record_of, replay
from nodeagent.gpu.sharing.request import Request, Want
from nodeagent.gpu.sharing.verdict import Decision
from nodeagent.gpu.snapshot import Snapshot
from tests.unit.nodeagent.gpu_support import (
    NOW,
    POLICY,
    ask,
    codes,
    gpu,
    held,
    node,
    process,
    tenant,
)


def taken(ledger: Ledger, decision: Decision, now: float = NOW) -> Ledger:
    return reserve(ledger, decision.reservations, seen_version=decision.ledger_version, now=now)


def test_two_spawns_in_one_second_do_not_get_the_same_gigabytes() -> None:
    snapshot = node(gpu())
    first = ask(snapshot, pod="ns/1", memory_bytes=9 * GIB)
    ledger = taken(Ledger(), first)
    second = ask(snapshot, pod="ns/2", memory_bytes=9 * GIB, ledger=ledger)
    assert (second.verdict, codes(second)) == ("wait", {"memory"})
    later = NOW + POLICY.reservation_seconds
    request = Request(pod="ns/2", memory_bytes=9 * GIB)
    fresh = replace(snapshot, taken=later)
    assert decide(request, [fresh], POLICY, later, ledger).verdict == "share"


def test_asking_again_gives_the_same_gpu_and_leaves_the_ledger() -> None:
    ledger = Ledger()
    first = ask(node(gpu("GPU-b")), pod="ns/1", ledger=ledger)
    ledger = taken(ledger, first)
    again = ask(node(gpu("GPU-a"), gpu("GPU-b")), pod="ns/1", ledger=ledger)
    assert again.devices == first.devices == ("GPU-b",)
    assert taken(ledger, again) is ledger


def test_a_ledger_that_moved_on_asks_for_a_new_decision() -> None:
    stale = ask(node(gpu()), pod="ns/1")
    ledger = taken(Ledger(), ask(node(gpu()), pod="ns/2"))
    with pytest.raises(LedgerMovedError, match="version 1"):
        taken(ledger, stale)
    taken(ledger, ask(node(gpu()), pod="ns/1", ledger=ledger))


def test_a_pod_that_moves_gives_its_former_reservation_back() -> None:
    ledger = taken(Ledger(), ask(node(gpu("GPU-a")), pod="ns/1"))
    ledger = taken(ledger, ask(node(gpu("GPU-b")), pod="ns/1", ledger=ledger))
    assert [entry.uuid for entry in ledger.entries] == ["GPU-b"]
    assert release(ledger, "ns/other") is ledger
    assert release(ledger, "ns/1").entries == ()


def test_a_reservation_shrinks_with_what_its_container_holds() -> None:
    ledger = taken(Ledger(), ask(node(gpu()), pod="ns/1", memory_bytes=8 * GIB))
    arrived = gpu(
        used=6 * GIB,
        processes=replace(gpu().processes, value=(process(1, "ns/1", 6 * GIB),)),
        tenants=(tenant("ns/1"),),
    )
    # 16 - 8.4 (6 held, 2.4 to come) - 0.5 of headroom - 0.4 of context
    assert ask(node(arrived), memory_bytes=6 * GIB, ledger=ledger).verdict == "share"
    assert ask(node(arrived), memory_bytes=7 * GIB, ledger=ledger).verdict == "wait"


def test_who_reserved_to_be_alone_is_alone() -> None:
    ledger = taken(Ledger(), ask(node(gpu()), pod="ns/1", want="exclusive"))
    assert codes(ask(node(gpu()), ledger=ledger)) == {"taken"}
    shared = taken(Ledger(), ask(node(gpu()), pod="ns/1"))
    assert codes(ask(node(gpu()), want="exclusive", ledger=shared)) == {"in_use"}


def test_reservations_of_several_pods_at_once_are_refused() -> None:
    one, two = ask(node(gpu()), pod="ns/1"), ask(node(gpu()), pod="ns/2")
    with pytest.raises(ValueError, match="2 pods"):
        reserve(Ledger(), one.reservations + two.reservations, seen_version=0, now=NOW)


def recorded(snapshots: tuple[Snapshot, ...], want: Want = "share") -> Record:
    wanted = Request(pod="ns/p", memory_bytes=4 * GIB, want=want)
    ledger = taken(Ledger(), ask(node(gpu()), pod="ns/1"))
    decision = decide(wanted, snapshots, POLICY, NOW, ledger)
    return record_of(wanted, snapshots, POLICY, NOW, ledger, decision)


FLEETS = {
    "share": (node(held("GPU-a", GIB), gpu("GPU-b")),),
    "wait": (node(held("GPU-a", 15 * GIB)), node(gpu(cordoned=True), name="n2")),
    "unknown": (node(driver=unknown("gone")),),
    "exclusive": (node(gpu()),),
}


@pytest.mark.parametrize("verdict", FLEETS)
def test_replay_is_byte_for_byte_through_a_file(verdict: str) -> None:
    want: Want = "exclusive" if verdict == "exclusive" else "share"
    snapshots = FLEETS[verdict] if want == "share" else (node(gpu("GPU-z")),)
    record = recorded(snapshots, want=want)
    assert json.loads(record.said)["verdict"] == verdict
    found = [again for _, again in read_records(lines(record, set()))]
    assert [again.said for again in found] == [record.said]
    assert encode(replay(found[0])) == record.said


def test_a_snapshot_is_written_once() -> None:
    written: set[str] = set()
    both = [*lines(recorded(FLEETS["share"]), written), *lines(recorded(FLEETS["share"]), written)]
    kinds = [json.loads(line)["kind"] for line in both]
    assert kinds == ["snapshot", "policy", "decision", "decision"]


def write(path: Path, *records: Record) -> Path:
    written: set[str] = set()
    path.write_text("".join(line + "\n" for each in records for line in lines(each, written)))
    return path


def test_the_command_says_same_and_exits_0(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = write(tmp_path / "gpu.jsonl", *(recorded(fleet) for fleet in FLEETS.values()))
    assert main(["gpu", "replay", str(file), "--explain"]) == 0
    shown = capsys.readouterr().out
    assert "4 of 4 decisions came out as recorded." in shown
    assert "not GPU-a of n2: an operator took it out of use" in shown


def test_the_command_shows_what_changed_and_exits_1(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record = recorded(FLEETS["share"])
    other = json.loads(record.said) | {"devices": ["GPU-x"]}
    file = write(tmp_path / "gpu.jsonl", replace(record, said=json.dumps(other)))
    assert main(["gpu", "replay", str(file)]) == 1
    shown = capsys.readouterr().out
    assert "CHANGED" in shown
    assert "0 of 1" in shown


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        pytest.param(lambda text: "", "holds no decision", id="empty"),
        pytest.param(lambda text: text[:-20], "Line 3", id="cut-inside-a-line"),
        pytest.param(lambda text: text.replace('"T4"', '"T5"'), "not that of id", id="edited"),
        pytest.param(lambda text: text.split("\n", 1)[1], "Line 2", id="snapshot-missing"),
        pytest.param(lambda text: text.replace('"format":1', '"format":9'), "format 1", id="newer"),
        pytest.param(lambda text: "[]\n", "format 1", id="no-object"),
    ],
)
def test_a_spoilt_record_is_named(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    spoil: Callable[[str], str],
    says: str,
) -> None:
    file = write(tmp_path / "gpu.jsonl", recorded(FLEETS["share"]))
    file.write_text(spoil(file.read_text()))
    assert main(["gpu", "replay", str(file)]) == 2
    assert says in capsys.readouterr().err


def test_a_record_that_is_not_there(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["gpu", "replay", str(tmp_path / "none")]) == 2
    assert "[gpu-record]" in capsys.readouterr().err
    with pytest.raises(RecordError):
        list(read_records(["{"]))
