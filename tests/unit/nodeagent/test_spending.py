"""The CPU budget over restarts of the agent: what the last minute cost is not forgotten."""

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodeagent.ksm.control import KsmController
from nodeagent.ksm.decide import START, KsmGoal, KsmPolicy, decide, spent_in_window
from nodeagent.ksm.facts import KsmFacts
from nodeagent.ksm.lock import KsmLock
from nodeagent.ksm.spending import SpendingFile
from nodeagent.ksm.state import StateFile
from nodeagent.ksm.sysfs import KsmDir
from tests.unit.nodeagent.support import BOOT, FakeRoot, SimulatedKsmd


def worst_minute(ksmd: SimulatedKsmd, file: SpendingFile, lives: list[float]) -> tuple[float, int]:
    """ksmd's CPU in its worst minute while agents live so many seconds each; and its passes."""
    policy = KsmPolicy()
    spent = [(ksmd.now, ksmd.cpu)]
    for life in lives:
        goal: KsmGoal = replace(START, memory=replace(START.memory, spent=file.load(ksmd.now)))
        until = ksmd.now + life
        while ksmd.now < until:
            goal = decide(ksmd.sample(), goal, policy)
            file.save(goal.memory.spent)
            ksmd.set(goal.knobs)
            # A kill leaves ksmd at the rate it had.
            ksmd.advance(min(2.0, max(until - ksmd.now, 0.1)))
            spent.append((ksmd.now, ksmd.cpu))
    return (
        max(
            cpu - next(before for moment, before in spent if moment >= now - 60)
            for now, cpu in spent
        ),
        ksmd.full_scans,
    )


@settings(max_examples=12, deadline=None)
@given(
    lives=st.lists(st.floats(0.2, 25.0), min_size=2, max_size=40),
    pages=st.integers(50_000, 600_000),
)
def test_a_loop_of_restarts_stays_in_the_budget(
    tmp_path_factory: pytest.TempPathFactory, lives: list[float], pages: int
) -> None:
    ksmd = SimulatedKsmd()
    ksmd.arrive(pages)
    ksmd.arrive(pages)
    file = SpendingFile(tmp_path_factory.mktemp("state"), boot_id=BOOT)
    used, _ = worst_minute(ksmd, file, lives)
    assert used <= 60 * KsmPolicy().cpu_budget * 1.25 + 0.2


def test_work_goes_on_through_restarts(tmp_path: Path) -> None:
    ksmd = SimulatedKsmd()
    ksmd.arrive(50_000)
    ksmd.arrive(50_000)
    _, passes = worst_minute(ksmd, SpendingFile(tmp_path, boot_id=BOOT), [9.0] * 60)
    assert passes >= 3
    assert ksmd.merged == 50_000


def controller(root: FakeRoot, now: float) -> KsmController:
    ksm = KsmDir(root.sys)
    return KsmController(
        ksm=ksm,
        facts=KsmFacts(ksm, root.proc, clock=lambda: now, page_bytes=4096),
        state=StateFile(root.state, boot_id=BOOT, sys_root=root.sys),
        lock=KsmLock(root.state / "ksm.lock"),
        policy=KsmPolicy(),
        mode="tune",
        mode_why="the test says so",
        mode_problem=None,
        clock=lambda: now,
        spending=SpendingFile(root.state, boot_id=BOOT),
    )


def test_the_next_agent_waits_for_what_the_last_one_spent(root: FakeRoot) -> None:
    root.process(100, private_mib=200)
    first = controller(root, 1000.0)
    assert first.step().phase == "burst"
    # Killed; ksmd has used the whole minute's budget meanwhile.
    (root.proc / "37/schedstat").write_text("8100000000 5 9\n")
    second = controller(root, 1012.0)
    report = second.step()
    assert "budget is used up" in report.why
    assert root.ksm("run") == "0"
    second.stop()
    # A clean stop does not give the budget back either; the minute does.
    assert "budget is used up" in controller(root, 1030.0).step().why
    assert root.ksm("run") == "0"
    assert "at up to" in controller(root, 1100.0).step().why


@pytest.mark.parametrize(
    "content",
    [
        "",
        "[]",
        "{}",
        '{"format": 1, "boot_id": "BOOT", "spent": [[1]]}',
        '{"format": 1, "boot_id": "BOOT", "spent": [[5, 9], [6, 8]]}',
        '{"format": 1, "boot_id": "BOOT", "spent": [[1, NaN]]}',
        '{"format": 1, "boot_id": "another", "spent": [[1, 2]]}',
        '{"format": 1, "boot_id": "BOOT", "spent": [[5000, 2]]}',
    ],
)
def test_nonsense_counts_as_nothing(tmp_path: Path, content: str) -> None:
    file = SpendingFile(tmp_path, boot_id=BOOT)
    file.path.write_text(content.replace("BOOT", BOOT))
    assert file.load(1000.0) == ()
    file.save(((1.0, 2.0),))
    assert SpendingFile(tmp_path, boot_id=BOOT).load(1000.0) == ((1.0, 2.0),)


def test_a_folder_that_cannot_be_written_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    file = SpendingFile(tmp_path / "state", boot_id=BOOT)
    for second in range(3):
        file.save(((float(second), float(second)),))
    assert len([record for record in caplog.records if "cannot keep" in record.message]) == 1


def test_nothing_is_written_while_ksmd_rests(tmp_path: Path) -> None:
    file = SpendingFile(tmp_path, boot_id=BOOT)
    file.save(((1.0, 2.0),))
    file.path.unlink()
    file.save(((1.0, 2.0), (11.0, 2.0)))
    assert not file.path.exists()
    file.save(((1.0, 2.0), (11.0, 2.5)))
    assert file.path.exists()


def test_a_loaded_minute_is_the_window(tmp_path: Path) -> None:
    assert spent_in_window(replace(START.memory, spent=((1.0, 2.0), (5.0, 4.5)))) == 2.5
