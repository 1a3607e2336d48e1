"""What the device plugin should be told after a week of measurements."""

from pathlib import Path

import pytest
import yaml

from nodeagent.errors import ConfigError
from nodeagent.gpu.advise import advise, config_map
from nodeagent.gpu.advise_command import NotEnoughError, run_advise
from nodeagent.gpu.history import MEMORY_BINS, Row
from nodeagent.gpu.sharing.policy import GIB, Policy

WEEK = 168


def week(
    *, tenants: int, gib: float, working: float, users: int | None = None, **changes: object
) -> list[Row]:
    """Every hour alike: so many tenants of so many GiB each on a 16 GiB card."""
    seconds = 3600.0
    share = str(min(MEMORY_BINS - 1, int(gib / 16 * MEMORY_BINS)))
    rows = []
    for hour in range(WEEK):
        active = round(tenants * working)
        row = Row(
            hour=hour * 3600,
            uuid="GPU-a",
            name="Tesla T4",
            total_bytes=16 * GIB,
            seconds=seconds,
            tenant_seconds=tenants * seconds,
            duty_seconds=tenants * seconds,
            active_seconds=tenants * seconds * working,
            tenants={str(tenants): seconds},
            active={str(active): seconds},
            users={str(tenants if users is None else users): seconds},
            busy={"3": seconds},
            held={share: tenants * seconds} if tenants else {},
        )
        for name, value in changes.items():
            setattr(row, name, value)
        rows.append(row)
    return rows


def test_idle_notebooks_share_as_far_as_the_memory_goes() -> None:
    (advice,) = advise(week(tenants=3, gib=2.9, working=0.1), Policy())
    assert (advice.sharing, advice.replicas, advice.hours) == ("time_slicing", 5, 168.0)
    assert any("5 of them fit" in sentence for sentence in advice.why)


@pytest.mark.parametrize(
    ("gib", "working", "replicas"),
    [
        pytest.param(0.5, 0.05, 8, id="policy"),
        pytest.param(0.5, 0.3, 4, id="work"),
        pytest.param(6.0, 0.05, 2, id="memory"),
        pytest.param(12.0, 0.05, 1, id="one-fills-it"),
        pytest.param(0.5, 1.0, 2, id="always-at-work"),
    ],
)
def test_the_scarcest_decides(gib: float, working: float, replicas: int) -> None:
    (advice,) = advise(week(tenants=3, gib=gib, working=working), Policy())
    assert advice.replicas == replicas
    assert advice.sharing == ("exclusive" if replicas == 1 else "time_slicing")


def test_several_processes_of_one_user_run_side_by_side() -> None:
    (advice,) = advise(week(tenants=4, gib=2, working=0.5, users=1), Policy())
    assert advice.sharing == "mps"
    text = config_map([advice], "worker/1")
    assert "mps:" in text


def test_too_little_was_seen() -> None:
    (advice,) = advise(week(tenants=3, gib=1, working=0.1)[:10], Policy())
    assert (advice.sharing, advice.replicas) == ("unknown", 1)
    blind = week(tenants=3, gib=1, working=0.1, blind_seconds=1800.0)
    assert advise(blind, Policy())[0].sharing == "unknown"
    assert advise(week(tenants=0, gib=1, working=0), Policy())[0].sharing == "exclusive"
    assert config_map([advice], "n1") == ""


def test_the_config_map_is_what_the_plugin_reads() -> None:
    mig = week(tenants=2, gib=1, working=0.1, kind="mig", profile="1g.5gb", parent="GPU-x")
    cut = week(tenants=2, gib=1, working=0.1, uuid="GPU-x")
    found = advise(week(tenants=3, gib=3, working=0.1) + mig + cut, Policy())
    text = config_map(found, "worker-1")
    whole = yaml.safe_load(text)
    assert whole["kind"] == "ConfigMap"
    inner = yaml.safe_load(whole["data"]["worker-1"])
    assert inner["version"] == "v1"
    sharing = inner["sharing"]["timeSlicing"]
    assert sharing["failRequestsGreaterThanOne"] is True
    assert {each["name"] for each in sharing["resources"]} == {
        "nvidia.com/gpu",
        "nvidia.com/mig-1g.5gb",
    }


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ConfigError):
        run_advise(None, None, None, as_json=False)
    with pytest.raises(NotEnoughError, match="no measurements"):
        run_advise(tmp_path, None, None, as_json=False)
    import json

    lines = [json.dumps(vars(row)) for row in week(tenants=3, gib=3, working=0.1)]
    (tmp_path / "history.jsonl").write_text("\n".join(lines))
    assert run_advise(tmp_path, None, "worker-1", as_json=False) == 0
    said = capsys.readouterr().out
    assert "Nothing was applied" in said
    # The reasons are comments, so that the output is a manifest as it stands.
    assert yaml.safe_load(said)["kind"] == "ConfigMap"
    assert run_advise(tmp_path, None, "worker-1", as_json=True) == 0
    assert json.loads(capsys.readouterr().out)["advice"][0]["replicas"] == 4


def test_work_that_is_not_known_is_not_idleness() -> None:
    (advice,) = advise(week(tenants=3, gib=0.5, working=0.0, duty_seconds=0.0, active={}), Policy())
    assert advice.replicas == 2
    assert any("counted as always" in sentence for sentence in advice.why)
