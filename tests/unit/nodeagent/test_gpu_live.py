"""From the driver's list to people: owners, differences, flags, and what a student may see."""

import json
from pathlib import Path

import pytest

from nodeagent.gpu.compact import compact, expand
from nodeagent.gpu.flags.ladder import LadderRules, Snooze
from nodeagent.gpu.flags.miner import MinerRules
from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.reading import ok, unsupported
from nodeagent.gpu.roster import Claim, Roster
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.snapshot import Snapshot
from nodeagent.gpu.student import me_json
from tests.unit.nodeagent.gpu_rig import POD, Rig, card, listed, needs_cc, pod_cgroup, scenario

pytestmark = needs_cc
GIB = 2**30
OTHER = "0a1b2c3d-9999-2222-3333-444455556666"
ADA, BOB = f"pod/{POD}", f"pod/{OTHER}"


@pytest.fixture
def rig(tmp_path: Path) -> Rig:
    """Ada: 1001 with 3 GiB. Bob: 1002 with 1 GiB. Root: 1003, memory not told."""
    rig = Rig(tmp_path)
    rig.write(scenario("t4"))
    rig.proc.add(1001, cgroup=pod_cgroup(POD), inner=7)
    rig.proc.add(1002, cgroup=pod_cgroup(OTHER, "cd" * 32))
    return rig


def given(*claims: tuple[str, Claim]) -> Roster:
    return Roster(
        claims={uuid: (claim,) for uuid, claim in claims},
        allocations=ok("kubelet", source="pod-resources"),
    )


def kinds(monitor: GpuMonitor) -> dict[str, str | None]:
    return {each.kind: each.owner for each in monitor.differences}


def test_owners_and_tenants(rig: Rig) -> None:
    gpu = card(rig.read(), "GPU-t4")
    assert listed(gpu, 1001).owner.known == ADA
    assert listed(gpu, 1001).user.status == "unknown"
    tenants = {tenant.owner: tenant for tenant in gpu.tenants}
    assert set(tenants) == {ADA, BOB, "user/0"}
    assert tenants[ADA].allocated is None
    assert tenants[ADA].recent_peak_bytes.known == 3 * GIB


def test_an_agent_that_does_not_see_the_hosts_processes(rig: Rig) -> None:
    rig.sees_host = rig.host_pids = False
    # A process with this number is there, and is another one than the driver's.
    process = listed(card(rig.read(), "GPU-t4"), 1001)
    assert process.alive.status == process.owner.status == "unknown"
    # The driver hides the list from another pid namespace, and memory is in use.
    # Also where the host's procfs is mounted.
    rig.sees_host = True
    rig.write(scenario("t4"), "gpu0.procs 0")
    gpu = card(rig.read(), "GPU-t4")
    assert gpu.processes.status == "unknown"
    assert "host's pids" in gpu.processes.why


def test_a_list_of_pids_that_do_not_exist_is_not_believed(rig: Rig) -> None:
    lines = [f"gpu0.proc{at} {500_000 + at} 1000 C" for at in range(5)]
    rig.write(scenario("t4"), "gpu0.procs 5", *lines)
    assert card(rig.read(), "GPU-t4").processes.status == "unknown"


def test_memory_of_an_ended_process(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        rig.proc.end(1001)
        snapshot = await rig.tick(monitor)
        # It may have ended between the two readings.
        assert listed(card(snapshot, "GPU-t4"), 1001).alive.status == "unknown"
        snapshot = await rig.tick(monitor)
        process = listed(card(snapshot, "GPU-t4"), 1001)
        assert (process.alive.known, process.owner.known) == (False, ADA)
        assert kinds(monitor)["zombie"] == ADA
        assert ADA not in {tenant.owner for tenant in card(snapshot, "GPU-t4").tenants}

    rig.run(script)


def test_a_zombie(rig: Rig) -> None:
    rig.proc.add(1001, cgroup=pod_cgroup(POD), state="Z")
    assert listed(card(rig.read(), "GPU-t4"), 1001).alive.known is False


def test_bypass_wrong_gpu_and_overshoot(rig: Rig) -> None:
    two = scenario("t4") + "count 2\ngpu1.uuid GPU-2\ngpu1.total 1000\ngpu1.free 1000\n"
    rig.write(two)
    ada = Claim(owner=ADA, user="ada", alone=False, requested_bytes=GIB)
    bob = Claim(owner=BOB, user="bob", alone=False)
    rig.roster = given(("GPU-t4", ada), ("GPU-2", bob))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor)
        assert kinds(monitor) == {
            "overshoot": ADA,
            "wrong_gpu": BOB,
            "bypass": "user/0",
        }
        tenant = next(each for each in card(snapshot, "GPU-t4").tenants if each.owner == ADA)
        assert (tenant.allocated, tenant.requested_bytes) == (True, GIB)

    rig.run(script)


def test_nobody_bypasses_where_nobody_gives_out(rig: Rig) -> None:
    rig.roster = Roster(allocations=unsupported(source="no kubelet"))

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        assert kinds(monitor) == {}

    rig.run(script)


def test_memory_that_no_process_holds(rig: Rig) -> None:
    rig.write(scenario("t4"), "gpu0.used 9000000000", "gpu0.proc2 1003 1000 C")

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor)
        assert kinds(monitor) == {"unattributed": None}

    rig.run(script)


def test_an_idle_hoarder_is_told_and_can_be_left_alone(rig: Rig) -> None:
    rig.roster = given(("GPU-t4", Claim(owner=ADA, user="ada", alone=False)))

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 12 * 40)
        flags = {each.flag.owner: each for each in monitor.watch.flags}
        assert flags[ADA].flag.stage == "notice"
        assert flags[ADA].held_bytes == 3 * GIB
        assert flags[ADA].kernel_ids == ("11112222-aaaa",)
        assert "3.0 GiB held for" in flags[ADA].flag.text
        assert "torch.cuda.empty_cache()" in (flags[ADA].flag.command or "")
        # Its memory is not known, so nothing can be said about it.
        assert "user/0" not in flags
        assert kinds(monitor)["hoarding"] in (ADA, BOB)
        monitor.watch.snooze(Snooze(owner=ADA, until=rig.wall + 3600, by="tutor"), rig.wall)
        await rig.tick(monitor)
        flag = next(each.flag for each in monitor.watch.flags if each.flag.owner == ADA)
        assert (flag.stage, flag.quiet_because) == ("none", "snoozed by tutor")

        mine = me_json(monitor, ADA, None, rig.now)
        assert [each["text"] for each in mine["flags"]] == [flag.text]
        assert [each["inner_pid"] for each in mine["processes"]] == [7]
        assert mine["gpus"][0]["sharers"] == 3
        # Nothing of a neighbour, neither names nor pids.
        text = json.dumps(mine)
        assert OTHER not in text
        assert "1002" not in text
        nobody = me_json(monitor, None, "not seen", rig.now)
        assert (nobody["processes"], nobody["flags"], nobody["why"]) == ([], [], "not seen")

    rig.run(script)


def test_work_ends_a_flag(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 12 * 40)
        assert monitor.watch.states["GPU-t4", ADA].phase == "hoarding"
        for _ in range(3):
            stamp = rig.microseconds(ago=-4.5)
            rig.write(scenario("t4"), "gpu0.utils 1", f"gpu0.util0 1001 {stamp} 95 5")
            await rig.tick(monitor, 4)
        assert monitor.watch.states["GPU-t4", ADA].phase == "active"
        assert monitor.watch.states["GPU-t4", BOB].phase == "hoarding"

    rig.run(script)


@pytest.mark.parametrize(
    ("command", "cpu", "expected"),
    [
        pytest.param("/tmp/x --pool", 0, {ADA}, id="miner"),
        pytest.param("python3 -m ipykernel_launcher -f kernel-1.json", 0, set(), id="training"),
        pytest.param("/tmp/x --pool", 200, set(), id="works-on-the-cpu-too"),
    ],
)
def test_full_load_alone_is_no_sign(rig: Rig, command: str, cpu: int, expected: set[str]) -> None:
    """The same load of a kernel's child, such as a long training, is not flagged."""
    rig.miner = MinerRules(seconds=600)
    rig.roster = given(("GPU-t4", Claim(owner=ADA, user="ada", alone=False)))

    async def script(monitor: GpuMonitor) -> None:
        for at in range(150):
            rig.proc.add(1001, cgroup=pod_cgroup(POD), command=command, cpu=at * cpu)
            stamp = rig.microseconds(ago=-4.5)
            rig.write(
                scenario("t4"),
                "gpu0.power 69000",
                "gpu0.pcie 100 100",
                "gpu0.utils 1",
                f"gpu0.util0 1001 {stamp} 99 5",
            )
            await rig.tick(monitor)
        found = {each.flag.owner for each in monitor.watch.flags if each.flag.what == "miner"}
        assert found == expected
        mine = me_json(monitor, ADA, None, rig.now)
        assert [each for each in mine["flags"] if each["what"] == "miner"] == []

    rig.run(script)


def test_exempt_owners_stay_visible_and_quiet(rig: Rig) -> None:
    rig.ladder = LadderRules(exempt=("pod/*",))

    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 12 * 40)
        stages = {each.flag.owner: each.flag.stage for each in monitor.watch.flags}
        assert stages == {ADA: "none", BOB: "none"}

    rig.run(script)


def test_a_card_that_does_not_answer_advances_no_clock(rig: Rig) -> None:
    async def script(monitor: GpuMonitor) -> None:
        await rig.tick(monitor, 100)
        before = monitor.watch.states["GPU-t4", ADA].idle_seconds
        rig.write(scenario("t4"), "gpu0.allfails 15")
        await rig.tick(monitor, 50)
        assert monitor.watch.states["GPU-t4", ADA].idle_seconds == before

    rig.run(script)


def test_a_cordoned_card_is_not_given_out(rig: Rig) -> None:
    rig.roster = Roster(cordoned=frozenset({"all"}))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor)
        decision, _ = monitor.desk.decide(Request(pod="ns/a"), snapshot, hold=False)
        assert decision.rejected[0].code == "cordoned"

    rig.run(script)


def test_the_same_pod_may_ask_again(rig: Rig) -> None:
    rig.write(scenario("lost_gpu").replace("gpu1.allfails 15\n", ""))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor)
        first, held = monitor.desk.decide(
            Request(pod="ns/a", want="exclusive"), snapshot, hold=True
        )
        version = monitor.desk.ledger.version
        again, _ = monitor.desk.decide(Request(pod="ns/a", want="exclusive"), snapshot, hold=True)
        assert held
        assert again.devices == first.devices
        assert monitor.desk.ledger.version == version
        second, _ = monitor.desk.decide(Request(pod="ns/b", want="exclusive"), snapshot, hold=True)
        assert set(second.devices).isdisjoint(first.devices)
        third, held = monitor.desk.decide(
            Request(pod="ns/c", want="exclusive"), snapshot, hold=True
        )
        assert (third.verdict, held) == ("wait", False)
        monitor.desk.release("ns/a")
        third, _ = monitor.desk.decide(Request(pod="ns/c", want="exclusive"), snapshot, hold=True)
        assert third.devices == first.devices

    rig.run(script)


@pytest.mark.parametrize("name", ["t4", "a100_mig", "h200", "gb10", "eight_gpus"])
def test_what_is_published_decides_the_same(rig: Rig, name: str) -> None:
    rig.write(scenario(name))

    async def script(monitor: GpuMonitor) -> None:
        snapshot = await rig.tick(monitor, 10)
        text = compact(snapshot)
        assert len(text) < 2100 * len(snapshot.gpus) + 400
        again = expand(text)
        for request in (
            Request(pod="ns/a", user="ada", memory_bytes=GIB),
            Request(pod="ns/a", want="exclusive"),
            Request(pod="ns/a", memory_bytes=200 * GIB),
            Request(pod="ns/a", want="mig", memory_bytes=GIB),
        ):
            said, _ = monitor.desk.decide(request, snapshot, hold=False)
            there, _ = monitor.desk.decide(request, again, hold=False)
            assert (there.verdict, there.devices, there.reason) == (
                said.verdict,
                said.devices,
                said.reason,
            )
            assert [(each.uuid, each.code) for each in there.rejected] == [
                (each.uuid, each.code) for each in said.rejected
            ]

    rig.run(script)


def test_what_is_published_keeps_the_dead_apart(rig: Rig) -> None:
    """Of one owner: the memory of an ended process is nobody's, that of a living one is theirs."""
    rig.proc.add(1001, cgroup=pod_cgroup(POD), state="Z")
    rig.proc.add(1002, cgroup=pod_cgroup(POD))

    async def script(monitor: GpuMonitor) -> None:
        again = expand(compact(await rig.tick(monitor, 10)))
        held = {
            each.alive.known: each.memory_bytes.known
            for each in card(again, "GPU-t4").processes.known or ()
            if each.owner.known == ADA
        }
        assert held == {True: GIB, False: 3 * GIB}

    rig.run(script)


def test_consumers_hear_of_each_tick_once(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    heard: list[tuple[str, float]] = []

    def broken(snapshot: Snapshot) -> None:
        raise ValueError("a consumer's own fault")

    async def script(monitor: GpuMonitor) -> None:
        monitor.listeners += [broken, lambda each: heard.append(("listener", each.taken))]
        monitor.keepers.append(lambda each: heard.append(("keeper", each.taken)))
        monitor.closers.append(lambda: heard.append(("closer", 0.0)))
        first, second = await rig.tick(monitor), await rig.tick(monitor)
        assert heard == [
            (who, each.taken) for each in (first, second) for who in ("keeper", "listener")
        ]

    rig.run(script)
    assert heard[-1][0] == "closer"
    assert "a consumer's own fault" in caplog.text
