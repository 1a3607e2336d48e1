from __future__ import annotations

from pathlib import Path

import pytest

from serverproxy.errors import SettingError
from serverproxy.settings import AppSettings


def test_defaults() -> None:
    assert AppSettings.from_env({"HOME": "/home/alice", "OTHER": "x"}) == AppSettings()


def test_all_set() -> None:
    env = {
        "HOME": "/home/alice",
        "SAMEPAGE_OPENREFINE_HOME": "/opt/or",
        "OPENREFINE_HOME": "/opt/other",
        "SAMEPAGE_OPENREFINE_DATA_DIR": "~/refine",
        "SAMEPAGE_OPENREFINE_HEAP_MIB": " 700 ",
        "SAMEPAGE_OPENREFINE_AUTOSAVE_MINUTES": "3",
        "SAMEPAGE_RSTUDIO_RSERVER": "/opt/rserver",
        "RSTUDIO_WHICH_R": "/opt/R",
    }
    assert AppSettings.from_env(env) == AppSettings(
        openrefine_home=Path("/opt/or"),
        openrefine_data_dir=Path("/home/alice/refine"),
        openrefine_heap_mib=700,
        openrefine_autosave_minutes=3,
        rstudio_rserver=Path("/opt/rserver"),
        rstudio_r=Path("/opt/R"),
    )


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("SAMEPAGE_OPENREFINE_HOME", "openrefine"),
        ("OPENREFINE_HOME", "./x"),
        ("SAMEPAGE_OPENREFINE_HEAP_MIB", "1400M"),
        ("SAMEPAGE_OPENREFINE_HEAP_MIB", "16"),
        ("SAMEPAGE_OPENREFINE_AUTOSAVE_MINUTES", "0"),
    ],
)
def test_a_wrong_value_is_named(name: str, value: str) -> None:
    with pytest.raises(SettingError, match=name) as caught:
        AppSettings.from_env({name: value})
    assert caught.value.code == "bad_setting"
    assert repr(value) in caught.value.message
    assert caught.value.fix
