"""Work over minutes, from the samples that a driver gives."""

from pathlib import Path

import pytest

from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.windows import Window
from tests.unit.nodeagent.gpu_rig import Rig, card, listed, needs_cc, scenario


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.write(scenario("t4"))
    return rig


async def work(rig: Rig, monitor: GpuMonitor, ticks: int, *, sm: int | None) -> None:
    """So many ticks, in each a sample of this SM share; None: no sample."""
    for _ in range(ticks):
        lines: list[str] = []
        if sm is not None:
            stamp = rig.microseconds(ago=-4.5)
            lines = ["gpu0.utils 1", f"gpu0.util0 1001 {stamp} {sm} 5"]
        rig.write(scenario("t4"), *lines)
        await rig.tick(monitor)


@needs_cc
@pytest.mark.parametrize("none", [6, 0], ids=["not-found", "success-with-nothing"])
def test_no_samples_is_idle(rig: Rig, none: int) -> None:
    rig.write(scenario("t4"), f"gpu0.utilnone {none}")

    async def script(monitor: GpuMonitor) -> None:
        gpu = card(await rig.tick(monitor, 70), "GPU-t4")
        process = listed(gpu, 1001)
        assert process.duty_1m.known == process.duty_5m.known == process.duty_15m.known == 0.0
        assert process.last_busy.status == "unknown"
        assert "350 s" in process.last_busy.why or "345 s" in process.last_busy.why

    rig.run(script)


@needs_cc
def test_duty_of_a_minute_and_of_a_quarter_of_an_hour(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await work(rig, monitor, 60, sm=80)
        busy_until = rig.wall
        await work(rig, monitor, 60, sm=None)
        assert monitor.snapshot is not None
        process = listed(card(monitor.snapshot, "GPU-t4"), 1001)
        assert process.duty_1m.known == 0.0
        assert process.duty_5m.known == pytest.approx(0.0, abs=0.06)
        assert process.duty_15m.known == pytest.approx(0.5, abs=0.02)
        assert process.mean_sm_15m.known == pytest.approx(0.4, abs=0.02)
        assert process.last_busy.known == pytest.approx(busy_until, abs=0.1)
        # A neighbour that did nothing in the same time.
        assert listed(card(monitor.snapshot, "GPU-t4"), 1002).duty_15m.known == 0.0

    rig.run(script)


@needs_cc
@pytest.mark.parametrize("all_samples", [0, 1], ids=["new-ones", "the-whole-buffer"])
def test_a_sample_counts_once(rig: Rig, all_samples: int) -> None:
    sample = f"gpu0.util0 1001 {rig.microseconds(-1)} 50 5"
    rig.write(scenario("t4"), "gpu0.utils 1", sample, f"gpu0.utilall {all_samples}")

    async def script(monitor: GpuMonitor) -> None:
        process = listed(card(await rig.tick(monitor, 12), "GPU-t4"), 1001)
        assert process.duty_1m.known == pytest.approx(1 / 12, abs=0.02)

    rig.run(script)


@needs_cc
def test_garbage_samples_and_a_clock_that_was_set_back(rig: Rig) -> None:
    stamp = rig.microseconds(-1)
    rig.write(scenario("t4"), "gpu0.utils 1", f"gpu0.util0 1001 {stamp} 4000000 5")

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 6)
        assert monitor.snapshot is not None
        assert listed(card(monitor.snapshot, "GPU-t4"), 1001).duty_1m.known == 0.0
        # The driver's buffer is from the future: nothing can be said of this tick.
        rig.skew -= 7200
        rig.write(scenario("t4"), "gpu0.utils 1", f"gpu0.util0 1001 {stamp + 10**9} 90 5")
        snapshot = await rig.tick(monitor)
        assert listed(card(snapshot, "GPU-t4"), 1001).duty_1m.known == 0.0
        rig.write(scenario("t4"))
        await work(rig, monitor, 6, sm=70)
        assert monitor.snapshot is not None
        assert (listed(card(monitor.snapshot, "GPU-t4"), 1001).duty_1m.known or 0) > 0.3

    rig.run(script)


@needs_cc
def test_a_new_process_is_judged_by_its_whole_life(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 3)
        born = int((rig.wall - 1_700_000_000) * 100)
        rig.proc.add(1001, started=born)
        await work(rig, monitor, 2, sm=60)
        assert monitor.snapshot is not None
        process = listed(card(monitor.snapshot, "GPU-t4"), 1001)
        assert process.started == born
        assert process.duty_15m.known == 1.0

    rig.run(script)


@needs_cc
def test_a_pid_that_is_used_again_is_another_process(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await work(rig, monitor, 30, sm=60)
        rig.proc.add(1001, started=999_999)
        await rig.tick(monitor)
        assert monitor.snapshot is not None
        process = listed(card(monitor.snapshot, "GPU-t4"), 1001)
        assert (process.started, process.duty_5m.status) == (999_999, "unknown")

    rig.run(script)


@needs_cc
def test_time_in_which_nobody_looked_is_neither_work_nor_idleness(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await work(rig, monitor, 12, sm=100)
        rig.now += 600
        await work(rig, monitor, 1, sm=100)
        assert monitor.snapshot is not None
        gpu = card(monitor.snapshot, "GPU-t4")
        assert listed(gpu, 1001).duty_15m.status == "unknown"
        assert gpu.busy_5m.status == "unknown"
        assert "watched for" in gpu.busy_5m.why

    rig.run(script)


def test_window_forgets_after_its_time() -> None:
    window = Window(0.0)
    for at in range(0, 900, 5):
        window.add(float(at), 5.0, 1.0, 0.5, 100)
    assert window.over(899.0)[15] == (900.0, 1.0, 0.5)
    window.add(10_000.0, 5.0, 0.0, None, 7)
    assert window.over(10_000.0)[15] == (5.0, 0.0, 0.0)
    assert window.amount_quantile(0.95, 10_000.0) == 7
    assert window.over(10_000.0)[1] == (5.0, 0.0, 0.0)


def test_quantile_of_a_load_that_comes_in_bursts() -> None:
    window = Window(0.0)
    for at in range(0, 900, 15):
        window.add(float(at), 15.0, 1.0 if at < 180 else 0.0)
    assert window.first_quantile(0.9, 899.0) == 1.0
    assert window.first_quantile(0.5, 899.0) == 0.0
    assert window.over(899.0)[15][1] == pytest.approx(0.2, abs=0.02)
