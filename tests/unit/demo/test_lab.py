"""JupyterLab's settings in the demo."""

from __future__ import annotations

import json
from pathlib import Path

import yaml

from demo import lab
from demo.state import Paths


def test_the_users_own_set_up_stays_out(tmp_path: Path) -> None:
    paths = Paths(state=tmp_path)
    base = {
        "HOME": "/home/user",
        "PATH": "/usr/bin",
        "LANG": "C.UTF-8",
        "JUPYTER_TOKEN": "theirs",
        "JUPYTER_PATH": "/home/user/jupyter",
        "XDG_DATA_HOME": "/home/user/data",
        "GIT_DIR": "/home/user/repo/.git",
        "SAMEPAGE_COURSE_URL": "https://example.org/other.git",
    }
    env = lab.environment(paths, base, "http://127.0.0.1:9747")
    assert env["LANG"] == "C.UTF-8"
    assert env["PATH"].endswith("/usr/bin")
    assert env["SAMEPAGE_AGENT_URL"] == "http://127.0.0.1:9747"
    assert not {"JUPYTER_TOKEN", "JUPYTER_PATH", "XDG_DATA_HOME", "GIT_DIR"} & set(env)
    assert "SAMEPAGE_COURSE_URL" not in env
    for name, value in env.items():
        if name.startswith(("HOME", "JUPYTER", "SAMEPAGE_COURSES")):
            assert Path(value).is_relative_to(tmp_path), name


def test_the_agent_is_left_to_its_default_without_one(tmp_path: Path) -> None:
    assert "SAMEPAGE_AGENT_URL" not in lab.environment(Paths(state=tmp_path), {}, None)


def test_settings_are_what_the_readers_expect(tmp_path: Path) -> None:
    paths = Paths(state=tmp_path)
    paths.make()
    lab.write_settings(paths, "http://127.0.0.1:4000/answers-from-data.git")
    manifest = yaml.safe_load(paths.manifest.read_text())
    assert manifest["version"] == 1
    assert manifest["courses"][0]["url"] == "http://127.0.0.1:4000/answers-from-data.git"
    config = json.loads((paths.config / "jupyter_server_config.json").read_text())
    assert config["ServerApp"]["ip"] == "127.0.0.1"
    assert config["ServerApp"]["root_dir"] == str(paths.work)
    page = json.loads((paths.config / "labconfig/page_config.json").read_text())
    assert page["disabledExtensions"]
