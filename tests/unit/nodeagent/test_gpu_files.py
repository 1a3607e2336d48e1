"""What is kept on disk: records for replay, a week's history, snoozes. Bounded, and whole."""

import asyncio
import json
import threading
from dataclasses import replace
from pathlib import Path

import pytest

from nodeagent.cli import main
from nodeagent.errors import ConfigError
from nodeagent.gpu.build import read_policy
from nodeagent.gpu.command import ask_file, replay_file
from nodeagent.gpu.desk import Desk
from nodeagent.gpu.flags.ladder import Snooze
from nodeagent.gpu.flags.snoozes import SnoozeFile
from nodeagent.gpu.history import HOUR, KEEP_HOURS, HistoryFile, Row, read_rows
from nodeagent.gpu.reading import ok, unknown
from nodeagent.gpu.recorder import Recorder
from nodeagent.gpu.sharing.ledger import Ledger
from nodeagent.gpu.sharing.policy import GIB, Policy
from nodeagent.gpu.sharing.record import Record, RecordError, record_of
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.gpu.store import RecordStore
from tests.unit.nodeagent.gpu_support import NOW, gpu, held, node


def later(snapshot: Snapshot, seconds: float) -> Snapshot:
    return replace(snapshot, taken=snapshot.taken + seconds)


def test_a_ring_of_records_that_replay(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path / "records", most_bytes=200_000)
    now = [NOW]
    desk = Desk(Policy(), keep=store.keep, clock=lambda: now[0])
    for at in range(200):
        now[0] = NOW + at
        snapshot = later(node(held("GPU-a", GIB, 2 * GIB), gpu("GPU-b")), at)
        store.keep_snapshot(snapshot)
        desk.decide(Request(pod=f"ns/{at}"), snapshot, hold=at % 2 == 0)
        asyncio.run(desk.recorded())
    files = store.files()
    assert len(files) > 2
    assert files[0].name != "gpu-000001.jsonl"
    assert sum(path.stat().st_size for path in files) <= 200_000
    # Every file stands by itself.
    for path in files:
        assert replay_file(str(path), as_json=False, explain=False) == 0
    assert "decisions came out as recorded" in capsys.readouterr().out


def test_a_new_agent_begins_a_new_file(tmp_path: Path) -> None:
    for _ in range(2):
        RecordStore(tmp_path, most_bytes=10**6).keep_snapshot(node(gpu()))
    assert [path.name for path in sorted(tmp_path.iterdir())] == [
        "gpu-000001.jsonl",
        "gpu-000002.jsonl",
    ]


def test_snapshots_are_asked_afterwards(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store = RecordStore(tmp_path, most_bytes=10**6)
    for at in range(0, 1200, 5):
        store.keep_snapshot(later(node(held("GPU-a", 14 * GIB) if at < 600 else gpu("GPU-a")), at))
    path = str(store.files()[0])
    asked = '{"pod": "ns/new", "memory_bytes": 4294967296}'
    assert ask_file(path, asked, Policy(), as_json=False) == 0
    said = [line.split(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["wait", "wait", "share", "share"]
    with pytest.raises(RecordError, match="--ask cannot be used"):
        ask_file(path, '{"colour": 1}', Policy(), as_json=False)
    with pytest.raises(RecordError, match="no decision"):
        replay_file(path, as_json=False, explain=False)


def test_what_is_asked_afterwards_is_judged_by_the_policy_given(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = RecordStore(tmp_path / "records", most_bytes=10**6)
    store.keep_snapshot(node(gpu("GPU-a")))
    bounds = tmp_path / "policy.json"
    bounds.write_text(json.dumps({"headroom_bytes": 100 * GIB}))
    replay = ["gpu", "replay", str(store.files()[0])]
    asked = [*replay, "--ask", '{"pod": "ns/new", "memory_bytes": 4294967296}']
    assert main(asked) == 0
    assert main([*asked, "--gpu-policy", str(bounds)]) == 0
    said = [line.split(": ")[2] for line in capsys.readouterr().out.splitlines()]
    assert said == ["share", "wait"]
    # Decisions that were recorded carry their own.
    assert main([*replay, "--gpu-policy", str(bounds)]) != 0
    assert "recorded policies" in capsys.readouterr().err
    assert main([*asked, "--gpu-policy", str(tmp_path / "none")]) != 0
    assert "cannot be used" in capsys.readouterr().err


def test_a_disk_that_cannot_be_written_costs_no_decision(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("")
    store = RecordStore(tmp_path / "file" / "records", most_bytes=10**6)
    desk = Desk(Policy(), keep=store.keep, clock=lambda: NOW)
    for at in range(3):
        decision, _ = desk.decide(Request(pod=f"ns/{at}"), node(gpu()), hold=True)
        assert decision.verdict == "share"
    desk.close()
    assert len(caplog.records) == 1


def test_decisions_do_not_wait_for_a_disk_and_are_kept_in_order(
    caplog: pytest.LogCaptureFixture,
) -> None:
    kept: list[tuple[str, str]] = []
    disk = threading.Event()

    def keep(record: Record) -> None:
        assert disk.wait(60)
        if record.request.pod == "ns/2":
            raise ValueError("unforeseen")
        kept.append((record.request.pod, threading.current_thread().name))

    recorder = Recorder(keep, most_waiting=10, wait_seconds=0.05)
    desk = Desk(Policy(), keep=keep, clock=lambda: NOW)
    facts = node(gpu())
    decision = desk.decide(Request(pod="ns/desk"), facts, hold=True)[0]
    assert (decision.verdict, kept) == ("share", [])

    async def scenario() -> None:
        for at in range(12):
            recorder.add(
                record_of(Request(pod=f"ns/{at}"), [facts], Policy(), NOW, Ledger(), decision)
            )
        # A disk that hangs keeps nobody waiting for long.
        await asyncio.wait_for(recorder.written(), 10)
        assert not kept
        disk.set()
        async with asyncio.timeout(20):
            while len(kept) < 10:
                await recorder.written()

    asyncio.run(scenario())
    recorder.close()
    desk.close()
    names = [pod for pod, thread in kept if pod != "ns/desk"]
    assert names == [f"ns/{at}" for at in range(10) if at != 2]
    assert "ns/desk" in {pod for pod, _ in kept}
    assert threading.main_thread().name not in {thread for _, thread in kept}
    assert [each.message.partition(":")[0] for each in caplog.records].count(
        "GPU decisions are not recorded for now"
    ) == 1


def test_who_has_heard_a_decision_finds_its_record(tmp_path: Path) -> None:
    store = RecordStore(tmp_path, most_bytes=10**6)
    desk = Desk(Policy(), keep=store.keep, clock=lambda: NOW)

    async def scenario() -> None:
        for at in range(5):
            desk.decide(Request(pod=f"ns/{at}"), node(gpu()), hold=True)
            await desk.recorded()
            assert f'"ns/{at}"' in store.files()[-1].read_text()

    asyncio.run(scenario())
    desk.close()


def test_history_counts_time_and_forgets_after_a_week(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    history = HistoryFile(path)
    start = int(NOW // HOUR) * HOUR
    for at in range(0, 2 * HOUR, 60):
        facts = held("GPU-a", GIB, 3 * GIB) if at < HOUR else gpu("GPU-a")
        history.add(replace(node(facts, tick_seconds=60), taken=float(start + at)))
    history.flush()
    first, second = read_rows(path)
    assert (first.hour, second.hour) == (start, start + HOUR)
    assert first.seconds == 59 * 60
    assert second.seconds == HOUR
    assert first.tenants == {"2": 59 * 60}
    assert second.tenants == {"0": HOUR}
    assert first.tenant_seconds == 2 * 59 * 60
    # 64ths of 16 GiB.
    assert first.held == {"4": 59 * 60, "12": 59 * 60}
    late = start + KEEP_HOURS * HOUR + HOUR
    for at in (0, 60):
        history.add(replace(node(gpu("GPU-a"), tick_seconds=60), taken=float(late + at)))
    history.flush()
    assert [row.hour for row in read_rows(path)] == [late]


def test_a_gap_and_unlisted_processes_are_no_history(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.jsonl")
    blind = gpu("GPU-a")
    blind = replace(blind, processes=replace(blind.processes, value=None, status="unknown"))
    for at in (0, 5, 4000):
        history.add(replace(node(blind), taken=NOW + at))
    history.flush()
    row = read_rows(tmp_path / "history.jsonl")[0]
    assert (row.seconds, row.blind_seconds, row.tenants) == (5.0, 5.0, {})


def test_memory_that_is_not_told_is_not_none_held(tmp_path: Path) -> None:
    history = HistoryFile(tmp_path / "history.jsonl")
    facts = held("GPU-a", GIB, GIB)
    first, second = facts.processes.value or ()
    second = replace(second, memory_bytes=unknown("not told", source="nvml"))
    facts = replace(facts, processes=replace(facts.processes, value=(first, second)))
    for at in (0, 5):
        history.add(replace(node(facts), taken=NOW + at))
    history.flush()
    row = read_rows(tmp_path / "history.jsonl")[0]
    assert (row.seconds, row.blind_seconds, row.held, row.tenants) == (5.0, 5.0, {}, {})


@pytest.mark.parametrize(
    ("duties", "busy", "duty_seconds", "active_seconds", "active"),
    [
        pytest.param([0.9, 0.0], None, 10.0, 5.0, {"1": 5.0}, id="all-known"),
        pytest.param([0.9, None], 0.9, 5.0, 5.0, {}, id="one-not-known"),
        pytest.param([None, None], 0.9, 0.0, 0.0, {}, id="none-known"),
        pytest.param([None], 0.9, 5.0, 5.0, {"1": 5.0}, id="alone-at-work"),
        pytest.param([None], 0.0, 5.0, 0.0, {"0": 5.0}, id="alone-idle"),
        pytest.param([None], None, 0.0, 0.0, {}, id="nothing-told"),
    ],
)
def test_work_that_is_not_told_is_not_idleness(
    tmp_path: Path,
    duties: list[float | None],
    busy: float | None,
    duty_seconds: float,
    active_seconds: float,
    active: dict[str, float],
) -> None:
    silent = unknown("an instance does not tell", source="nvml")
    facts = held("GPU-a", *[GIB] * len(duties))
    processes = tuple(
        replace(each, duty_1m=silent if duty is None else ok(duty, source="nvml"))
        for each, duty in zip(facts.processes.value or (), duties, strict=True)
    )
    facts = replace(
        facts,
        processes=replace(facts.processes, value=processes),
        busy_1m=silent if busy is None else ok(busy, source="gpm"),
    )
    history = HistoryFile(tmp_path / "history.jsonl")
    for at in (0, 5):
        history.add(replace(node(facts), taken=NOW + at))
    history.flush()
    row = read_rows(tmp_path / "history.jsonl")[0]
    assert row.tenant_seconds == 5.0 * len(duties)
    assert (row.duty_seconds, row.active_seconds, row.active) == (
        duty_seconds,
        active_seconds,
        active,
    )


def test_damaged_lines_cost_themselves_only(tmp_path: Path) -> None:
    path = tmp_path / "history.jsonl"
    good = json.dumps(vars(Row(hour=0, uuid="GPU-a")))
    path.write_bytes(
        f'{good}\n{{"hour": 5}}\nhalf a li\n'.encode() + f"\xff\n{good}\n".encode("latin-1")
    )
    assert len(read_rows(path)) == 2
    assert read_rows(tmp_path / "none") == []


def test_snoozes_outlive_the_agent(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file = SnoozeFile(tmp_path / "new" / "snoozes.json")
    assert file.read(NOW) == ()
    kept = Snooze(owner="ns/a", until=NOW + 10, by="tutor")
    file.write((kept, Snooze(owner="ns/b", until=NOW - 10, by="tutor")))
    assert file.read(NOW) == (kept,)
    (tmp_path / "new" / "snoozes.json").write_text("{")
    assert file.read(NOW) == ()
    assert "cannot be read" in caplog.text


def test_a_policy_file(tmp_path: Path) -> None:
    path = tmp_path / "policy.json"
    path.write_text('{"time_slicing_clients": 4}')
    assert read_policy(path).time_slicing_clients == 4
    assert read_policy(None) == Policy()
    path.write_text('{"clients": 4}')
    with pytest.raises(ConfigError, match="unknown name 'clients'"):
        read_policy(path)
