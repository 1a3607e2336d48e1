import dataclasses
from pathlib import Path

import pytest

from nodeagent import config as settings
from nodeagent.config import Address, AgentConfig, load
from nodeagent.errors import ConfigError


def test_defaults_are_loopback_and_auto() -> None:
    config = load({}, {})
    assert config == AgentConfig()
    assert (str(config.listen), config.mode) == ("127.0.0.1:9747", "auto")


def test_every_field_has_a_parser() -> None:
    assert set(settings._PARSERS) == {field.name for field in dataclasses.fields(AgentConfig)}


def test_flag_wins_over_variable() -> None:
    env = {"NODEAGENT_INTERVAL": "30", "NODEAGENT_MODE": "observe"}
    config = load(env, {"interval": "5", "mode": None})
    assert (config.interval, config.mode) == (5.0, "observe")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("listen", "[::1]:80", Address(host="::1", port=80)),
        ("allow_host", "A.example, b ,", ("a.example", "b")),
        ("dry_run", "Yes", True),
        ("gpu", "off", False),
        ("state_dir", "/x", Path("/x")),
    ],
)
def test_good_values(name: str, text: str, value: object) -> None:
    assert getattr(load({f"NODEAGENT_{name.upper()}": text}, {}), name) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("mode", "fast"),
        ("listen", "9747"),
        ("listen", "localhost:99999"),
        ("listen", "localhost:-1"),
        ("interval", "0"),
        ("interval", "nan"),
        ("interval", "ten"),
        ("cpu_budget", "1.5"),
        ("burst_bytes", "0"),
        ("dry_run", "maybe"),
        ("log_format", "xml"),
        ("state_dir", ""),
    ],
)
def test_bad_value_names_variable_value_and_what_to_give(name: str, text: str) -> None:
    with pytest.raises(ConfigError) as caught:
        load({f"NODEAGENT_{name.upper()}": text}, {})
    assert caught.value.message == f"NODEAGENT_{name.upper()} is {text!r}"
    assert caught.value.fix.startswith("Give ")
    with pytest.raises(ConfigError, match=f"--{name.replace('_', '-')} is"):
        load({}, {name: text})


def test_pressure_budget_is_never_below_the_usual_one() -> None:
    assert load({}, {"cpu_budget": "0.8"}).pressure_cpu_budget == 0.8


def test_paths_of_a_fake_sysfs_stay_beside_its_state(tmp_path: Path) -> None:
    config = load({}, {"sys_root": str(tmp_path), "state_dir": str(tmp_path / "s")})
    assert settings.resolve_paths(config, {}) == (tmp_path / "s", tmp_path / "s/ksm.lock")


def test_state_dir_alone_does_not_move_the_machine_lock(tmp_path: Path) -> None:
    config = load({}, {"state_dir": str(tmp_path)})
    lock = settings.resolve_paths(config, {})[1]
    assert lock == settings.default_state_dir({}) / "ksm.lock"
