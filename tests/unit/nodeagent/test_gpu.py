"""The real pynvml and the real child process against a stand-in library built from C."""

import time
from pathlib import Path

import pytest

from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.reading import ReadingStatus
from nodeagent.gpu.sharing.request import Request
from tests.unit.nodeagent.gpu_rig import Rig, card, listed, needs_cc, scenario

pytestmark = needs_cc
GIB = 2**30


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    rig = Rig(tmp_path)
    rig.write(scenario("t4"))
    return rig


def test_a_t4_with_everything(rig: Rig) -> None:
    snapshot = rig.read()
    gpu = card(snapshot, "GPU-t4")
    assert snapshot.driver.known == "535.216.01"
    assert (gpu.name.known, gpu.index, gpu.kind) == ("Tesla T4", 0, "gpu")
    assert gpu.memory_total_bytes.known == 15 * GIB
    assert gpu.memory_reserved_bytes.known == 450_000_000
    assert gpu.memory_used_bytes.known == 4 * GIB
    assert gpu.busy_now.known == 0.37
    assert (gpu.power_watts.known, gpu.power_limit_watts.known) == (31.0, 70.0)
    assert gpu.temperature_celsius.known == 47
    assert gpu.compute_mode.known == "default"
    assert gpu.mig_mode.status == "unsupported"
    assert gpu.unified_memory.known is False
    assert gpu.health.state.known == "ok"
    # Pages on a Turing card, which has no rows to remap.
    assert gpu.health.remap_pending.known is False
    assert gpu.health.remap_failed.status == "unsupported"
    assert (gpu.mps_state.known, gpu.mps_clients.known) == ("absent", 0)
    both = listed(gpu, 1002)
    assert both.kinds == ("compute", "graphics")
    assert both.memory_bytes.known == GIB
    assert listed(gpu, 1001).memory_bytes.known == 3 * GIB
    assert listed(gpu, 1003).memory_bytes.status == "unknown"
    # Watched for one tick: no word about minutes, and no 0 for them.
    assert gpu.busy_15m.status == listed(gpu, 1001).duty_15m.status == "unknown"


@pytest.mark.parametrize(
    ("line", "field", "status", "value"),
    [
        pytest.param("gpu0.ratesfails 3", "busy_now", "unsupported", None, id="no-utilisation"),
        pytest.param("gpu0.busy 250", "busy_now", "unknown", None, id="garbage"),
        pytest.param("gpu0.memory2fails 13", "memory_total_bytes", "ok", 15 * GIB, id="v1"),
        pytest.param(
            "gpu0.memory2fails 25", "memory_reserved_bytes", "unsupported", None, id="v1-reserve"
        ),
        pytest.param(f"gpu0.used {2**64 - 1}", "memory_used_bytes", "unknown", None, id="sentinel"),
        pytest.param("gpu0.powerfails 4", "power_watts", "unknown", None, id="no-permission"),
        pytest.param("gpu0.powerfails 999", "power_watts", "unknown", None, id="unknown-error"),
        pytest.param("gpu0.processesfails 3", "processes", "unsupported", None, id="no-list"),
        pytest.param("gpu0.proc0 0 1 C", "processes", "unknown", None, id="scrambled"),
        pytest.param("gpu0.procs 0", "processes", "ok", (), id="nobody"),
        pytest.param("gpu0.computemode 2", "compute_mode", "ok", "prohibited", id="prohibited"),
        pytest.param("gpu0.mig 0 1", "mig_mode", "ok", "changing", id="mig-pending"),
        pytest.param("gpu0.mpsfails 3", "mps_state", "unsupported", None, id="no-mps"),
    ],
)
def test_absent_and_garbage(
    rig: Rig, line: str, field: str, status: ReadingStatus, value: object
) -> None:
    rig.write(scenario("t4"), line)
    reading = getattr(card(rig.read(), "GPU-t4"), field)
    assert (reading.status, reading.value) == (status, value)


def test_a_driver_without_the_mps_list(rig: Rig) -> None:
    rig.defines = ("-DNO_MPS_SYMBOL",)
    gpu = card(rig.read(), "GPU-t4")
    assert gpu.mps_clients.status == "unsupported"
    assert len(gpu.processes.known or ()) == 3


def test_mig_instances_and_their_parent(rig: Rig) -> None:
    rig.write(scenario("a100_mig"))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor, 8)
        parent, one, two = (card(snapshot, uuid) for uuid in ("GPU-a100", "MIG-one", "MIG-two"))
        assert (parent.mig_mode.known, one.kind, one.parent) == ("on", "mig", "GPU-a100")
        assert (one.profile, two.profile) == ("3g.20gb", "1g.5gb")
        assert two.memory_total_bytes.known == 5100273664
        assert listed(one, 1001).memory_bytes.known == 1_000_000_000
        # MIG tells no load: that is not idleness.
        assert one.busy_15m.status == listed(one, 1001).duty_15m.status == "unsupported"
        decision, _ = monitor.desk.decide(
            Request(pod="ns/a", want="mig", mig_profile="1g.5gb", memory_bytes=GIB),
            snapshot,
            hold=False,
        )
        assert (decision.verdict, decision.devices) == ("share", ("MIG-two",))
        # Instances are made anew: the old ones are gone, not lost.
        rig.write(scenario("a100_mig"), "gpu0.m5.uuid MIG-three")
        snapshot = await rig.tick(monitor)
        assert {gpu.uuid for gpu in snapshot.gpus} == {"GPU-a100", "MIG-one", "MIG-three"}

    rig.run(script)


def test_the_load_of_instances_on_a_card_that_tells_it(rig: Rig) -> None:
    rig.write(scenario("h200_mig"))

    async def script(monitor: GpuMonitor) -> None:
        first = await rig.tick(monitor)
        # Two samples make a number.
        assert card(first, "MIG-busy").busy_now.status == "unsupported"
        snapshot = await rig.tick(monitor, 8)
        busy, quiet = card(snapshot, "MIG-busy"), card(snapshot, "MIG-quiet")
        assert (busy.busy_now.known, busy.busy_1m.known) == (0.6, 0.6)
        assert quiet.busy_1m.known == 0.0
        assert busy.busy_1m.source.startswith("nvmlGpmMigSampleGet")
        assert busy.memory_busy_1m.status == "unsupported"
        rig.write(scenario("h200_mig"), "gpu0.m1.uuid MIG-other", "gpu0.gpmgi5 30")
        snapshot = await rig.tick(monitor, 6)
        assert card(snapshot, "MIG-other").busy_now.known == 0.3
        # It stops being told: what was is not taken for what is.
        rig.write(scenario("h200_mig"), "gpu0.gpmfails 999")
        snapshot = await rig.tick(monitor)
        assert card(snapshot, "MIG-busy").busy_now.status == "unsupported"

    rig.run(script)


def test_an_h200_with_mps_and_a_bad_row(rig: Rig) -> None:
    rig.proc.add(1000, name="nvidia-cuda-mps")
    rig.write(scenario("h200"))
    gpu = card(rig.read(), "GPU-h200")
    assert (gpu.mps_state.known, gpu.mps_clients.known) == ("running", 2)
    assert gpu.compute_mode.known == "exclusive_process"
    assert listed(gpu, 1000).kinds == ("mps_server",)
    assert listed(gpu, 1001).kinds == ("mps",)
    assert gpu.health.remap_pending.known is True
    assert gpu.health.remap_failed.known is False


def test_a_gb10_uses_the_hosts_memory(rig: Rig) -> None:
    rig.write(scenario("gb10"))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor, 8)
        gpu = card(snapshot, "GPU-gb10")
        assert gpu.unified_memory.known is True
        assert gpu.memory_total_bytes.status == "unsupported"
        assert snapshot.host_total_bytes.known == 131072000 * 1024
        assert listed(gpu, 1001).memory_bytes.known == 2 * GIB
        asked = Request(pod="ns/a", memory_bytes=GIB)
        decision, _ = monitor.desk.decide(asked, snapshot, hold=False)
        assert decision.verdict == "share"
        assert "host memory stands in for GPU memory" in decision.notes

    rig.run(script)


def test_eight_gpus(rig: Rig) -> None:
    rig.write(scenario("eight_gpus"))
    snapshot = rig.read()
    assert [gpu.uuid for gpu in snapshot.gpus] == [f"GPU-{at}" for at in range(8)]
    assert all(len(gpu.processes.known or ()) == 25 for gpu in snapshot.gpus)


def test_a_lost_card_does_not_hide_the_others_and_comes_back(rig: Rig) -> None:
    good = scenario("lost_gpu").replace("gpu1.allfails 15\n", "")

    async def script(monitor: GpuMonitor) -> None:
        rig.write(good)
        await rig.tick(monitor)
        rig.write(scenario("lost_gpu"))
        snapshot = await rig.tick(monitor)
        lost = card(snapshot, "GPU-lost")
        assert lost.health.state.known == "lost"
        # What was read before is shown with its age, and nothing decides on it.
        assert lost.memory_used_bytes.status == "stale"
        assert lost.memory_used_bytes.value == 1_000_000_000
        assert lost.memory_used_bytes.age_seconds == 5.0
        assert card(snapshot, "GPU-stays").health.state.known == "ok"
        report = monitor.current()
        assert report.state == "error"
        assert "dmesg" in report.message
        assert [gpu.uuid for gpu in report.devices] == ["GPU-stays"]
        decision, _ = monitor.desk.decide(
            Request(pod="ns/a", memory_bytes=GIB, previous="GPU-lost"), snapshot, hold=False
        )
        assert decision.devices == ("GPU-stays",)
        assert {each.code for each in decision.rejected} == {"unhealthy"}
        rig.write(good)
        snapshot = await rig.tick(monitor)
        assert card(snapshot, "GPU-lost").health.state.known == "recovering"
        snapshot = await rig.tick(monitor, 6)
        assert card(snapshot, "GPU-lost").health.state.known == "ok"

    rig.run(script)


def test_a_reset_that_is_required(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        rig.write(scenario("t4"), "gpu0.allfails 16")
        gpu = card(await rig.tick(monitor), "GPU-t4")
        assert gpu.health.state.known == "reset_required"
        assert "nvidia-smi --gpu-reset" in monitor.current().message

    rig.run(script)


def test_an_index_that_changes_is_no_key(rig: Rig) -> None:
    two = scenario("lost_gpu").replace("gpu1.allfails 15\n", "")

    async def script(monitor: GpuMonitor) -> None:
        rig.write(two, "gpu0.busy 90", "gpu1.busy 10")
        await rig.tick(monitor, 6)
        # The first card is off the bus, and the second has its number.
        rig.write(two, "count 1", "gpu0.uuid GPU-lost", "gpu0.used 1000000000", "gpu0.busy 10")
        snapshot = await rig.tick(monitor, 6)
        stays = card(snapshot, "GPU-lost")
        assert stays.index == 0
        assert stays.busy_1m.known == 0.1
        assert card(snapshot, "GPU-stays").health.state.known == "lost"

    rig.run(script)


def test_a_hung_driver_ends_in_stale_and_heals(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        before = await rig.tick(monitor)
        rig.write(scenario("hung_call"))
        # Only for the call that hangs: a busy machine may take long to start a process.
        monitor._link._timeout = 2.0
        started = time.monotonic()
        after = await rig.tick(monitor)
        assert time.monotonic() - started < 12
        assert after is before
        report = monitor.current()
        assert (report.state, report.age_seconds) == ("stale", 5.0)
        assert "did not answer within" in report.message
        rig.now += 15
        asked = Request(pod="ns/a", memory_bytes=GIB)
        assert monitor.desk.decide(asked, after, hold=False)[0].verdict == "unknown"
        rig.write(scenario("t4"))
        monitor._link._timeout = 20.0
        assert (await rig.tick(monitor)).taken == round(rig.wall, 3)
        assert monitor.current().state == "ok"

    rig.run(script)


def test_a_driver_upgraded_under_the_agent(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        # What the old process answers once the module is another one.
        rig.write(scenario("t4"), "countfails 18")
        await rig.tick(monitor)
        assert monitor.current().state == "stale"
        assert "upgraded" in monitor.current().message
        # A new process cannot start NVML either until the machine was restarted.
        rig.write(scenario("driver_upgrade"))
        await rig.tick(monitor)
        assert monitor.child_pid is None
        rig.write(scenario("t4"), "driver 580.65.06")
        snapshot = await rig.tick(monitor)
        assert snapshot.driver.known == "580.65.06"

    rig.run(script)


def test_a_driver_that_is_not_loaded_is_a_normal_state(rig: Rig) -> None:
    rig.write("init 9")

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor)
        assert monitor.current().state == "no_driver"
        assert (snapshot.gpus, snapshot.driver.status) == ((), "unknown")
        decision, _ = monitor.desk.decide(Request(pod="ns/a"), snapshot, hold=True)
        assert decision.verdict == "unknown"

    rig.run(script)


def test_no_library_starts_no_process(rig: Rig) -> None:
    rig.has_library = False

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        assert monitor.child_pid is None
        report = monitor.current()
        assert (report.state, report.devices) == ("no_driver", ())
        assert "libnvidia-ml.so.1" in report.message

    rig.run(script)


def test_the_agent_lets_go_of_the_driver_for_a_reset(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        before = await rig.tick(monitor)
        child = monitor.child_pid
        assert child is not None
        await monitor.pause(60)
        assert monitor.child_pid is None
        assert not Path(f"/proc/{child}").exists()
        assert await rig.tick(monitor, 4) is before
        assert monitor.child_pid is None
        assert (monitor.current().state, "paused" in monitor.current().message) == ("stale", True)
        rig.now += 60
        assert (await rig.tick(monitor)).taken > before.taken
        assert monitor.current().state == "ok"

    rig.run(script)


def test_gpus_that_the_agent_may_not_see(rig: Rig) -> None:
    """A container without access to the devices is no node without GPUs."""
    device = rig.state.parent / "sys/bus/pci/devices/0000:01:00.0"
    device.mkdir(parents=True)
    (device / "vendor").write_text("0x10de\n")
    (device / "class").write_text("0x030200\n")
    rig.write("count 0")

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor)
        assert snapshot.expected_gpus.known == 1
        decision, _ = monitor.desk.decide(Request(pod="ns/a"), snapshot, hold=False)
        assert (decision.verdict, decision.rejected[0].code) == ("unknown", "no_access")

    rig.run(script)


def test_xids_are_remembered_with_their_age(rig: Rig) -> None:
    rig.write(scenario("t4"), "events 2", "event0 0 8 63", "event1 0 8 79")

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        snapshot = await rig.tick(monitor, 2)
        xids = card(snapshot, "GPU-t4").health.xids
        assert [(xid.code, xid.seconds_ago) for xid in xids] == [(63, 10.0), (79, 10.0)]
        decision, _ = monitor.desk.decide(Request(pod="ns/a"), snapshot, hold=False)
        assert decision.rejected[0].code == "xid"

    rig.run(script)
