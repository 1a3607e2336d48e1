"""The picture in the terminal: nothing unknown as 0, nobody out of the window."""

import json
import re
from typing import Any

import pytest

from nodeagent.gpu.monitor import GpuMonitor
from nodeagent.gpu.roster import Claim, Roster
from nodeagent.gpu.sharing.request import Request
from nodeagent.gpu.top import Style, render, with_now
from nodeagent.gpu.view import report_json
from tests.unit.nodeagent.gpu_rig import POD, Rig, needs_cc, pod_cgroup, scenario

ESCAPE = re.compile(r"\x1b\[(\d+)m")


@pytest.fixture(scope="module")
def reports(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, Any]]:
    """Real reports of several scenarios."""
    found: dict[str, dict[str, Any]] = {}
    for name in ("t4", "a100_mig", "gb10", "eight_gpus", "lost_gpu", "driver_upgrade"):
        rig = Rig(tmp_path_factory.mktemp(name))
        rig.write(scenario(name))
        rig.proc.add(1001, cgroup=pod_cgroup(POD))
        claim = Claim(owner=f"pod/{POD}", user="a-user-with-a-very-long-name", alone=False)
        rig.roster = Roster(claims={"GPU-t4": (claim,)})

        async def script(monitor: GpuMonitor, rig: Rig = rig) -> dict[str, Any]:
            snapshot = await rig.tick(monitor, 12 * 40 if rig.state.parent.name[0] == "t" else 8)
            monitor.desk.decide(Request(pod="hub/jupyter-new"), snapshot, hold=True)
            return json.loads(json.dumps(report_json(monitor, rig.wall)))  # type: ignore[no-any-return]

        found[name] = rig.run(script)
    return found


@needs_cc
@pytest.mark.parametrize("width", [80, 60, 132])
@pytest.mark.parametrize("plain", [True, False])
def test_fits_the_window(reports: dict[str, dict[str, Any]], width: int, plain: bool) -> None:
    for name, report in reports.items():
        lines = render(with_now(report), width=width, style=Style(plain=plain))
        assert lines, name
        codes = set(ESCAPE.findall("\n".join(lines)))
        # Bold and dim show on any background; a colour may not.
        assert codes == set() if plain else codes <= {"0", "1", "2"}
        assert max(len(ESCAPE.sub("", line)) for line in lines) <= width


@needs_cc
def test_says_who_holds_what(reports: dict[str, dict[str, Any]]) -> None:
    text = "\n".join(render(with_now(reports["t4"]), width=100, style=Style(plain=True)))
    assert "Tesla T4" in text
    assert "4.0G/15.0G" in text
    assert f"pod/{POD[:8]}" in text
    assert "3.0G" in text
    assert "notice: GPU 0 pod/" in text
    assert "reserved: GPU 0 hub/jupyter-new" in text


@needs_cc
def test_unknown_is_a_dash(reports: dict[str, dict[str, Any]]) -> None:
    mig = render(with_now(reports["a100_mig"]), width=80, style=Style(plain=True))
    (instance,) = [line for line in mig if "MIG 3g.20gb" in line]
    assert instance.split()[-3:] == ["—", "—", "1"]
    assert "0%" not in instance
    assert "host memory" in "\n".join(
        render(with_now(reports["gb10"]), width=80, style=Style(plain=True))
    )


@needs_cc
def test_trouble_is_said(reports: dict[str, dict[str, Any]]) -> None:
    gone = "\n".join(render(with_now(reports["driver_upgrade"]), width=80, style=Style(plain=True)))
    assert "restart the machine" in " ".join(gone.split())
    lost = "\n".join(render(with_now(reports["lost_gpu"]), width=80, style=Style(plain=True)))
    assert "GPU is lost" in lost


@needs_cc
def test_names_do_not_command_the_terminal(reports: dict[str, dict[str, Any]]) -> None:
    evil = "ns/\x1b]0;owned\x07\x1b[2J\u202egpj\r\n"
    report = json.loads(json.dumps(reports["t4"]).replace(f"pod/{POD}", "EVIL"))
    report = json.loads(
        json.dumps(report)
        .replace('"EVIL"', json.dumps(evil))
        .replace("EVIL", json.dumps(evil)[1:-1])
    )
    report["snapshot"]["node"] = report["message"] = evil
    report["state"] = "error"
    for line in render(with_now(report), width=100, style=Style(plain=True)):
        assert line.isprintable()
    lines = render(with_now(report), width=100, style=Style(plain=False))
    assert "ns/?]0;owned" in "\n".join(lines)
    assert {code for line in lines for code in ESCAPE.findall(line)} <= {"0", "1", "2"}
    assert all(ESCAPE.sub("", line).isprintable() for line in lines)
